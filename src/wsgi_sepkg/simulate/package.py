"""A package as rpm sees it in a transaction: names, scriptlets, files, and what it brings."""

from __future__ import annotations

import bz2
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from wsgi_sepkg.package.inspect import (
    MODULE_ENDINGS,
    BooleanChange,
    PackagedFile,
    Port,
    inspect,
    payload_files,
)
from wsgi_sepkg.package.scriptlets import module_name
from wsgi_sepkg.simulate.root import Root

_LARGEST = 1024 * 1024  # bytes of a file that is unpacked with its content
_FOLDER = "/usr/share/selinux/packages/"
_MANIFEST = re.compile(r"(?m)^boolean (\S+) ([01]) (\S+)$")


@dataclass(frozen=True)
class Script:
    """A scriptlet: ``program`` is its interpreter's command line."""

    program: str
    body: str


@dataclass(frozen=True)
class Wish:
    """A boolean of the base policy that a package sets, at each upgrade or once."""

    name: str
    value: int
    always: bool = True


@dataclass(frozen=True)
class Package:
    """A package that can take part in a simulated transaction.

    ``scripts`` are by the names of a spec (``post``), ``modules`` the policy modules by name with
    the bytes of their files; ``wants`` are names that it requires or is ordered after.
    """

    path: Path
    name: str
    nevra: str
    scripts: MappingProxyType[str, Script]
    files: tuple[PackagedFile, ...]
    contents: MappingProxyType[str, bytes]
    modules: MappingProxyType[str, bytes]
    booleans: tuple[Wish, ...]
    ports: tuple[Port, ...]
    wants: frozenset[str]

    @property
    def role(self) -> str:
        """``policy`` for a package that brings modules, else ``application``."""
        return "policy" if self.modules else "application"

    @property
    def contexts(self) -> tuple[str, ...]:
        """The lines of file contexts of its modules: text behind a magic number of a .pp."""
        return tuple(
            line
            for content in self.modules.values()
            for line in re.split(r"[^\t -~]", unpacked(content).decode("latin-1"))
            if re.match(r"/.*(object_r:|<<none>>)", line)
        )

    def unpack(self, root: Root) -> None:
        """Put the files into ``root``; those above 1 MiB are empty."""
        for file in self.files:
            if "ghost" in file.flags:
                continue
            place = root.at(file.path)
            if file.kind == "directory":
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            if file.kind == "link":
                place.symlink_to(file.link)
            elif file.kind == "file":
                place.write_bytes(self.contents.get(file.path, b""))

    def remove(self, root: Root, kept: Package | None = None) -> None:
        """Take away the files that ``kept`` has not, and folders that are empty then."""
        stay = {file.path for file in kept.files} if kept else set()
        for file in sorted(self.files, key=lambda f: f.path, reverse=True):
            place = root.at(file.path)
            if file.path in stay:
                continue
            if place.is_dir() and not place.is_symlink():
                if not any(place.iterdir()):
                    place.rmdir()
            else:
                place.unlink(missing_ok=True)


def unpacked(content: bytes) -> bytes:
    """Return a module's file without its compression."""
    return bz2.decompress(content) if content.startswith(b"BZh") else content


def read(path: Path) -> Package:
    """Return the package ``path``. Raises NotAnRpm."""
    found = inspect(path)
    wanted = {
        f.path
        for f in found.files
        if f.kind == "file" and "ghost" not in f.flags and (f.size or 0) <= _LARGEST
    }
    contents = payload_files(path, wanted)
    needs = [*found.dependencies.requires, *found.dependencies.order_with]
    return Package(
        path=path,
        name=found.nevra.name,
        nevra=str(found.nevra),
        scripts=MappingProxyType(
            {
                s.name: Script(s.interpreter, s.body)
                for s in found.scriptlets
                if " -- " not in s.name
            }
        ),
        files=found.files,
        contents=MappingProxyType(contents),
        modules=MappingProxyType(
            {
                module_name(name): content
                for name, content in sorted(contents.items())  # of several types, targeted
                if name.startswith(_FOLDER) and name.endswith(MODULE_ENDINGS)
            }
        ),
        booleans=_wishes(found.booleans, contents),
        ports=found.ports,
        wants=frozenset(
            word for need in needs for word in re.findall(r"[A-Za-z0-9][\w.+-]*", need.name)
        ),
    )


def _wishes(changes: Sequence[BooleanChange], contents: Mapping[str, bytes]) -> tuple[Wish, ...]:
    """Return the booleans that are set; packages of ours name them in their manifest."""
    found = {b.name: Wish(b.name, int(b.value)) for b in changes if b.value in {"0", "1"}}
    for name, content in contents.items():
        if name.endswith("/manifest"):
            for boolean, value, when in _MANIFEST.findall(content.decode("utf-8", "replace")):
                found[boolean] = Wish(boolean, int(value), when == "always")
    return tuple(found.values())


def ordered(packages: Sequence[Package]) -> list[Package]:
    """Return the packages in rpm's order: one that another requires, or is ordered after, first."""
    rest = sorted(packages, key=lambda p: p.name)
    out: list[Package] = []
    while rest:
        names = {p.name for p in rest}
        ready = next((p for p in rest if not (p.wants & (names - {p.name}))), rest[0])
        rest.remove(ready)
        out.append(ready)
    return out
