"""The label plan of a virtual environment or a set of wheels: what its native libraries need.

Nothing of it is run or imported, links are not followed, and of each file only its head, the
headers that ELF has for the loader, or the text of a Python source is read.

Sources: elf(5); ld.so(8) and dl-load.c of the GNU C library, which makes the stack executable for a
library without PT_GNU_STACK; selinux_file_mprotect() of the kernel (execmem, execmod, execstack);
PEP 376 and PEP 491 (RECORD); docs of ctypes and cffi, "Callback functions".
"""

from __future__ import annotations

import csv
import os
import posixpath
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from wsgi_sepkg.discover.value import readable
from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.project.names import label_of
from wsgi_sepkg.report import counted
from wsgi_sepkg.targets import Target

FOLDERS = (".venv", "venv", "env")
# Types of the base policies that every domain may map and execute as a library.
LIBRARY_TYPES = frozenset(("lib_t", "textrel_shlib_t", "ld_so_t"))
_MOST_FILES = 300_000
_MOST_DEPTH = 40
_LARGEST_SOURCE = 512_000
_LARGEST_RECORD = 8_000_000
_LARGEST_MEMBER = 512_000_000
_LARGEST_WHEEL = 4_000_000_000  # unpacked: to look at the end of a member, all of it is
_MOST_SEGMENTS = 256
_MOST_TAGS = 4_096
_MOST_SHOWN = 12
# Not looked into: texts, pictures, byte-code.
_NO_ELF = frozenset(
    ".pyc .pyi .txt .md .rst .html .js .css .json .po .mo .svg .png .gif .jpg .woff .woff2 .ttf .h "
    ".pxd .pyx .c .xml .toml .cfg .csv .map .dist .typed".split()
)
_CALLBACK = re.compile(rb"\b(?:C|PY|WIN)FUNCTYPE\s*\(|\bffi\.callback\s*\(")
_ELSEWHERE = re.compile(r"win(32|dows|console)|darwin|macos|securetransport", re.IGNORECASE)
_LOADER = re.compile(rb"\b(?:import|from)\s+_?(?:ctypes|cffi)\b|\b_cffi_backend\b")


# elf(5)
_EXECUTABLE, _SHARED = 2, 3
_PT_DYNAMIC, _PT_INTERP, _PT_GNU_STACK, _PF_X = 2, 3, 0x6474E551, 1
_DT_TEXTREL, _DT_FLAGS, _DF_TEXTREL = 22, 30, 4


