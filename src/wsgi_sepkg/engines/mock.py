"""The engine that runs mock on this host: a clean chroot of each target, from its repositories.

Argument list, result folder and exit statuses: mock(1) and mockbuild/exception.py of mock 6.7.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from wsgi_sepkg import process, resources, targets
from wsgi_sepkg.engines.base import Results, Submission, decisive, log_of
from wsgi_sepkg.engines.own import OwnProcess
from wsgi_sepkg.engines.reproducible import MACROS
from wsgi_sepkg.errors import (
    BuilderFailed,
    BuildStopped,
    DependencyMissing,
    PackageBuildFailed,
    UsageError,
    WsgiSepkgError,
)

VENDORS = ("alma", "rocky", "centos-stream", "rhel")

# status: (error, what happened, what to do, the logs that tell, the most telling first)
STATUSES: dict[int, tuple[type[WsgiSepkgError], str, str, tuple[str, ...]]] = {
    1: (
        PackageBuildFailed,
        "the build in the chroot failed",
        "mend what the lines name and build again",
        ("build.log", "root.log", "output.log"),
    ),
    2: (
        BuilderFailed,
        "mock was started without its setuid wrapper",
        "run the `mock` of the distribution's package (/usr/bin/mock), not the script in libexec",
        ("output.log",),
    ),
    3: (
        UsageError,
        "mock knows no such root, or its configuration is wrong",
        "install mock-core-configs, look for the root with `mock --list-chroots`, or name another "
        "with --root TARGET=NAME",
        ("output.log",),
    ),
    4: (
        PackageBuildFailed,
        "only some packages of a chain were built",
        "build them one by one",
        ("build.log", "output.log"),
    ),
    5: (
        BuilderFailed,
        "this mock does not know an option that it was given",
        "use mock 3.0 or newer",
        ("output.log",),
    ),
    6: (
        BuilderFailed,
        "the root is of an architecture that this host cannot run",
        "name a root of this host's architecture with --root TARGET=NAME",
        ("output.log",),
    ),
    10: (
        PackageBuildFailed,
        "rpmbuild failed in the chroot",
        "mend what the lines name and build again",
        ("build.log", "root.log", "output.log"),
    ),
    11: (
        BuildStopped,
        "the build took longer than it may",
        "look at what it waited for, or set rpmbuild_timeout in the root",
        ("build.log", "output.log"),
    ),
    20: (
        BuilderFailed,
        "the chroot could not be set up",
        "throw it away with `mock -r ROOT --scrub=all` and build again",
        ("root.log", "output.log"),
    ),
    25: (
        BuilderFailed,
        "mock's LVM plugin failed",
        "switch lvm_root off in the root, or mend the volume group",
        ("root.log", "output.log"),
    ),
    30: (
        DependencyMissing,
        "the package manager could not install what the build needs",
        "add the repository that has the package to the root, or correct the description's "
        "build requirement",
        ("root.log", "output.log"),
    ),
    31: (
        DependencyMissing,
        "the package needs something from outside the distribution that mock cannot get",
        "correct the build requirement, or make the package of it available in a repository",
        ("root.log", "output.log"),
    ),
    40: (
        PackageBuildFailed,
        "mock cannot read the source RPM",
        "make it anew with `wsgi-sepkg srpm` and look at it with `rpm -qpl`",
        ("output.log", "root.log"),
    ),
    50: (
        BuilderFailed,
        "a command of mock failed",
        "look at the output; `mock -r ROOT --init` shows whether the root works at all",
        ("output.log", "root.log"),
    ),
    60: (
        BuilderFailed,
        "the chroot is in use by another mock",
        "wait until that one is done, or end it, and build again",
        ("output.log",),
    ),
    65: (
        BuilderFailed,
        "mock's LVM thin pool is in use",
        "wait until the other mock is done and build again",
        ("output.log",),
    ),
    70: (
        BuilderFailed,
        "mock may not write into the result folder",
        "choose an --outdir that the account behind mock (SUDO_UID, or a member of group mock) can "
        "reach and write",
        ("output.log",),
    ),
    80: (
        BuilderFailed,
        "this host does not let mock make namespaces",
        "run it outside of an unprivileged container, or in one with --privileged",
        ("output.log",),
    ),
    90: (
        BuilderFailed,
        "the bootstrap chroot could not be made",
        "set use_bootstrap to False in the root, or look whether its repositories can be reached",
        ("root.log", "output.log"),
    ),
    110: (
        BuilderFailed,
        "mock lost track of its own states",
        "report it to mock with state.log, and build again",
        ("state.log", "output.log"),
    ),
    120: (
        DependencyMissing,
        "a weak dependency of the build could not be installed",
        "set install_weak_deps=0 in the root, or make the package available",
        ("root.log", "output.log"),
    ),
    129: (BuildStopped, "mock was ended by a hang-up", "build again", ("output.log",)),
    141: (BuildStopped, "mock was ended by a closed pipe", "build again", ("output.log",)),
    143: (BuildStopped, "mock was asked to end", "build again", ("output.log",)),
}
_SIGNALED = (BuildStopped, "mock was killed", "build again", ("output.log",))


class Mock(OwnProcess):
    """mock on this host, one process for each target."""

    name = "mock"
    interval = 0.5

    def __init__(self, vendor: str = "", roots: Mapping[str, str] | None = None) -> None:
        """``vendor`` is whose rebuild of RHEL the roots are made of; ``roots`` go before ours."""
        if vendor and vendor not in VENDORS:
            raise UsageError(f"{vendor}: no such vendor", f"known: {', '.join(VENDORS)}")
        self._vendor = vendor
        self._roots = dict(roots or {})

    def root(self, target: str) -> str:
        """Return the root of ``target``: what was asked for, else our file for it."""
        if target in self._roots:
            return self._roots[target]
        vendors = tuple(targets.load(target).build.mock_roots)
        name = target
        if self._vendor and len(vendors) > 1:
            if self._vendor not in vendors:
                raise UsageError(
                    f"{self._vendor} has no {target}", f"for {target}: {', '.join(vendors)}"
                )
            if self._vendor != vendors[0]:
                name = f"{target}-{self._vendor}"
        path = resources.folder("mock-configs") / f"{name}.cfg"
        if not path.is_file():
            raise UsageError(
                f"{target}: there is no mock root for it",
                f"name one with --root {target}=NAME, where NAME is a root that mock knows or the "
                "path of a .cfg file",
            )
        return str(path)

    def prepare(self, submission: Submission) -> None:
        """Look for mock itself, and for the root where it is a file."""
        process.find("mock", "building in a clean chroot")
        for target, root in submission.roots.items():
            if root.endswith(".cfg") and not Path(root).is_file():
                raise UsageError(f"{root}: no such file", f"it was named as the root of {target}")

    def command(self, submission: Submission) -> list[str | Path]:
        """Return mock's argument list."""
        (root,) = submission.roots.values()
        srpm, place = submission.srpm, _place(submission)
        assert srpm is not None
        if root.endswith(".cfg"):
            root = str(Path(root).resolve())
        if place != submission.work:
            root = str(place / Path(root).name) if root.endswith(".cfg") else root
            srpm = place / srpm.name
        defines: list[str | Path] = []
        for name, value in MACROS.items():
            defines += ["--define", f"{name} {value}"]
        return [
            "mock",
            "--root",
            root,
            "--resultdir",
            place / "result",
            # Two builds of one root side by side, ours or another's, need chroots of their own.
            "--uniqueext",
            submission.key,
            "--enable-plugin",
            "root_cache",
            *defines,
            "--rebuild",
            srpm,
        ]

    def submit(self, submission: Submission) -> str:
        """Start mock; it goes on when this program is killed."""
        command = self.command(submission)
        place = _place(submission)
        result = place / "result"
        result.mkdir(parents=True, exist_ok=True)
        if place != submission.work:
            (root,) = submission.roots.values()
            for folder in (place, result):
                folder.chmod(0o755)
            for file in [str(submission.srpm), *([root] if root.endswith(".cfg") else [])]:
                shutil.copyfile(file, place / Path(file).name)
                (place / Path(file).name).chmod(0o644)
        account = _account()
        if account is not None:
            # mock writes there as the account behind sudo.
            os.chown(result, account, -1)
        process.start(command, submission.work, why="building in a clean chroot")
        return submission.key

    def phase(self, submission: Submission) -> str:
        """Return what mock does: it writes the log of a phase when that begins."""
        for name, phase in (("build.log", "rpmbuild"), ("root.log", "chroot")):
            log = _place(submission) / "result" / name
            if log.is_file() and log.stat().st_size:
                return phase
        return "starting"

    def fetch(self, submission: Submission, build: str, target: str, folder: Path) -> Results:
        """Copy RPMs and logs out of the result folder."""
        packages, logs = [], []
        place = _place(submission)
        found = sorted((place / "result").glob("*"))
        for path in [*found, submission.work / "output.log"]:
            if path.suffix == ".rpm":
                packages.append(Path(shutil.copyfile(path, folder / path.name)))
            elif path.suffix == ".log" and path.is_file():
                logs.append(Path(shutil.copyfile(path, folder / path.name)))
        if place != submission.work:
            shutil.rmtree(place, ignore_errors=True)
        return Results(tuple(packages), tuple(logs))

    def failure(
        self, submission: Submission, build: str, target: str, results: Results
    ) -> WsgiSepkgError:
        """Return what mock's exit status means, with the lines of the log that belongs to it."""
        status = process.ended(submission.work)
        if status == 0:
            return PackageBuildFailed(
                "mock ended well but left no packages",
                "look into the result folder",
                log=log_of(results, "output.log"),
            )
        return failure_of(-1 if status is None else status, results)


