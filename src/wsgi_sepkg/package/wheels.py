"""The wheels that travel along with an application: chosen for its target, fetched, looked into.

The requirements file says which files are allowed, by their hashes; the target says which of them
fit: its Python, its glibc, the machines that the description names. pip downloads, and what it
brought is checked against the hashes once more. Wheels are kept in the cache by their hash, so that
the same description needs no network a second time.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cached_property
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)

from wsgi_sepkg import process
from wsgi_sepkg.errors import ServiceFailed, ToolMissing, UsageError, WheelMissing
from wsgi_sepkg.package.model import Bundle, Wheel
from wsgi_sepkg.package.records import sha256
from wsgi_sepkg.project import names, requirements
from wsgi_sepkg.project.load import Loaded
from wsgi_sepkg.project.requirements import LOCK_CURE, Lock, Locked, environment
from wsgi_sepkg.resources import cache_folder
from wsgi_sepkg.targets import Target

# The oldest glibc of manylinux: that of CPython's first wheels on x86_64, of PEP 599 elsewhere.
_OLDEST_GLIBC = {"x86_64": 5}
_NAMED_LEVELS = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_LIBRARY = re.compile(r"[A-Za-z0-9_.+-]+\.so(\.[A-Za-z0-9_.+-]+)?")
_EXTENSION = re.compile(r"\.(cpython-|abi3\.|pypy)")
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to establish|Could not fetch URL|"
    r"ConnectTimeout|ReadTimeout|Temporary failure|Max retries|SSLError|HTTP error|ProxyError"
)
_SHOWN_MAX = 10


@dataclass(frozen=True)
class Gathered:
    """The wheels of a description: as data for the plan, and where each file lies now."""

    bundle: Bundle
    files: Mapping[str, Path]


class Content:
    """What is in a wheel. Raises WheelMissing for a file that is none, or that leaves its tree.

    ``native`` tells that it holds machine code, ``libraries`` are the names of its shared libraries
    that are no modules of Python.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name, version, _, self.tags = parse_wheel_filename(path.name)
        self.version = str(version)
        libraries = set()
        self.native = all(tag.platform != "any" for tag in self.tags)
        try:
            with zipfile.ZipFile(path) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
                for info in members:
                    parts = PurePosixPath(info.filename).parts
                    if info.filename.startswith("/") or ".." in parts or "\\" in info.filename:
                        raise WheelMissing(
                            f"{path.name} holds {info.filename[:120]!a}, which leaves its folder",
                            "such a wheel is not packaged: ask its author, or pin another version",
                        )
                    with archive.open(info) as stream:
                        elf = stream.read(4) == b"\x7fELF"
                    self.native |= elf
                    if elf and _LIBRARY.fullmatch(parts[-1]) and not _EXTENSION.search(parts[-1]):
                        libraries.add(parts[-1])
                self._metadata = _metadata(archive, members)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as exc:
            raise WheelMissing(f"{path.name} is no wheel that can be read: {exc}") from exc
        self.libraries = frozenset(libraries)

    @cached_property
    def needs(self) -> tuple[Requirement, ...]:
        """What it requires of other packages; what nobody can read is left out."""
        found = []
        for text in self._metadata:
            try:
                found.append(Requirement(text))
            except InvalidRequirement:
                continue
        return tuple(found)


