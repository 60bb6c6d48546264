"""What an RPM will do to a host, read without installing or running any of it.

The headers come from rpmfile; its limits decide the rest:

- the list of files is taken from the headers, never from the payload;
- the payload is walked here, because rpmfile gives hard links no content, loses the setuid bits,
  and knows neither lzma, nor uncompressed payloads, nor the stripped cpio of format 6;
- what cannot be walked here goes through ``rpm2archive`` or ``rpm2cpio`` when they are installed.

Digests are compared, signatures are not checked: ``rpm -K`` does that.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import stat
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import rpmfile

from wsgi_sepkg import process
from wsgi_sepkg.errors import NotAnRpm, ToolFailed, ToolMissing
from wsgi_sepkg.package import scriptlets
from wsgi_sepkg.package.scriptlets import Effect, Finding
from wsgi_sepkg.policy.buildcheck import Cil, read_cil

PP_TO_CIL = "/usr/libexec/selinux/hll/pp"
MODULE_ENDINGS = (".pp", ".pp.bz2", ".cil", ".cil.bz2")
LARGEST_MODULE = 64 * 1024 * 1024  # bytes, after decompression; real modules are below 1 MiB

_LEAD = b"\xed\xab\xee\xdb"
_RPMFORMAT = 5114  # RPMTAG_RPMFORMAT of rpm 6, unknown to rpmfile
# RPMSENSE_* of rpm's rpmds.h
_WHEN = {
    1 << 5: "posttrans",
    1 << 7: "pretrans",
    1 << 9: "pre",
    1 << 10: "post",
    1 << 11: "preun",
    1 << 12: "postun",
    1 << 13: "verify",
    1 << 20: "preuntrans",
    1 << 21: "postuntrans",
}
_RPMLIB = 1 << 24
_TRIGGERS = {
    1 << 16: "triggerin",
    1 << 17: "triggerun",
    1 << 18: "triggerpostun",
    1 << 25: "triggerprein",
}
# RPMFILE_* of rpm's rpmfiles.h
_FILE_FLAGS = {
    1 << 0: "config",
    1 << 1: "doc",
    1 << 3: "missingok",
    1 << 4: "noreplace",
    1 << 6: "ghost",
    1 << 7: "license",
    1 << 8: "readme",
    1 << 12: "artifact",
}
# name in a spec file: the header tag as rpmfile calls it
_SCRIPTS = {
    "pretrans": "pretrans",
    "pre": "prein",
    "post": "postin",
    "preun": "preun",
    "postun": "postun",
    "posttrans": "posttrans",
    "preuntrans": "preuntrans",
    "postuntrans": "postuntrans",
    "verify": "verifyscript",
}
_DEPENDENCIES = {
    "requires": ("requirename", "requireversion", "requireflags"),
    "provides": ("provides", "provideversion", "provideflags"),
    "conflicts": ("conflictname", "conflictversion", "conflictflags"),
    "obsoletes": ("obsoletes", "obsoleteversion", "obsoleteflags"),
    "recommends": ("recommendname", "recommendversion", "recommendflags"),
    "suggests": ("suggestname", "suggestversion", "suggestflags"),
    "supplements": ("supplementname", "supplementversion", "supplementflags"),
    "enhances": ("enhancename", "enhanceversion", "enhanceflags"),
    "order_with": ("ordername", "orderversion", "orderflags"),
}
# Permissions that let a domain leave its confinement, or change the policy itself.
_STRONG = {
    "security": {"load_policy", "setenforce", "setbool", "setsecparam"},
    "capability": {"sys_admin", "sys_module", "sys_rawio", "sys_ptrace", "mac_admin"},
    "capability2": {"mac_admin", "mac_override"},
    "cap_userns": {"sys_admin", "sys_module", "sys_ptrace"},
    "system": {"module_load", "module_request"},
    "process": {"execmem", "execheap", "execstack", "ptrace", "setcurrent"},
}
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
)


@dataclass(frozen=True)
class Nevra:
    """Name, epoch (None when there is none), version, release and architecture."""

    name: str
    epoch: int | None
    version: str
    release: str
    arch: str

    def __str__(self) -> str:
        epoch = f"{self.epoch}:" if self.epoch is not None else ""
        return f"{self.name}-{epoch}{self.version}-{self.release}.{self.arch}"


@dataclass(frozen=True, order=True)
class Dependency:
    """One dependency; ``when`` names the scriptlets that need it (``Requires(post)``)."""

    name: str
    op: str = ""
    version: str = ""
    when: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.op} {self.version}" if self.op else self.name


@dataclass(frozen=True)
class Dependencies:
    """All dependencies, each kind in the order of its text; ``rpmlib`` apart."""

    requires: tuple[Dependency, ...] = ()
    rpmlib: tuple[Dependency, ...] = ()
    provides: tuple[Dependency, ...] = ()
    conflicts: tuple[Dependency, ...] = ()
    obsoletes: tuple[Dependency, ...] = ()
    recommends: tuple[Dependency, ...] = ()
    suggests: tuple[Dependency, ...] = ()
    supplements: tuple[Dependency, ...] = ()
    enhances: tuple[Dependency, ...] = ()
    order_with: tuple[Dependency, ...] = ()


@dataclass(frozen=True)
class Scriptlet:
    """A scriptlet or trigger, as written, and what it does.

    ``other_commands`` are the programs that it runs and that are not explained in ``effects``.
    """

    name: str
    interpreter: str
    body: str
    effects: tuple[Effect, ...] = ()
    findings: tuple[Finding, ...] = ()
    other_commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackagedFile:
    """A file of the header's list: ``mode`` is the whole st_mode, ``permissions`` its octal text
    with the setuid, setgid and sticky bits; ``size`` is None where rpmfile cannot read it."""

    path: str
    mode: int
    permissions: str
    kind: str
    user: str
    group: str
    flags: tuple[str, ...] = ()
    digest: str = ""
    link: str = ""
    size: int | None = None
    capabilities: str = ""

    @property
    def special_bits(self) -> tuple[str, ...]:
        """``setuid``, ``setgid`` and ``sticky``, those that are set."""
        bits = ((stat.S_ISUID, "setuid"), (stat.S_ISGID, "setgid"), (stat.S_ISVTX, "sticky"))
        return tuple(word for bit, word in bits if self.mode & bit)


@dataclass(frozen=True, order=True)
class PolicyRule:
    """An access rule; ``boolean`` is the condition it depends on, ``optional`` its block."""

    kind: str
    source: str
    target: str
    cls: str
    permissions: tuple[str, ...]
    boolean: str = ""
    optional: str = ""


@dataclass(frozen=True, order=True)
class TypeTransition:
    """``source`` that makes or runs a ``cls`` labelled ``target`` gives ``default``."""

    source: str
    target: str
    cls: str
    default: str
    file_name: str = ""


@dataclass(frozen=True, order=True)
class FileContext:
    """A path pattern and its type; ``file_type`` is CIL's word (``any``, ``file``, ``dir``...)."""

    pattern: str
    file_type: str
    type: str