def failure_of(status: int, results: Results) -> WsgiSepkgError:
    """Return the error of mock's exit status (1 and up, -1 for killed without a status)."""
    killed = status < 0 or status > 128
    unknown = (
        PackageBuildFailed,
        "mock failed",
        "look at the output",
        ("build.log", "root.log", "output.log"),
    )
    kind, what, cure, logs = STATUSES.get(status, _SIGNALED if killed else unknown)
    log = log_of(results, *logs)
    lines = decisive(log)
    said = f"mock ended with status {status}: {what}" if status > 0 else f"{what}"
    text = " ".join(lines)
    if "will not run from the root account" in text:
        kind, said = BuilderFailed, "mock does not run from a plain root account"
        cure = "run as a member of group mock, or set SUDO_UID and SUDO_GID to one"
    elif "in mock group" in text or "member of the mock group" in text:
        kind, said = BuilderFailed, "this account is not in group mock"
        cure = "usermod -a -G mock ACCOUNT, and log in again"
    elif status in (1, 10) and "No matching package" in text:
        kind = DependencyMissing
    if issubclass(kind, PackageBuildFailed):
        return kind(said, cure, lines, log)
    shown = "".join(f"\n    {line}" for line in lines)
    where = f"; the whole log: {log}" if log else ""
    return kind(said + shown, cure + where)


def _account() -> int | None:
    """Return the account that mock works as when root runs it through sudo, else None."""
    uid = os.environ.get("SUDO_UID", "")
    return int(uid) if os.geteuid() == 0 and uid.isdigit() else None


def _place(submission: Submission) -> Path:
    """Return the folder in which mock reads and writes.

    It is the submission's own, unless mock works as an account that cannot reach that (root's home,
    say): then one below /var/tmp, by the key, so that a later client finds it again.
    """
    account = _account()
    elsewhere = Path("/var/tmp") / submission.key  # noqa: S108 - the key cannot be guessed
    if account is None or account == 0:
        return submission.work
    for folder in submission.work.parents:
        status = folder.stat()
        if not (status.st_mode & 0o001 or (status.st_uid == account and status.st_mode & 0o100)):
            return elsewhere
    return submission.work
