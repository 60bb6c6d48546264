"""Small packages built quickly, and a scratch root in which their scriptlets run for real.

The policy compiler is replaced by a stub of the devel Makefile (a module is then the text of its
sources), so that a package takes about a second; spec, scriptlets, macros and rpmbuild are real.
Only the example of ``guestbook()`` is built with the real one, too.
The scratch root is the one of ``wsgi-sepkg simulate``.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from shop import source

from wsgi_sepkg.engines.reproducible import MACROS as REPRODUCIBLE
from wsgi_sepkg.package.build import lay_out
from wsgi_sepkg.package.inspect import payload_files
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.project.load import load
from wsgi_sepkg.simulate import root as scratch
from wsgi_sepkg.simulate.root import make_base

MACROS = Path(__file__).parents[1] / "data" / "macros"
EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook"
FAMILIES = ("own", "el8", "el9", "el10", "fedora")
_STEPS = ("PRETRANS", "PREIN", "POSTIN", "PREUN", "POSTUN", "POSTTRANS", "VERIFYSCRIPT")
SELINUX = "shop-selinux"
STAND_INS = sorted(program.name for program in scratch.STAND_INS.iterdir())


@cache
def work() -> Path:
    """Return a folder that goes when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="wsgi-sepkg-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def shared() -> Path:
    """Return a folder that all workers of pytest-xdist share; the last of them takes it away."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if not run:
        return work()
    folder = Path(tempfile.gettempdir()) / f"wsgi-sepkg-tests-{run}"
    folder.mkdir(exist_ok=True)
    users = (folder / "users").open("w")
    fcntl.flock(users, fcntl.LOCK_SH)

    def leave() -> None:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
        else:
            shutil.rmtree(folder, ignore_errors=True)
        users.close()

    atexit.register(leave)
    return folder


# -- packages --------------------------------------------------------------------------------------


def stub_headers() -> Path:
    """Return headers whose Makefile makes a module of the text of its sources."""
    folder = work() / "headers"
    if not folder.exists():
        folder.mkdir()
        (folder / "Makefile").write_text("%.pp: %.te\n\tcat $*.te $*.fc >$@\n")
    return folder


def made(name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder ``name`` that all workers share; ``make`` fills it, once in a run."""
    folder = shared() / name
    with (shared() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared() / f"{name}.made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (shared() / f"{name}.made").touch()
    return folder


@cache
def package(text: str, macros: str = "own", target: str = "el9") -> tuple[Path, ...]:
    """Return the RPMs of the description ``text``, built with the macros of ``macros``."""

    def make(folder: Path) -> None:
        tree = generate(load(source(folder / "source", text), target=target))
        rpmbuild(lay_out(tree, folder / "sources"), folder, macro_options(macros))

    name = hashlib.sha256(f"{text}\0{macros}\0{target}".encode()).hexdigest()[:16]
    return rpms(made(name, make))


@cache
def guestbook() -> Path:
    """Return what ``build`` of the example printed and left, in ``said.json`` and ``out``.

    A real build with the policy of this host: nothing is replaced, and nobody may write there.
    """

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "wsgi_sepkg", "build", EXAMPLE, "-t", "debian-12"]
        with (folder / "said.json").open("wb") as said:
            done = subprocess.run(
                [*command, "-o", folder / "out", "--format", "json"],
                stdout=said,
                stderr=subprocess.PIPE,
                text=True,
                timeout=900,
            )
        assert done.returncode == 0, done.stderr

    return made("guestbook", make)


def macro_options(family: str) -> list[str | Path]:
    """Return what loads the macros of ``family``; the build's own need nothing."""
    return [] if family == "own" else ["--load", MACROS / f"{family}.macros"]


def rpms(folder: Path) -> tuple[Path, ...]:
    """Return the packages that rpmbuild left below ``folder``."""
    return tuple(sorted((folder / "top").glob("RPMS/*/*.rpm")))