def _metadata(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> tuple[str, ...]:
    """Return the Requires-Dist lines of a wheel. Raises ValueError without METADATA."""
    for info in members:
        if re.fullmatch(r"[^/]+\.dist-info/METADATA", info.filename):
            text = archive.read(info).decode("utf-8", "replace")
            return tuple(HeaderParser().parsestr(text).get_all("Requires-Dist") or ())
    raise ValueError("it has no METADATA")


# -- what fits -------------------------------------------------------------------------------------


def platforms(architecture: str, glibc: str) -> list[str]:
    """Return the platform tags that run with a glibc of at least ``glibc``, the newest first."""
    newest = int(glibc.partition(".")[2])
    found = []
    for minor in range(newest, _OLDEST_GLIBC.get(architecture, 17) - 1, -1):
        found.append(f"manylinux_2_{minor}_{architecture}")
        if minor in _NAMED_LEVELS:
            found.append(f"{_NAMED_LEVELS[minor]}_{architecture}")
    return [*found, f"linux_{architecture}"]


def tags(python: str, architecture: str, glibc: str) -> dict[Tag, int]:
    """Return the tags of wheels that fit, with their rank: the lowest is the most special."""
    version = (3, int(python.partition(".")[2]))
    interpreter = f"cp{version[0]}{version[1]}"
    known = platforms(architecture, glibc)
    every = [
        *cpython_tags(version, [interpreter], known),
        *compatible_tags(version, interpreter, known),
    ]
    ranks: dict[Tag, int] = {}
    for tag in every:
        ranks.setdefault(tag, len(ranks))
    return ranks


# -- gathering -------------------------------------------------------------------------------------


def gather(loaded: Loaded, folder: Path | None = None) -> Gathered:
    """Return the wheels of a description that bundles its dependencies.

    ``folder`` holds all wheels; without it they come out of the cache, or pip downloads them.
    Raises WheelMissing when a wheel cannot be had, does not fit the target or is none, and
    ServiceFailed when the package index does not answer.
    """
    application = loaded.description.application
    assert application is not None
    lock = requirements.read(requirements.text_of(loaded.folder / application.requirements))
    python = application.python or loaded.target.default_python
    contents: dict[str, Content] = {}
    chosen: dict[str, set[str]] = {}
    for architecture in dict.fromkeys(application.architectures):
        source = _Source(loaded.target, python, architecture, lock, application.requirements)
        found = source.from_folder(folder) if folder is not None else source.from_cache()
        for path in found.values():
            if path.name not in contents:
                contents[path.name] = Content(path)
        machine = [contents[path.name] for path in found.values()]
        source.complete(machine)
        for content in machine:
            chosen.setdefault(content.path.name, set()).add(architecture)
    every = set(application.architectures)
    native = any(content.native for content in contents.values())
    same = all(machines == every for machines in chosen.values())
    wheels = tuple(
        Wheel(
            file=name,
            name=content.name,
            version=content.version,
            sha256=sha256(content.path),
            architectures=tuple(sorted(chosen[name])),
        )
        for name, content in sorted(contents.items())
    )
    bundle = Bundle(
        folder=names.environment_folder(loaded.description),
        wheels=wheels,
        architectures=tuple(sorted(every)) if native or not same else (),
        libraries=tuple(sorted({lib for c in contents.values() for lib in c.libraries})),
    )
    return Gathered(bundle, {name: content.path for name, content in contents.items()})


class _Source:
    """The wheels for one machine: what is wanted, what fits, and where to look."""

    def __init__(
        self, target: Target, python: str, architecture: str, lock: Lock, file: str
    ) -> None:
        self.python = python
        self.architecture = architecture
        self.platforms = platforms(architecture, target.glibc)
        self.tags = tags(python, architecture, target.glibc)
        self.environment = environment(python, architecture)
        self.options = lock.options
        self.file = file
        self.about = f"Python {python} on {architecture} with glibc {target.glibc} ({target.name})"
        self.wanted = [one for one in lock.requirements if one.applies(self.environment)]
        seen: dict[str, Locked] = {}
        for one in self.wanted:
            other = seen.setdefault(one.name, one)
            if other is not one:
                raise WheelMissing(
                    f"{file}:{one.line}: {one.name} is there twice for {self.about}, also in line "
                    f"{other.line}",
                    LOCK_CURE,
                )

    def from_folder(self, folder: Path) -> dict[str, Path]:
        """Return the wheels of ``folder`` by name. Raises WheelMissing naming all that lack."""
        try:
            files = sorted(p for p in folder.iterdir() if p.is_file())
        except OSError as exc:
            raise UsageError(f"--wheels {folder}: {exc.strerror or exc}") from exc
        found, missing = {}, []
        for one in self.wanted:
            try:
                found[one.name] = self.choose(one, files)
            except WheelMissing as exc:
                missing.append(exc)
        if missing:
            raise WheelMissing(_listed([exc.message for exc in missing]), missing[0].hint)
        return found

    def choose(self, one: Locked, files: Iterable[Path]) -> Path:
        """Return the file of ``files`` that fits best. Raises WheelMissing: why none does."""
        fitting: list[tuple[int, str, Path]] = []
        others: list[str] = []
        for path in files:
            if path.suffix != ".whl":
                if _is_source(path.name, one):
                    others.append(f"{path.name} is a source distribution")
                continue
            try:
                name, version, _, known = parse_wheel_filename(path.name)
            except InvalidWheelFilename:
                continue
            if (name, str(version)) != (one.name, one.version):
                continue
            ranks = [self.tags[tag] for tag in known if tag in self.tags]
            if not ranks:
                others.append(f"{path.name} is for another target")
            elif sha256(path) not in one.hashes:
                others.append(f"{path.name} has another hash")
            else:
                fitting.append((min(ranks), path.name, path))
        if not fitting:
            raise self.missing(one, "; ".join(others))
        return min(fitting)[2]

    def missing(self, one: Locked, why: str) -> WheelMissing:
        """Return the error that there is no wheel for ``one``."""
        return WheelMissing(
            f"{self.file}:{one.line}: {one.name}=={one.version}: no wheel for {self.about}"
            + (f": {why}" if why else ""),
            "only wheels are packaged: pin a version that has one, or build it with `pip wheel` "
            "and lock its hash; --wheels names a folder to take them from",
        )

    def from_cache(self) -> dict[str, Path]:
        """Return the wheels by name, downloading what is not in the cache yet."""
        kept = cache_folder("wheels")
        if not kept:
            raise UsageError("no folder to keep wheels in", "set HOME or XDG_CACHE_HOME")
        top = Path(kept)
        with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-wheels-") as temporary:
            found = {one.name: self.cached(one, top) for one in self.wanted}
            missing = [one for one in self.wanted if found[one.name] is None]
            if missing:
                work = Path(temporary, "new")
                work.mkdir()
                self.download(missing, work)
                files = sorted(work.iterdir())
                for one in missing:
                    found[one.name] = self.keep(one, self.choose(one, files), top)
        return {name: path for name, path in found.items() if path is not None}

    def _choice(self, one: Locked, top: Path) -> Path:
        """Return the file that remembers which of the allowed wheels was chosen for this target."""
        words = [one.name, one.version, *sorted(one.hashes), self.python, *self.platforms]
        return top / f"{hashlib.sha256(' '.join(words).encode()).hexdigest()}.choice"

    def cached(self, one: Locked, top: Path) -> Path | None:
        """Return the wheel that was chosen before, if it is still what it was."""
        try:
            digest, _, name = self._choice(one, top).read_text(encoding="utf-8").partition(" ")
            path = top / digest / Path(name).name
            return path if digest in one.hashes and sha256(path) == digest else None
        except (OSError, ValueError):
            return None

    def keep(self, one: Locked, path: Path, top: Path) -> Path:
        """Move a wheel into the cache and return its place there."""
        digest = sha256(path)
        place = top / digest / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{path.name}.part")
        shutil.copyfile(path, part)
        part.replace(place)
        choice = self._choice(one, top)
        part = choice.with_suffix(".part")
        part.write_text(f"{digest} {path.name}", encoding="utf-8")
        part.replace(choice)
        return place

    def download(self, missing: Sequence[Locked], work: Path) -> None:
        """Have pip download wheels for the target; markers were judged already, for the target."""
        listed = work.parent / "requirements.txt"
        lines = [*self.options]
        for one in missing:
            hashes = " ".join(f"--hash=sha256:{digest}" for digest in sorted(one.hashes))
            lines.append(f"{one.name}=={one.version} {hashes}")
        listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
        command += ["--progress-bar=off", "--implementation=cp", f"--python-version={self.python}"]
        command += [f"--abi=cp{self.python.replace('.', '')}"]
        command += [f"--platform={name}" for name in self.platforms]
        command += ["--requirement", str(listed), "--dest", str(work)]
        done = process.run(command, check=False, timeout=3600, cwd=work.parent)
        if done.status == 0:
            return
        if "No module named pip" in done.output:
            raise ToolMissing("pip", "python3-pip", "python3-pip", "downloading wheels")
        if _NO_NETWORK.search(done.output):
            raise ServiceFailed(
                f"pip cannot reach the package index:{_last(done.output)}",
                "try again, or name a folder with the wheels: --wheels DIR",
            )
        for one in missing:
            pinned = re.escape(f"{one.name}=={one.version}")
            if re.search(rf"No matching distribution found for {pinned}\b", done.output):
                raise self.missing(one, "the package index has none with one of the hashes")
        if "DO NOT MATCH THE HASHES" in done.output:
            raise WheelMissing(
                f"a wheel of {self.file} has another hash than the file says:{_last(done.output)}",
                f"do not trust it before you know why; {LOCK_CURE}",
            )
        raise WheelMissing(f"pip cannot download what {self.file} says:{_last(done.output)}")

    def complete(self, contents: Sequence[Content]) -> None:
        """Look whether the file lists all that its packages need. Raises WheelMissing."""
        here: dict[str, Content] = {content.name: content for content in contents}
        lines = [
            f"{self.file}:{one.line}: {one.name}=={one.version} needs {need}"
            for one in self.wanted
            for need in _unmet(here[one.name], one, here, self.environment)
        ]
        if lines:
            raise WheelMissing(
                f"{self.file} does not list all that is needed on {self.about}\n    "
                + _listed(lines),
                LOCK_CURE,
            )


def _unmet(
    content: Content, one: Locked, here: Mapping[str, Content], environment: Mapping[str, str]
) -> Iterator[str]:
    """Yield what a package requires and nobody in ``here`` is."""
    for need in content.needs:
        extras = ["", *one.extras]
        if need.marker is not None and not any(
            need.marker.evaluate({**environment, "extra": extra}) for extra in extras
        ):
            continue
        found = here.get(canonicalize_name(need.name))
        if found is None or not need.specifier.contains(found.version, prereleases=True):
            yield f"{need.name}{need.specifier}"


def _is_source(name: str, one: Locked) -> bool:
    match = re.fullmatch(r"(.+)-([^-]+)\.(tar\.gz|tar\.bz2|zip)", name)
    return bool(match) and canonicalize_name(match.group(1)) == one.name  # type: ignore[union-attr]


def _listed(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _SHOWN_MAX} more"] if len(lines) > _SHOWN_MAX else []
    return "\n    ".join([*lines[:_SHOWN_MAX], *more])


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return "".join(f"\n    {line[:300]}" for line in lines[-4:])