@dataclass(frozen=True)
class _Form:
    """The layout of ELF files of one word size and byte order."""

    header: struct.Struct
    segment: struct.Struct
    entry: struct.Struct
    wide: bool

    def of_segment(self, fields: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return type, flags, offset and length of a program header."""
        if self.wide:
            return fields[0], fields[1], fields[2], fields[5]
        return fields[0], fields[6], fields[1], fields[4]


def _form(wide: bool, order: str) -> _Form:
    word, signed = ("Q", "q") if wide else ("I", "i")
    segment = "IIQQQQQQ" if wide else "IIIIIIII"
    header = f"{order}HHI{word * 3}IHHHHHH"
    return _Form(
        struct.Struct(header),
        struct.Struct(f"{order}{segment}"),
        struct.Struct(f"{order}{signed}{word}"),
        wide,
    )


# By EI_CLASS and EI_DATA.
_FORMS = {
    bytes((size, data)): _form(size == 2, order)
    for size in (1, 2)
    for data, order in ((1, "<"), (2, ">"))
}


@dataclass(frozen=True)
class Library:
    """A native library or program. ``name`` is relative to the environment, or in its wheel.

    ``program``: it is started, not loaded. ``textrel``: the loader must write into its code.
    ``stack``: it asks for an executable stack, or does not say that it needs none, which means the
    same. ``broken``: why it was not read.
    """

    name: str
    distribution: str
    program: bool = False
    textrel: bool = False
    stack: bool = False
    broken: str = ""


@dataclass
class Environment:
    """What was read of an environment.

    ``at`` is its folder on the target, '' when that is not known (a set of wheels). ``callers`` are
    distributions that load libraries by ctypes or cffi, ``callbacks`` those that hand functions of
    Python to C, each with a file that does so.
    """

    folder: str
    at: str
    distributions: int = 0
    libraries: list[Library] = field(default_factory=list)
    callers: dict[str, str] = field(default_factory=dict)
    callbacks: dict[str, str] = field(default_factory=dict)
    cut: str = ""


@dataclass
class _Found:
    """Names of files of interest, before it is known which distribution they are from."""

    libraries: list[Library] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)
    callbacks: list[str] = field(default_factory=list)


def found_in(folder: Path) -> Path | None:
    """Return the virtual environment that lies in a tree under a usual name, None for none."""
    for name in FOLDERS:
        path = folder / name
        if not path.is_symlink() and (path / "pyvenv.cfg").is_file():
            return path
    return None


def read_environment(folder: Path, at: str = "") -> Environment:
    """Return what the native libraries of a virtual environment, or of a folder of wheels, need.

    ``at``: where the environment lies on the target. Raises UsageError when the folder is neither.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", "name a virtual environment")
    wheels = sorted(p for p in folder.glob("*.whl") if p.is_file() and not p.is_symlink())
    if not wheels and not (folder / "pyvenv.cfg").is_file():
        raise UsageError(
            f"{folder}: neither a virtual environment nor a folder of wheels",
            "name the folder that holds pyvenv.cfg, or one with *.whl",
        )
    plan = Environment(str(folder), "" if wheels else at)
    if wheels:
        for wheel in wheels:
            _wheel(plan, wheel)
    else:
        _installed(plan, folder)
    plan.libraries.sort(key=lambda one: one.name)
    return plan


# -- reading ---------------------------------------------------------------------------------------


def _installed(plan: Environment, folder: Path) -> None:
    found = _Found()
    records: list[str] = []
    for count, (path, name) in enumerate(_files(folder)):
        if count >= _MOST_FILES:
            plan.cut = f"more than {_MOST_FILES} files: the rest was not read"
            break
        if name.endswith(".dist-info/RECORD"):
            records.append(name)
        elif name[name.rfind(".") :] not in _NO_ELF:
            with _opened(path) as stream:
                if stream is not None:
                    _look(found, name, stream)
    plan.distributions = len(records)
    wanted = {one.name for one in found.libraries} | {*found.callers, *found.callbacks}
    owners = _owners(folder, records, wanted)
    _take(plan, found, owners)


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the regular files of a folder with their names in it; links are passed over."""
    waiting = [(str(folder), "", 0)]
    while waiting:
        here, prefix, depth = waiting.pop()
        try:
            with os.scandir(here) as listed:
                entries = sorted(listed, key=lambda e: e.name)
        except OSError:
            continue
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__" and depth < _MOST_DEPTH:
                    waiting.append((entry.path, f"{name}/", depth + 1))
            elif entry.is_file(follow_symlinks=False):
                yield entry.path, name


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes] | None]:
    """Open a file for reading, None where that fails; no link is followed, no pipe waited for."""
    try:
        # Unbuffered: of most files four bytes are read, of the others all at once.
        stream = open(path, "rb", buffering=0, opener=_without_links)  # noqa: SIM115
    except OSError:
        yield None
        return
    with stream:
        yield stream


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _wheel(plan: Environment, wheel: Path) -> None:
    """Read one wheel; its name begins with that of its distribution (PEP 491)."""
    plan.distributions += 1
    owner = wheel.name.partition("-")[0]
    found, size = _Found(), 0
    try:
        with zipfile.ZipFile(wheel) as archive:
            for count, item in enumerate(archive.infolist()):
                size += item.file_size
                if count >= _MOST_FILES or size > _LARGEST_WHEEL:
                    plan.cut = f"{wheel.name}: too large: the rest of it was not read"
                    break
                if item.is_dir() or posixpath.splitext(item.filename)[1] in _NO_ELF:
                    continue
                if item.file_size > _LARGEST_MEMBER:
                    found.libraries.append(_broken(item.filename, "too large"))
                    continue
                with archive.open(item) as stream:
                    _look(found, item.filename, stream)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as exc:
        found.libraries.append(_broken(wheel.name, f"no wheel that can be read: {exc}"))
    names = [one.name for one in found.libraries]
    _take(plan, found, dict.fromkeys([*names, *found.callers, *found.callbacks], owner))


def _look(found: _Found, name: str, stream: IO[bytes]) -> None:
    try:
        if name.endswith(".py"):
            text = stream.read(_LARGEST_SOURCE)
            if (b"ctypes" in text or b"cffi" in text) and _LOADER.search(text):
                if _ELSEWHERE.search(name):
                    return  # of another system
                found.callers.append(name)
                if _CALLBACK.search(text):
                    found.callbacks.append(name)
        elif stream.read(4) == b"\x7fELF":
            one = _elf(name, stream)
            if one is not None:
                found.libraries.append(one)
    except (OSError, zipfile.BadZipFile, EOFError) as exc:
        found.libraries.append(_broken(name, str(exc)))


def _broken(name: str, why: str) -> Library:
    return Library(name, "", broken=readable(why)[:200])


def _elf(name: str, stream: IO[bytes]) -> Library | None:
    """Return what the headers of an ELF file say to the loader, None for one that is not loaded.

    The stream stands behind the four bytes of its sign. A library for ELF would cost more than all
    the rest: pyelftools needs 0.4 s to load and 2.6 ms for a file, this 0.05 ms.
    """
    head = stream.read(60)
    form = _FORMS.get(head[:2])
    if form is None:
        return _broken(name, "no ELF file of a known form")
    try:
        kind, _, _, _, offset, _, _, _, size, count, *_ = form.header.unpack_from(head, 12)
        if kind not in (_EXECUTABLE, _SHARED):
            return None
        if count > _MOST_SEGMENTS or size != form.segment.size:
            return _broken(name, f"{count} program headers of {size} bytes")
        stream.seek(offset)
        table = stream.read(size * count)
        segments = [form.of_segment(s) for s in form.segment.iter_unpack(table)]
        if len(segments) != count:
            return _broken(name, "it ends before its program headers do")
        textrel = any(
            _writes_code(form, stream, at, length)
            for type_, _, at, length in segments
            if type_ == _PT_DYNAMIC
        )
    except (struct.error, ValueError, OverflowError) as exc:
        return _broken(name, f"its headers make no sense: {exc}")
    stacks = [flags for type_, flags, _, _ in segments if type_ == _PT_GNU_STACK]
    program = any(type_ == _PT_INTERP for type_, _, _, _ in segments)
    return Library(name, "", program, textrel, not stacks or bool(stacks[-1] & _PF_X))


def _writes_code(form: _Form, stream: IO[bytes], at: int, length: int) -> bool:
    """Tell whether a dynamic segment has DT_TEXTREL, or DF_TEXTREL in DT_FLAGS."""
    stream.seek(at)
    data = stream.read(min(length, form.entry.size * _MOST_TAGS))
    for tag, value in form.entry.iter_unpack(
        data[: len(data) // form.entry.size * form.entry.size]
    ):
        if tag == 0:
            break
        if tag == _DT_TEXTREL or (tag == _DT_FLAGS and value & _DF_TEXTREL):
            return True
    return False


def _owners(folder: Path, records: Sequence[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return which distribution the files are from, as the RECORDs say."""
    rest = set(wanted)
    owners: dict[str, str] = {}
    for record in records:
        if not rest:
            break
        with _opened(f"{folder}/{record}") as stream:
            data = _start_of(stream) if stream is not None else b""
        info = posixpath.dirname(record)
        place, owner = posixpath.split(info)
        rows = csv.reader(data.decode("utf-8", "replace").replace("\0", "").splitlines())
        try:
            for row in rows:
                name = f"{place}/{row[0]}" if row else ""
                name = posixpath.normpath(name) if ".." in name else name
                if name in rest:
                    owners[name] = owner.removesuffix(".dist-info").partition("-")[0]
                    rest.discard(name)
        except csv.Error:
            continue
    return owners


def _start_of(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_LARGEST_RECORD)
    except OSError:
        return b""


def _take(plan: Environment, found: _Found, owners: dict[str, str]) -> None:
    for one in found.libraries:
        owner = owners.get(one.name, "")
        plan.libraries.append(replace(one, distribution=owner))
    for names, kept in ((found.callers, plan.callers), (found.callbacks, plan.callbacks)):
        for name in sorted(names):
            kept.setdefault(owners.get(name) or "no distribution", name)


# -- the plan --------------------------------------------------------------------------------------


def label_plan(found: Environment, target: Target, ours: Iterable[str]) -> list[str]:
    """Return the plan for people: sentences, and proposals as lines of a description.

    A proposal is a table and its keys; ``is_proposal`` tells its lines.

    ``ours`` are the folders that the description labels: there the base policy's label of libraries
    is not the last word.
    """
    usable = [one for one in found.libraries if not one.broken and not one.program]
    shown = readable(found.at or found.folder)
    owners = sorted({one.distribution for one in usable if one.distribution})
    lines = [
        f"LABEL PLAN of {shown}: {counted(found.distributions, 'distribution')}, "
        f"{counted(len(usable), 'library').replace('ys', 'ies')}"
        + (f" of {_listed(owners)}" if owners else "")
    ]
    if found.cut:
        lines.append(f"not complete: {found.cut}")
    if usable:
        lines += _labels(found, usable, target, tuple(ours))
    return [*lines, *_hazards(found.libraries), *_functions(found)]


def is_proposal(line: str) -> bool:
    """Tell whether a line of the plan is a line of a description."""
    return re.match(r"\[\[|[a-z-]+ = |$", line) is not None


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _MOST_SHOWN} more" if len(words) > _MOST_SHOWN else ""
    return readable(", ".join(words[:_MOST_SHOWN])) + more