def rpmbuild(
    spec: Path, folder: Path, options: Iterable[str | Path] = (), mode: str = "-bb"
) -> tuple[Path, ...]:
    """Build ``spec``, whose sources lie beside it, without its %check; return the RPMs."""
    command: list[str | Path] = ["rpmbuild", mode, "--nodeps", "--nocheck", *options]
    for name, value in (("_topdir", folder / "top"), ("_sourcedir", spec.parent), ("dist", ".el9")):
        command += ["--define", f"{name} {value}"]
    done = subprocess.run(
        [*command, spec],
        env=os.environ | {"WSGISEPKG_HEADERS": str(stub_headers())},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return rpms(folder)


def rpmbuild_exactly(
    spec: Path, folder: Path, dist: str, before: Sequence[str] = ()
) -> tuple[Path, ...]:
    """Build ``spec`` of an unpacked source package as the program does, without its %check.

    ``before`` is a program that runs rpmbuild, and its options.
    """
    command: list[str | Path] = [*before, "rpmbuild", "-ba", "--nodeps", "--nocheck"]
    for name, value in {"_topdir": str(folder), "dist": dist, **REPRODUCIBLE}.items():
        command += ["--define", f"{name} {value}"]
    done = subprocess.run([*command, spec], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-4000:]
    return tuple(sorted(folder.glob("RPMS/*/*.rpm")))


def selinux_package(packages: Sequence[Path]) -> Path:
    """Return the package that holds the policy."""
    return next(p for p in packages if "-selinux-" in p.name)


def application_package(packages: Sequence[Path]) -> Path:
    """Return the package that holds the application."""
    return next(p for p in packages if "-selinux-" not in p.name)


def query(package: Path, form: str) -> str:
    """Return what rpm says of ``package`` in the form ``form``."""
    return subprocess.run(
        ["rpm", "-qp", "--qf", form, package], capture_output=True, text=True, check=True
    ).stdout


@cache
def scriptlets(package: Path) -> dict[str, str]:
    """Return the scriptlets of a built package by rpm's names of them, those that it has."""
    texts = query(package, "\x1e".join(f"%{{{step}}}" for step in _STEPS)).split("\x1e")
    return {s: t for s, t in zip(_STEPS, texts, strict=True) if t != "(none)"}


# -- the scratch root ------------------------------------------------------------------------------


@cache
def _base(shell: str) -> Path:
    return make_base(work() / f"root-{shell}", shell)


class Root(scratch.Root):
    """A scratch root of the simulator with a step at a time; any step that fails is an error.

    ``said`` is what the scriptlets printed.
    """

    def __init__(self, shell: str = "bash", selinux: bool = True) -> None:
        super().__init__(_base(shell), work(), selinux)
        self.said: list[str] = []

    def run(self, script: str, argument: int | str = "") -> subprocess.CompletedProcess[str]:
        """Run a scriptlet in the root as rpm does: sh FILE ARGUMENT."""
        done = self.run_shell(script, argument)
        return subprocess.CompletedProcess(done.command, done.status, done.stdout, done.stderr)

    def step(self, package: Path, name: str, argument: int | str) -> list[str]:
        """Run one scriptlet of ``package``, which must end with 0; return the calls."""
        script = scriptlets(package).get(name, "")
        done = self.run(script, argument)
        assert done.returncode == 0, f"%{name}: {done.stderr}"
        self.said.append(done.stdout + done.stderr)
        return self.calls()

    def unpack(self, package: Path) -> None:
        """Put the files of a -selinux package into the root; rpm itself is used elsewhere."""
        listing = query(package, "[%{FILENAMES}\n]").split()
        wanted = [n for n in listing if n.endswith((".bz2", "/manifest"))]
        for name, content in payload_files(package, wanted).items():
            self.at(name).parent.mkdir(parents=True, exist_ok=True)
            self.at(name).write_bytes(content)

    def remove(self, package: Path, kept: Path | None = None) -> None:
        """Take away the files of ``package`` that ``kept`` has not."""
        stay = set(query(kept, "[%{FILENAMES}\n]").split()) if kept else set()
        for name in query(package, "[%{FILENAMES}\n]").split():
            if name not in stay and self.at(name).is_file():
                self.at(name).unlink()

    def install(self, package: Path) -> dict[str, list[str]]:
        """Go through an installation in rpm's order; return the calls of each step."""
        found = {"pre": self.step(package, "PREIN", 1)}
        self.unpack(package)
        found["post"] = self.step(package, "POSTIN", 1)
        found["posttrans"] = self.step(package, "POSTTRANS", 1)
        return found

    def upgrade(self, old: Path, new: Path) -> dict[str, list[str]]:
        """Go through an upgrade in rpm's order; return the calls of each step."""
        found = {"pre": self.step(new, "PREIN", 2)}
        self.unpack(new)
        found["post"] = self.step(new, "POSTIN", 2)
        found["preun"] = self.step(old, "PREUN", 1)
        self.remove(old, new)
        found["postun"] = self.step(old, "POSTUN", 1)
        found["posttrans"] = self.step(new, "POSTTRANS", 2)
        return found

    def erase(self, package: Path) -> dict[str, list[str]]:
        """Go through an erasure in rpm's order; return the calls of each step."""
        found = {"preun": self.step(package, "PREUN", 0)}
        self.remove(package)
        found["postun"] = self.step(package, "POSTUN", 0)
        return found


def flat(calls: dict[str, list[str]]) -> list[str]:
    """Return the calls of all steps in their order."""
    return [call for step in calls.values() for call in step]
