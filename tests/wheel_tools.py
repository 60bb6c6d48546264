"""Small wheels and the requirements files that pin them, for tests of bundled dependencies."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ELF = b"\x7fELF" + bytes(60)


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    tag: str = "py3-none-any",
    files: Mapping[str, bytes] | None = None,
    needs: Iterable[str] = (),
) -> Path:
    """Write a wheel of one module and ``files`` into ``folder`` and return its path."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
    every = {
        f"{name}/__init__.py": b"",
        **(files or {}),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        f"{info}/LICENSE": b"do as you like\n",
    }
    record = "".join(f"{place},,\n" for place in [*every, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, content in {**every, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(place), content)
    return path


def pin(path: Path, *more: str) -> str:
    """Return the line of a requirements file that locks ``path``; ``more`` follows the version."""
    name, version, *_ = path.name.split("-")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name}=={version}{''.join(more)} --hash=sha256:{digest}\n"