def _labels(
    found: Environment, usable: Sequence[Library], target: Target, ours: tuple[str, ...]
) -> list[str]:
    if not found.at:
        return [
            "labels: below /usr/lib or /usr/lib64 they are lib_t by the base policy; for another "
            "folder name the environment that is made of them with --venv",
        ]
    other: dict[str, list[Library]] = {}
    known: dict[tuple[str, bool], str] = {}
    for one in usable:
        path = f"{found.at}/{one.name}"
        place = (posixpath.dirname(path), ".so" in posixpath.basename(path))
        if place not in known:
            below = any(path.startswith(f"{folder.rstrip('/')}/") for folder in ours)
            known[place] = "" if below else label_of(target.facts, path)[0]
        if known[place] not in LIBRARY_TYPES:
            other.setdefault(known[place], []).append(one)
    if not other:
        return [f"labels: nothing to do, {target.name} labels all of them lib_t"]
    lines = []
    for type_, listed in sorted(other.items()):
        now = type_ or "a type of this description"
        lines.append(
            f"labels: {counted(len(listed), 'file')} would be {now}, which no domain may map and "
            f"execute as a library. Wanted:"
        )
    missing = [one for listed in other.values() for one in listed]
    named = [one for one in missing if re.search(r"\.so(\.[^/]+)*$", one.name)]
    if named:
        pattern = f"{_escaped(found.at)}/(.*/)?[^/]+\\.so(\\.[^/]+)*"
        lines += _proposal(pattern, "native libraries of the virtual environment")
    for one in [one for one in missing if one not in named][:_MOST_SHOWN]:
        owner = one.distribution or "no distribution"
        if re.fullmatch(r"[A-Za-z0-9/._+@~-]+", one.name):
            lines += _proposal(_escaped(f"{found.at}/{one.name}"), f"native file of {owner}")
    return lines


