"""The files of an application, read with limits: nothing outside the tree, nothing endless."""

from __future__ import annotations

import ast
import io
import os
import stat
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from wsgi_sepkg.errors import Place, WsgiSepkgError
from wsgi_sepkg.project.values import shown

# ast.parse needs about 600 times a file's size in memory at worst (measured on Python 3.11).
LARGEST = 256_000
MOST_FILES = 400
_DEEPEST = 12
_SKIPPED = frozenset(
    ".git .hg .tox .venv venv env node_modules __pycache__ .mypy_cache .ruff_cache .pytest_cache "
    "build dist site-packages".split()
)


class Unreadable(WsgiSepkgError, ValueError):
    """A file of the application cannot be read; ``place`` says which and where."""

    exit_status = 2

    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(f"{place}: {message}", hint)
        self.place = place


@dataclass
class Tree:
    """A folder and what was read of it. Names are relative to it, with slashes.

    ``allowed`` are real paths outside that may be read through a link of the tree, because the
    user named them.
    """

    root: Path
    read: dict[str, str] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)
    _real: str = ""

    def __post_init__(self) -> None:
        self._real = os.path.realpath(self.root)

    def inside(self, name: str | PurePosixPath) -> Path | None:
        """Return the real path of ``name``, None when it leads out of the tree."""
        path = os.path.realpath(self.root / name)
        if path == self._real or path.startswith(self._real.rstrip("/") + "/"):
            return Path(path)
        return Path(path) if path in self.allowed else None

    def leaving(self, names: Iterable[str]) -> dict[str, str]:
        """Return the real paths of those names that are links out of the tree."""
        links = [name for name in names if (self.root / name).is_symlink()]
        return {n: os.path.realpath(self.root / n) for n in links if self.inside(n) is None}

    def is_file(self, name: str | PurePosixPath) -> bool:
        """Return whether there is a regular file in the tree."""
        return self._mode(name, stat.S_ISREG)

    def is_dir(self, name: str | PurePosixPath) -> bool:
        """Return whether there is a folder in the tree."""
        return self._mode(name, stat.S_ISDIR)

    def text(self, name: str | PurePosixPath, largest: int = LARGEST, python: bool = False) -> str:
        """Return what a file says; Python sources by the encoding that they declare.

        Raises Unreadable when it is no regular file of the tree, too large, or no text.
        """
        key = str(name)
        if key in self.read:
            return self.read[key]
        place = Place(shown(key))
        if len(self.read) >= MOST_FILES:
            raise Unreadable(place, f"more than {MOST_FILES} files are read in")
        if not self.is_file(name):
            raise Unreadable(place, "no regular file of this tree")
        real = self.inside(name)
        assert real is not None
        try:
            with real.open("rb") as stream:
                data = stream.read(largest + 1)
        except OSError as exc:
            raise Unreadable(place, exc.strerror or str(exc)) from exc
        if len(data) > largest:
            raise Unreadable(
                place,
                f"larger than {largest // 1000} kB",
                "describe the application by hand, or move what is no setting to another file",
            )
        if b"\0" in data:
            line = data[: data.index(b"\0")].count(b"\n") + 1
            raise Unreadable(Place(shown(key), line), "holds a null byte; this is no text")
        self.read[key] = _decoded(data, place, python)
        return self.read[key]

    def parsed(self, name: str | PurePosixPath) -> ast.Module:
        """Return the syntax tree of a Python source. Raises Unreadable."""
        text = self.text(name, python=True)
        place = Place(shown(str(name)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(text)
        except SyntaxError as exc:
            where = Place(place.file, exc.lineno or 0)
            raise Unreadable(where, f"not valid Python: {exc.msg}") from exc
        except (RecursionError, MemoryError) as exc:
            raise Unreadable(place, "nested too deeply") from exc
        except ValueError as exc:
            raise Unreadable(place, str(exc)) from exc

    def names(self, below: str = ".", suffixes: tuple[str, ...] = ()) -> list[str]:
        """Return the regular files below a folder, sorted; caches and environments are left out."""
        found: list[str] = []
        start = self.inside(below)
        if start is None or not start.is_dir():
            return found
        for folder, folders, files in os.walk(start):
            relative = os.path.relpath(folder, self._real)
            depth = 0 if relative == "." else relative.count("/") + 1
            folders[:] = sorted(f for f in folders if f not in _SKIPPED) if depth < _DEEPEST else []
            for file in sorted(files):
                if not suffixes or file.endswith(suffixes):
                    found.append(file if relative == "." else f"{relative}/{file}")
            if len(found) > 20_000:
                break
        return [name for name in found if self.is_file(name)] if suffixes else found

    def _mode(self, name: str | PurePosixPath, test: object) -> bool:
        try:
            real = self.inside(name)
            return real is not None and bool(test(real.stat().st_mode))  # type: ignore[operator]
        except (OSError, ValueError):
            return False


def _decoded(data: bytes, place: Place, python: bool) -> str:
    encoding = "utf-8"
    if python:
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        except SyntaxError as exc:
            raise Unreadable(place, f"unknown encoding: {exc.msg or exc}"[:200]) from exc
    # Only encodings of text: the others of the codec registry unpack or compress.
    if encoding not in ("utf-8", "utf-8-sig", "iso-8859-1", "iso-8859-15", "cp1252", "ascii"):
        raise Unreadable(place, f"encoding {shown(encoding)} is not read", "save it as UTF-8")
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        where = Place(place.file, line)
        raise Unreadable(where, f"byte {data[exc.start]:#04x} is not {encoding}") from exc
