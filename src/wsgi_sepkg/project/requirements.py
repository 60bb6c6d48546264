"""A requirements file: what is wanted of the distribution, or exactly what travels along.

The form is pip's (Requirements File Format). Nothing is fetched and no other file is read. For what
travels along, a line that does not say one version with the hashes of its files is a mistake: a
package that is built again must hold the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import InvalidMarker, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from wsgi_sepkg.project.values import shown

_LARGEST = 4_000_000  # bytes; 200 packages with all their hashes are 400 kB
LOCK_CURE = (
    "write the file with `pip-compile --generate-hashes` or `uv pip compile --generate-hashes`"
)

# Options that say where files come from: pip reads them when it downloads, the package never.
_FOR_DOWNLOADS = frozenset(
    {"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host"}
)
_WITHOUT_EFFECT = frozenset({"--no-index", "--prefer-binary", "--only-binary", "--require-hashes"})
_CURES = {
    "-r": "put what it names into this file",
    "--requirement": "put what it names into this file",
    "-c": "put the versions into this file",
    "--constraint": "put the versions into this file",
    "-e": "leave it out: the application itself is packaged from its source (`--no-emit-project`)",
    "--editable": "leave it out: the application itself is packaged from its source "
    "(`--no-emit-project`)",
    "--no-binary": "leave it out: only wheels are packaged",
    "--pre": "leave it out: a pinned version may be a pre-release",
}
_OTHER_FILES = frozenset({"-r", "--requirement", "-c", "--constraint", "-e", "--editable"})
_HASH = re.compile(r"\s--hash(?:=|\s+)(\S+)")


@dataclass(frozen=True)
class Mistake:
    """What is wrong in a line (1-based) of the file, and the cure."""

    line: int
    message: str
    hint: str


class _Conditional:
    """A requirement that counts where its marker is true."""

    name: str
    marker: str

    def applies(self, environment: Mapping[str, str]) -> bool:
        """Tell whether the marker is true in ``environment`` (names of PEP 508)."""
        found = Requirement(f"{self.name} ; {self.marker}").marker if self.marker else None
        return found is None or found.evaluate({**environment, "extra": ""})


@dataclass(frozen=True)
class Locked(_Conditional):
    """One requirement: ``name`` is normalised, ``hashes`` are SHA-256 in hex, ``line`` 1-based.

    ``marker`` tells where it counts ('' everywhere), ``extras`` which of its options are wanted.
    """

    name: str
    version: str
    extras: frozenset[str]
    marker: str
    hashes: frozenset[str]
    line: int


@dataclass(frozen=True)
class Wanted(_Conditional):
    """A requirement by name: ``bounds`` are (operator, version) of PEP 440."""

    name: str
    extras: frozenset[str]
    bounds: tuple[tuple[str, str], ...]
    marker: str


@dataclass(frozen=True)
class Lock:
    """A whole file: requirements and mistakes in its order, options for downloads as written."""

    requirements: tuple[Locked, ...]
    options: tuple[str, ...]
    mistakes: tuple[Mistake, ...]


def environment(python: str, architecture: str) -> dict[str, str]:
    """Return the values of markers on a target.

    Its Python is taken for the first of its series: what is needed below a later one goes in, and
    is harmless where it is not.
    """
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": architecture,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def text_of(path: Path) -> str:
    """Return the text of a requirements file. Raises ValueError, saying why it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as exc:
        raise ValueError(exc.strerror or str(exc)) from exc
    if len(data) > _LARGEST:
        raise ValueError(f"larger than {_LARGEST // 1_000_000} MB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError("not UTF-8") from exc


def wanted(text: str) -> tuple[tuple[Wanted, ...], tuple[Mistake, ...]]:
    """Return what a requirements file wants by name, and its mistakes. Nothing is raised."""
    found: list[Wanted] = []
    mistakes: list[Mistake] = []
    for line, words in _lines(text):
        if words.startswith("-"):
            option = re.split(r"[\s=]", words, maxsplit=1)[0]
            if option in _OTHER_FILES:
                mistakes.append(Mistake(line, f"{shown(option)} is not read here", _CURES[option]))
            continue
        said = _parsed(_HASH.sub("", words).strip())
        if said is None or said.url:
            hint = "write a name, with bounds of its version where it needs them"
            mistakes.append(Mistake(line, f"{shown(words)} is no name of a package", hint))
            continue
        bounds = tuple(sorted((s.operator, s.version) for s in said.specifier))
        marker = str(said.marker) if said.marker is not None else ""
        found.append(Wanted(canonicalize_name(said.name), frozenset(said.extras), bounds, marker))
    if not found and not mistakes:
        mistakes.append(Mistake(1, "names no package", "write one name a line"))
    return tuple(found), tuple(mistakes)


def _parsed(text: str) -> Requirement | None:
    try:
        found = Requirement(text)
        if found.marker is not None:
            found.marker.evaluate({"extra": ""})
    except (InvalidRequirement, InvalidMarker, UndefinedEnvironmentName, RecursionError):
        return None
    return found


def read(text: str) -> Lock:
    """Return what a requirements file says. Nothing is raised: its mistakes are in the result."""
    requirements: list[Locked] = []
    options: list[str] = []
    mistakes: list[Mistake] = []
    for line, words in _lines(text):
        if words.startswith("-"):
            name = re.split(r"[\s=]", words, maxsplit=1)[0]
            if name in _FOR_DOWNLOADS:
                options.append(words)
            elif name not in _WITHOUT_EFFECT:
                hint = _CURES.get(name, "leave it out")
                mistakes.append(Mistake(line, f"{shown(name)} is not read here", hint))
            continue
        found = _requirement(line, words)
        if isinstance(found, Locked):
            requirements.append(found)
        else:
            mistakes.append(found)
    mistakes += _twice(requirements)
    if not requirements and not mistakes:
        mistakes.append(Mistake(1, "names no package", LOCK_CURE))
    return Lock(tuple(requirements), tuple(options), tuple(sorted(mistakes, key=lambda m: m.line)))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that says something, continued lines as one."""
    begun, parts = 0, []
    for number, line in enumerate([*text.removeprefix("\ufeff").splitlines(), ""], start=1):
        # Between the lines of one requirement a comment may stand; it ends nothing.
        plain = re.sub(r"(^|\s)#.*", "", line).rstrip()
        continued = plain.endswith("\\")
        begun = begun or number
        parts.append(plain.removesuffix("\\").strip())
        if continued:
            continue
        whole = " ".join(part for part in parts if part)
        if whole:
            yield begun, whole
        begun, parts = 0, []


def _requirement(line: int, words: str) -> Locked | Mistake:
    hashes = _HASH.findall(words)
    plain = _HASH.sub("", words).strip()
    found = _parsed(plain)
    if found is None:
        hint = "write NAME==VERSION --hash=sha256:..."
        return Mistake(line, f"{shown(plain)} is no requirement", hint)
    name = canonicalize_name(found.name)
    if found.url:
        message = f"{name} comes from an address"
        return Mistake(line, message, "pin a version; --wheels names a folder with your own wheels")
    pins = [s for s in found.specifier if s.operator == "==" and not s.version.endswith(".*")]
    if len(found.specifier) != 1 or not pins:
        return Mistake(line, f"{shown(plain)} does not say one version", LOCK_CURE)
    try:
        version = str(Version(pins[0].version))
    except InvalidVersion:
        return Mistake(line, f"{shown(plain)} does not say one version", LOCK_CURE)
    if not hashes:
        return Mistake(line, f"{name}=={version} has no hash", LOCK_CURE)
    digests = set()
    for text in hashes:
        kind, _, digest = text.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9]+", kind) or not re.fullmatch(r"[0-9a-fA-F]+", digest):
            return Mistake(line, f"{shown(text)} is no hash", "write --hash=sha256:...")
        if kind == "sha256" and len(digest) == 64:
            digests.add(digest.lower())
    if not digests:
        return Mistake(line, f"{name}=={version} has no SHA-256 hash", LOCK_CURE)
    marker = str(found.marker) if found.marker is not None else ""
    return Locked(name, version, frozenset(found.extras), marker, frozenset(digests), line)


def _twice(requirements: list[Locked]) -> Iterator[Mistake]:
    """Yield the requirements that stand twice under one condition; others depend on the target."""
    seen: dict[tuple[str, str], int] = {}
    for one in requirements:
        first = seen.setdefault((one.name, one.marker), one.line)
        if first != one.line:
            yield Mistake(one.line, f"{one.name} is there twice, also in line {first}", LOCK_CURE)
