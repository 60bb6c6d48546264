"""What the stand-ins build with: rpmbuild on this host, no chroot, stub headers, no %check."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

STUB = "%.pp: %.te\n\tcat $*.te $*.fc >$@\n"


def rebuild(
    srpm: Path, result: Path, dist: str, defines: Iterable[str] = ()
) -> tuple[int, list[Path]]:
    """Rebuild ``srpm`` into ``result``, with a build.log; return rpmbuild's status and the RPMs."""
    result.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stand-in-") as temporary:
        work = Path(temporary)
        (work / "headers").mkdir()
        (work / "headers" / "Makefile").write_text(STUB)
        command = ["rpmbuild", "--rebuild", "--nodeps", "--nocheck"]
        for text in (f"_topdir {work}/top", f"dist {dist}", *defines):
            command += ["--define", text]
        # --rebuild leaves no source RPM: -ba of the unpacked one does, as mock and Koji do.
        subprocess.run(
            ["rpm", "-i", "--define", f"_topdir {work}/top", srpm], capture_output=True, check=True
        )
        (spec,) = (work / "top" / "SPECS").glob("*.spec")
        command[1] = "-ba"
        with (result / "build.log").open("w") as log:
            done = subprocess.run(
                [*command, str(spec)],
                env={**os.environ, "WSGISEPKG_HEADERS": str(work / "headers"), "LC_ALL": "C"},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        found = []
        if done.returncode == 0:
            for path in sorted((work / "top").glob("*RPMS/**/*.rpm")):
                found.append(path.rename(result / path.name))
    return done.returncode, found


def dist_of(name: str) -> str:
    """Return the dist tag that belongs to a root, a chroot or a build target."""
    words = name.replace("_", "-").removesuffix(".cfg").split("-")
    for before, word in zip(["", *words], words, strict=False):
        if word.isdigit():
            return f".fc{word}" if before == "fedora" else f".el{word}"
        if word[:2] == "el" and word[2:].isdigit():
            return f".{word}"
    return ".el9" if "9" in name else ".fc43"