def _escaped(path: str) -> str:
    return re.sub(r"([.+^$?*|\[\](){}])", r"\\\1", path)


def _proposal(pattern: str, reason: str) -> list[str]:
    return [
        "[[file-context]]",
        f"pattern = '{pattern}'",
        'file-type = "file"',
        'type = "lib_t"',
        f'reason = "{readable(reason)}"',
        "",
    ]


def _hazards(libraries: Sequence[Library]) -> list[str]:
    lines = []
    for one in [one for one in libraries if one.textrel][:_MOST_SHOWN]:
        lines.append(
            f"HAZARD {_called(one)}: text relocations (DT_TEXTREL): the loader writes into its "
            "code, which is execmod and stays denied; take a build made with -fPIC"
        )
    for one in [one for one in libraries if one.stack and not one.broken][:_MOST_SHOWN]:
        lines.append(
            f"HAZARD {_called(one)}: executable stack (PT_GNU_STACK): loading it is execmem and "
            "execstack, which stay denied; where it needs none: patchelf --clear-execstack, or a "
            "build with -z noexecstack"
        )
    for one in [one for one in libraries if one.broken][:_MOST_SHOWN]:
        lines.append(f"not read: {_called(one)}: {one.broken}")
    return lines


def _called(one: Library) -> str:
    return readable(f"{one.name} ({one.distribution})" if one.distribution else one.name)


def _functions(found: Environment) -> list[str]:
    lines = []
    plain = sorted(set(found.callers) - set(found.callbacks))
    if plain:
        lines.append(f"ctypes or cffi without callbacks, which needs nothing: {_listed(plain)}")
    if found.callbacks:
        names = [f"{owner} ({name})" for owner, name in sorted(found.callbacks.items())]
        lines.append(
            f"functions of Python handed to C, if the site gets there: {_listed(names)}. libffi "
            "then wants memory that is written and run; with a domain of its own the power libffi "
            "gives it a mapped file instead of execmem; under the web server it stays denied:"
        )
        lines += ["[[power]]", 'name = "libffi"', 'reason = "callbacks of compiled modules"', ""]
    return lines