@dataclass(frozen=True, order=True)
class Port:
    """A port range given a type, by ``source``: a module or a scriptlet."""

    protocol: str
    low: int
    high: int
    type: str
    source: str = ""


@dataclass(frozen=True, order=True)
class BooleanChange:
    """A boolean that ``source`` (a scriptlet) sets: ``value`` is ``0``, ``1`` or as written."""

    name: str
    value: str
    persistent: bool
    source: str


@dataclass(frozen=True)
class PolicyContent:
    """What a module brings; every tuple is a sorted set.

    ``booleans`` are (name, default), ``attribute_members`` (attribute, types that are added to
    it), ``required`` (kind, names) what must exist in the host's policy, ``required_optional``
    what an optional block is left out without.
    """

    types: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    booleans: tuple[tuple[str, bool], ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    transitions: tuple[TypeTransition, ...] = ()
    file_contexts: tuple[FileContext, ...] = ()
    ports: tuple[Port, ...] = ()
    permissive: tuple[str, ...] = ()
    attribute_members: tuple[tuple[str, tuple[str, ...]], ...] = ()
    required: tuple[tuple[str, tuple[str, ...]], ...] = ()
    required_optional: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class PolicyModule:
    """A policy module in the payload.

    ``name`` is the module's own name (the one inside a .pp), ``format`` the version of its binary
    format (0 for CIL), ``content`` None when ``note`` says why it could not be read.
    """

    path: str
    name: str
    format: int = 0
    content: PolicyContent | None = None
    note: str = ""


@dataclass(frozen=True)
class Inspection:
    """All that is known about a package; ``notes`` say what could not be read and why."""

    file: str
    nevra: Nevra
    summary: str
    license: str
    sourcerpm: str
    rpm_format: int
    payload: str
    dependencies: Dependencies
    scriptlets: tuple[Scriptlet, ...] = ()
    files: tuple[PackagedFile, ...] = ()
    modules: tuple[PolicyModule, ...] = ()
    booleans: tuple[BooleanChange, ...] = ()
    ports: tuple[Port, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def inspect(path: Path) -> Inspection:
    """Return what the package ``path`` will do to a host.

    Needs no root and runs nothing of the package; the programs started are
    ``/usr/libexec/selinux/hll/pp`` and, for payloads that cannot be walked here, rpm2archive or
    rpm2cpio. Where they are missing, ``notes`` say so. Raises NotAnRpm when the file cannot be
    opened, is no RPM, is cut off, or does not match its own digests.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except IsADirectoryError:
        raise NotAnRpm(f"{path} is a directory, not an RPM") from None
    except FileNotFoundError:
        raise NotAnRpm(
            f"{path} does not exist", "`wsgi-sepkg build` leaves the packages in out/"
        ) from None
    except NotAnRpm:
        raise
    except OSError as exc:
        raise NotAnRpm(f"{path} cannot be read: {exc.strerror or exc}") from exc


def _read(path: Path, file: io.BufferedReader) -> Inspection:
    start = file.read(4)
    if not start:
        raise NotAnRpm(f"{path} is empty")
    if start != _LEAD:
        raise NotAnRpm(f"{path} is not an RPM", "an RPM begins with the bytes ed ab ee db")
    file.seek(0)
    try:
        package = rpmfile.open(fileobj=file)
    except Exception as exc:  # rpmfile raises RPMError, AssertionError, struct.error, Exception
        raise _damaged(path, "its headers cannot be read") from exc
    try:
        _check_digests(path, file, package)
        return _inspection(path, file, package)
    except _DAMAGE as exc:
        if isinstance(exc, NotAnRpm):
            raise
        raise _damaged(path, "its headers make no sense") from exc


def _damaged(path: Path, why: str) -> NotAnRpm:
    return NotAnRpm(f"{path} is a damaged or incomplete RPM: {why}", "fetch or build it again")


def _inspection(path: Path, file: io.BufferedReader, package: Any) -> Inspection:
    headers = _Headers(package.headers)
    if not (headers.text("name") and headers.text("version")):
        raise _damaged(path, "it has no name or no version")
    files = _files(headers)
    read, readings = _scriptlets(headers)
    wanted = [f.path for f in files if f.path.endswith(MODULE_ENDINGS) and f.kind == "file"]
    notes: list[str] = []
    contents: Mapping[str, bytes] = {}
    if wanted:
        contents = _payload(path, file, package.data_offset, set(wanted), notes)
    elif headers.text("payloaddigest") == "":
        _walk_to_the_end(path, file, package.data_offset, headers)
    ghosts = {f.path for f in files if "ghost" in f.flags}
    modules = tuple(_module(p, contents.get(p), notes) for p in sorted(set(wanted) - ghosts))
    ports = _ports(readings, modules)
    findings = [
        *(finding for reading in readings for finding in reading.findings),
        *scriptlets.across(readings),
        *_file_findings(files),
        *_module_findings(modules, readings),
    ]
    order = {"high": 0, "medium": 1, "low": 2}
    return Inspection(
        file=path.name,
        nevra=Nevra(
            headers.text("name"),
            headers.number("serial"),
            headers.text("version"),
            headers.text("release"),
            headers.text("arch") if headers.text("sourcerpm") else "src",
        ),
        summary=headers.text("summary"),
        license=headers.text("copyright"),
        sourcerpm=headers.text("sourcerpm"),
        rpm_format=headers.number(_RPMFORMAT) or 4,
        payload=_compression(file, package.data_offset),
        dependencies=_dependencies(headers),
        scriptlets=read,
        files=files,
        modules=modules,
        booleans=_boolean_changes(readings),
        ports=ports,
        findings=tuple(
            sorted(dict.fromkeys(findings), key=lambda f: (order[f.severity], f.where, f.code))
        ),
        notes=tuple(notes),
    )


# --- headers --------------------------------------------------------------------------------------


class _Headers:
    """rpmfile's headers with one shape: it gives a scalar or a list by the number of values."""

    def __init__(self, raw: Mapping[Any, Any]) -> None:
        self.raw = raw

    def texts(self, tag: str | int) -> list[str]:
        value = self.raw.get(tag)
        if isinstance(value, bytes):
            value = [value]
        if not isinstance(value, list | tuple):
            return []
        return [v.decode("utf-8", "replace") for v in value if isinstance(v, bytes)]

    def text(self, tag: str | int) -> str:
        return next(iter(self.texts(tag)), "")

    def numbers(self, tag: str | int) -> list[int]:
        """Numbers of 16 or 32 bits; rpmfile has no others (64 bits come as a message)."""
        value = self.raw.get(tag)
        if isinstance(value, int):
            value = [value]
        if not isinstance(value, list | tuple):
            return []
        return [v for v in value if isinstance(v, int)]

    def number(self, tag: str | int) -> int | None:
        return next(iter(self.numbers(tag)), None)


def _at(values: Sequence[Any], index: int, default: Any) -> Any:
    return values[index] if index < len(values) else default


def _dependencies(headers: _Headers) -> Dependencies:
    kinds: dict[str, tuple[Dependency, ...]] = {}
    rpmlib: set[Dependency] = set()
    for kind, tags in _DEPENDENCIES.items():
        merged: dict[tuple[str, str, str], set[str]] = {}
        versions, flags = headers.texts(tags[1]), headers.numbers(tags[2])
        for index, name in enumerate(headers.texts(tags[0])):
            sense = _at(flags, index, 0)
            version = _at(versions, index, "")
            op = "".join(s for bit, s in ((2, "<"), (4, ">"), (8, "=")) if sense & bit)
            if not version:
                op = ""
            if sense & _RPMLIB or name.startswith("rpmlib("):
                rpmlib.add(Dependency(name, op, version))
                continue
            when = merged.setdefault((name, op, version), set())
            when.update(word for bit, word in _WHEN.items() if sense & bit)
        kinds[kind] = tuple(sorted(Dependency(*k, tuple(sorted(w))) for k, w in merged.items()))
    return Dependencies(rpmlib=tuple(sorted(rpmlib)), **kinds)


def _paths(headers: _Headers) -> list[str]:
    """Join the file names; packages of rpm before 4 keep whole names in OLDFILENAMES."""
    bases, folders = headers.texts("basenames"), headers.texts("dirnames")
    if not bases:
        return headers.texts("oldfilenames")
    places = headers.numbers("dirindexes")
    return [f"{folders[places[index]]}{base}" for index, base in enumerate(bases)]


_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFREG: "file",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


def _files(headers: _Headers) -> tuple[PackagedFile, ...]:
    modes, flags = headers.numbers("filemodes"), headers.numbers("fileflags")
    users, groups = headers.texts("fileusername"), headers.texts("filegroupname")
    digests, links = headers.texts("filemd5s"), headers.texts("filelinktos")
    sizes, caps = headers.numbers("filesizes"), headers.texts("filecaps")
    out = []
    for index, path in enumerate(_paths(headers)):
        mode, flag = _at(modes, index, 0), _at(flags, index, 0)
        out.append(
            PackagedFile(
                path=path,
                mode=mode,
                permissions=f"{stat.S_IMODE(mode):04o}",
                kind=_KINDS.get(stat.S_IFMT(mode), "unknown"),
                user=_at(users, index, ""),
                group=_at(groups, index, ""),
                flags=tuple(word for bit, word in _FILE_FLAGS.items() if flag & bit),
                digest=_at(digests, index, ""),
                link=_at(links, index, ""),
                size=_at(sizes, index, None),
                capabilities=_at(caps, index, ""),
            )
        )
    return tuple(sorted(out, key=lambda f: f.path))


def _scripts(headers: _Headers) -> Iterator[tuple[str, str, str]]:
    """Give (name, interpreter, body) of each scriptlet and trigger."""
    for name, tag in _SCRIPTS.items():
        program, body = headers.texts(f"{tag}prog"), headers.text(tag)
        if program or body:
            yield name, " ".join(program) or "/bin/sh", body
    for prefix, word in (
        ("trigger", ""),
        ("filetrigger", "file"),
        ("transfiletrigger", "transfile"),
    ):
        bodies = headers.texts(f"{prefix}scripts")
        programs = headers.texts(f"{prefix}scriptprog")
        names, flags = headers.texts(f"{prefix}name"), headers.numbers(f"{prefix}flags")
        places = headers.numbers(f"{prefix}index")
        for index, body in enumerate(bodies):
            targets = [i for i, place in enumerate(places) if place == index]
            sense = _at(flags, targets[0], 0) if targets else 0
            kind = next((w for bit, w in _TRIGGERS.items() if sense & bit), "trigger")
            on = ", ".join(_at(names, i, "") for i in targets)
            yield (
                f"{word}{kind} -- {on}" if word else f"{kind} -- {on}",
                _at(programs, index, "/bin/sh"),
                body,
            )


def _scriptlets(headers: _Headers) -> tuple[tuple[Scriptlet, ...], list[scriptlets.Reading]]:
    out, readings = [], []
    for name, interpreter, body in _scripts(headers):
        reading = scriptlets.read_scriptlet(name, interpreter, body)
        readings.append(reading)
        out.append(
            Scriptlet(
                name, interpreter, body, reading.effects, reading.findings, reading.other_commands
            )
        )
    return tuple(out), readings


def _check_digests(path: Path, file: io.BufferedReader, package: Any) -> None:
    """Raise NotAnRpm when the header or the payload does not match the digests that rpm wrote.

    Packages from before rpm 4.14 have no digest of the payload.
    """
    headers = _Headers(package.headers)
    begin, end = package.header_range
    file.seek(begin)
    main = file.read(end - begin)
    # rpmfile calls SIGTAG 269, the SHA-1 of the main header, "md5".
    for tag, algorithm in (("sha256", hashlib.sha256), ("md5", hashlib.sha1)):
        told = headers.text(tag)
        if told and told != algorithm(main).hexdigest():
            raise _damaged(path, f"its header does not match its {algorithm().name} digest")
    told, kind = headers.text("payloaddigest"), headers.number("payloaddigestalgo")
    if told and kind in {None, 8}:  # 8 is SHA-256
        file.seek(package.data_offset)
        if hashlib.file_digest(file, "sha256").hexdigest() != told:
            raise _damaged(path, "its payload is cut off or does not match its digest")


# --- the payload ----------------------------------------------------------------------------------


class _UnwalkableError(Exception):
    """This payload cannot be read here; the text says why."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


_MAGICS = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"]\x00\x00": "lzma",
    b"0707": "none",
}


def _compression(file: io.BufferedReader, offset: int) -> str:
    """Return how the payload is packed, by its first bytes: the header's tag may be missing."""
    file.seek(offset)
    start = file.read(8)
    if not start:
        return "missing"
    return next((name for magic, name in _MAGICS.items() if start.startswith(magic)), "unknown")


def _opened(file: io.BufferedReader, offset: int) -> _Stream:
    kind = _compression(file, offset)
    file.seek(offset)
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file)
    if kind in {"xz", "lzma"}:
        return lzma.LZMAFile(file)
    if kind == "bzip2":
        return bz2.BZ2File(file)
    if kind == "none":
        return file
    if kind == "zstd":
        try:
            import zstandard
        except ImportError:
            raise _UnwalkableError("the Python module zstandard is not installed") from None
        return io.BufferedReader(
            _Zstd(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
        )
    raise _UnwalkableError(f"its compression is {kind}")


class _Zstd(io.RawIOBase):
    """zstandard's reader as a raw file, so that its errors are ours."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._reader.read(len(buffer))
        except Exception as exc:  # zstandard.ZstdError derives from Exception
            raise OSError(str(exc)) from exc
        buffer[: len(data)] = data
        return len(data)


def _exactly(stream: _Stream, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError("the payload ends early")
    return data


def _skip(stream: _Stream, size: int) -> None:
    while size > 0:
        data = stream.read(min(size, 1 << 20))
        if not data:
            raise EOFError("the payload ends early")
        size -= len(data)


def _hex(text: bytes) -> int:
    if not text.isalnum():  # int() would take a sign and spaces
        raise ValueError("not a number")
    return int(text, 16)


def _members(stream: _Stream, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Give (path, content) of the ``wanted`` members of a cpio archive (newc).

    The content of hard links comes with the last name only and is given to all of them. Raises
    EOFError, ValueError or OSError for a damaged archive, _UnwalkableError for rpm's stripped cpio.
    """
    waiting: dict[tuple[int, int, int], list[str]] = {}
    while True:
        magic = _exactly(stream, 6)
        if magic == b"07070X":
            raise _UnwalkableError("it has rpm's stripped cpio (format 6, or a file of 4 GiB)")
        if magic not in {b"070701", b"070702"}:
            raise ValueError("not a cpio archive")
        head = _exactly(stream, 104)
        fields = [_hex(head[i : i + 8]) for i in range(0, 104, 8)]
        inode, links, size, named = fields[0], fields[4], fields[6], fields[11]
        if named > 65536:
            raise ValueError("the name is too long")
        name = _exactly(stream, named).rstrip(b"\0").decode("utf-8", "replace")
        _skip(stream, -(110 + named) % 4)
        if name == "TRAILER!!!":
            return
        path = _rooted(name)
        key = (inode, fields[7], fields[8])
        if links > 1 and size == 0 and stat.S_ISREG(fields[1]):
            waiting.setdefault(key, []).append(path)
        names = [path, *(waiting.pop(key, []) if links > 1 and size else [])]
        names = [n for n in names if n in wanted]
        if names and (size or links == 1) and size <= LARGEST_MODULE:
            data = _exactly(stream, size)
            for one in names:
                yield one, data
        else:
            _skip(stream, size)
        _skip(stream, -size % 4)


def _walk_to_the_end(path: Path, file: io.BufferedReader, offset: int, headers: _Headers) -> None:
    """Raise NotAnRpm when a payload without a digest is cut off."""
    if not _paths(headers):
        return
    try:
        for _ in _members(_opened(file, offset), set()):
            pass
    except _UnwalkableError:
        return
    except _DAMAGE as exc:
        raise _damaged(path, "its payload is cut off or damaged") from exc


def _payload(
    path: Path,
    file: io.BufferedReader,
    offset: int,
    wanted: set[str],
    notes: list[str],
) -> dict[str, bytes]:
    try:
        found = dict(_members(_opened(file, offset), wanted))
    except _UnwalkableError as why:
        return _by_tool(path, str(why), wanted, notes)
    except _DAMAGE as exc:
        raise _damaged(path, "its payload is cut off or damaged") from exc
    return found


def payload_files(path: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of the files ``wanted`` of the package ``path``, as far as it has them.

    Raises NotAnRpm like inspect().
    """
    try:
        with path.open("rb") as file:
            package = rpmfile.open(fileobj=file)
            return _payload(path, file, package.data_offset, set(wanted), [])
    except _DAMAGE as exc:
        raise _damaged(path, "its headers cannot be read") from exc


def _by_tool(path: Path, why: str, wanted: set[str], notes: list[str]) -> dict[str, bytes]:
    """Read the payload with rpm2archive or rpm2cpio; neither runs anything of the package."""
    tried = []
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as folder:
        work = Path(folder)
        copy = work / "package.rpm"
        copy.symlink_to(path.resolve())
        for tool, read in (("rpm2archive", _archive), ("rpm2cpio", _cpio)):
            try:
                found = read(copy, wanted)
            except ToolMissing:
                tried.append(f"{tool} is not installed")
            except (ToolFailed, *_DAMAGE):
                tried.append(f"{tool} could not read it")
            else:
                notes.append(f"the payload was read with {tool}: {why}")
                return found
    notes.append(
        f"the payload could not be read: {why}; {' and '.join(tried)}"
        " (dnf install rpm, dnf install rpm2archive on newer Fedora, or apt-get install rpm2cpio)"
    )
    return {}


def _archive(copy: Path, wanted: set[str]) -> dict[str, bytes]:
    """rpm2archive(8) writes package.rpm.tgz beside the package."""
    process.run(["rpm2archive", copy.name], cwd=copy.parent)
    with tarfile.open(copy.parent / f"{copy.name}.tgz") as archive:
        members = {_rooted(m.name): m for m in archive}
        # Hard links name another member, which may stand before or after them.
        sources = {
            name: _rooted(members[name].linkname) if members[name].islnk() else name
            for name in wanted & set(members)
        }
        found: dict[str, bytes] = {}
        for source in sorted(set(sources.values())):
            member = members.get(source)
            if member and member.isreg() and member.size <= LARGEST_MODULE:
                stream = archive.extractfile(member)
                found[source] = stream.read() if stream else b""
    return {name: found[source] for name, source in sources.items() if source in found}


def _rooted(name: str) -> str:
    return "/" + name.removeprefix(".").removeprefix("/")


def _cpio(copy: Path, wanted: set[str]) -> dict[str, bytes]:
    """rpm2cpio(8) writes to its output, which process.run reads as text: hence the shell."""
    process.find("rpm2cpio")
    target = copy.parent / "package.cpio"
    process.run(["sh", "-c", 'exec rpm2cpio "$1" > "$2"', "sh", copy, target])
    with target.open("rb") as stream:
        return dict(_members(stream, wanted))


# --- policy modules -------------------------------------------------------------------------------


def _unpacked(path: str, data: bytes) -> bytes:
    if not path.endswith(".bz2"):
        return data
    with bz2.BZ2File(io.BytesIO(data)) as stream:
        out = stream.read(LARGEST_MODULE + 1)
    if len(out) > LARGEST_MODULE:
        raise ValueError("larger than any policy module")
    return out


def pp_identity(data: bytes) -> tuple[str, int]:
    """Return the name and the binary format's version of a compiled module.

    ``("", 0)`` when ``data`` is no module. Source: libsepol, module.c (package header: magic
    0xf97cff8f, version, number of sections, their offsets) and policydb.c (0xf97cff8d, a counted
    string, type, version, configuration, two counts, then the counted name).
    """
    try:
        magic, _, sections = struct.unpack_from("<III", data)
        at = struct.unpack_from("<I", data, 12)[0]
        if magic != 0xF97CFF8F or not sections:
            return "", 0
        magic, length = struct.unpack_from("<II", data, at)
        if magic != 0xF97CFF8D or length > 64:
            return "", 0
        at += 8 + length
        kind, version, _, _, _ = struct.unpack_from("<IIIII", data, at)
        if kind != 2:  # POLICY_MOD; a base policy has no name
            return "base", version
        (length,) = struct.unpack_from("<I", data, at + 20)
        name = data[at + 24 : at + 24 + min(length, 256)]
        return name.decode("ascii", "replace"), version
    except struct.error:
        return "", 0


def _module(path: str, data: bytes | None, notes: Iterable[str]) -> PolicyModule:
    fallback = scriptlets.module_name(path)
    if data is None:
        told = next((n for n in notes if "could not be read" in n), "it is not in the payload")
        return PolicyModule(path, fallback, note=f"its rules could not be read: {told}")
    try:
        data = _unpacked(path, data)
    except _DAMAGE as exc:
        return PolicyModule(path, fallback, note=f"its rules could not be read: {exc}")
    if ".cil" in PurePosixPath(path).suffixes:
        return _with_content(path, fallback, 0, data.decode("utf-8", "replace"))
    name, version = pp_identity(data)
    if not name:
        return PolicyModule(path, fallback, note="its rules could not be read: no policy module")
    try:
        with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as folder:
            source = Path(folder, f"{name if name.isidentifier() else 'module'}.pp")
            source.write_bytes(data)
            text = process.run([PP_TO_CIL, source], why="it turns .pp into CIL").stdout
    except ToolMissing as exc:
        why = " ".join(str(exc).split())  # its hint names the package, on a line of its own
        return PolicyModule(path, name, version, note=f"its rules could not be read: {why}")
    except ToolFailed as exc:
        said = exc.decisive[0] if exc.decisive else f"status {exc.status}"
        why = f"its rules could not be read: hll/pp says: {said}"
        return PolicyModule(path, name, version, note=why)
    return _with_content(path, name, version, text)


def _with_content(path: str, name: str, version: int, text: str) -> PolicyModule:
    try:
        content = _content(read_cil(text), name)
    except (*_DAMAGE, RecursionError, AttributeError) as exc:
        return PolicyModule(path, name, version, note=f"its CIL could not be read: {exc}")
    return PolicyModule(path, name, version, content)


def _by_key(found: Mapping[str, Iterable[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((key, tuple(sorted(names))) for key, names in sorted(found.items()))


def _content(cil: Cil, name: str) -> PolicyContent:
    return PolicyContent(
        types=tuple(sorted(cil.types)),
        attributes=tuple(sorted(cil.attributes)),
        roles=tuple(sorted(cil.roles)),
        booleans=tuple(sorted(cil.booleans.items())),
        rules=tuple(
            sorted(
                {
                    PolicyRule(
                        r.kind,
                        r.source,
                        r.target,
                        r.cls,
                        tuple(sorted(r.perms)),
                        r.condition or "",
                        r.optional or "",
                    )
                    for r in cil.rules
                }
            )
        ),
        transitions=tuple(
            sorted(
                {
                    TypeTransition(t.source, t.target, t.cls, t.default, t.name or "")
                    for t in cil.transitions
                }
            )
        ),
        file_contexts=tuple(
            sorted({FileContext(f.pattern, f.ftype, f.type) for f in cil.filecons})
        ),
        ports=tuple(
            sorted(
                {
                    Port(p.protocol, int(p.low), int(p.high), p.type, f"module {name}")
                    for p in cil.portcons
                }
            )
        ),
        permissive=tuple(sorted(cil.permissive)),
        attribute_members=_by_key(cil.attribute_members),
        required=_by_key(cil.required),
        required_optional=_by_key(cil.required_optional),
    )


# --- conclusions ----------------------------------------------------------------------------------


def _boolean_changes(readings: Iterable[scriptlets.Reading]) -> tuple[BooleanChange, ...]:
    return tuple(
        sorted(
            {
                BooleanChange(a.name, a.value, a.persistent, f"%{reading.name}")
                for reading in readings
                for a in reading.actions
                if a.kind == "boolean-set"
            }
        )
    )


def _ports(
    readings: Iterable[scriptlets.Reading], modules: Iterable[PolicyModule]
) -> tuple[Port, ...]:
    out = {port for m in modules if m.content for port in m.content.ports}
    for reading in readings:
        for action in reading.actions:
            protocol, _, span = action.name.partition("/")
            low, _, high = span.partition("-")
            if action.kind == "port-add" and low.isdecimal() and (high or low).isdecimal():
                source = f"%{reading.name}"
                out.add(Port(protocol, int(low), int(high or low), action.value, source))
    return tuple(sorted(out))


def _file_findings(files: Iterable[PackagedFile]) -> Iterator[Finding]:
    for file in files:
        bits = [b for b in file.special_bits if b != "sticky"]
        if bits and file.kind == "file":
            reason = f"runs with the rights of {file.user}:{file.group} ({file.permissions})"
            yield Finding("medium", "setid-file", file.path, f"{' and '.join(bits)}: {reason}")
        if file.capabilities not in {"", "="}:
            yield Finding(
                "medium", "file-capabilities", file.path, f"has capabilities: {file.capabilities}"
            )
        if file.mode & stat.S_IWOTH and file.kind in {"file", "directory"}:
            if file.kind == "directory" and file.mode & stat.S_ISVTX:
                continue
            yield Finding(
                "medium", "world-writable", file.path, f"anyone can write it ({file.permissions})"
            )


def _module_findings(
    modules: Sequence[PolicyModule], readings: Iterable[scriptlets.Reading]
) -> Iterator[Finding]:
    installed = {
        scriptlets.module_name(a.name)
        for reading in readings
        for a in reading.actions
        if a.kind == "module-install"
    }
    computed = any("$" in name or "*" in name for name in installed)
    for module in modules:
        names = {scriptlets.module_name(module.path), module.name}
        if not computed and not names & installed:
            yield Finding(
                "low",
                "module-not-installed",
                module.path,
                f"no scriptlet installs the module {module.name}",
            )
        content = module.content
        if content is None:
            continue
        for domain in content.permissive:
            yield Finding(
                "high",
                "permissive",
                module.path,
                f"the domain {domain} is permissive: not confined",
            )
        strong: dict[tuple[str, str], set[str]] = {}
        for rule in content.rules:
            found = _STRONG.get(rule.cls, set()) & set(rule.permissions)
            if rule.kind == "allow" and found:
                strong.setdefault((rule.source, rule.cls), set()).update(found)
        for (source, cls), permissions in sorted(strong.items()):
            yield Finding(
                "medium",
                "strong-permission",
                module.path,
                f"{source} may {cls}: {', '.join(sorted(permissions))}",
            )
    paths = {scriptlets.module_name(m.path) for m in modules} | {m.name for m in modules}
    for name in sorted(installed - paths):
        if not computed:
            yield Finding(
                "low",
                "module-elsewhere",
                name,
                f"a scriptlet installs the module {name}, which is not in this package",
            )
