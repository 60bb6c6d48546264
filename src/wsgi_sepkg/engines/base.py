"""The interface of a build engine, and what is handed over it.

An engine takes a source RPM and gives packages and logs. It never waits: ``submit`` returns once
the build is under way, ``follow`` says how far it is. So a build can be left and taken up again,
and many run side by side without a thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wsgi_sepkg.errors import WsgiSepkgError

if TYPE_CHECKING:
    from wsgi_sepkg.package.tree import Tree


@dataclass(frozen=True)
class Request:
    """What is to be built: ``sources`` is a folder with the spec and all its sources.

    ``headers`` and ``policy_root`` are the target's where they are not the host's own.
    """

    tree: Tree
    spec: Path
    sources: Path
    work: Path
    dist: str
    headers: Path | None = None
    policy_root: Path | None = None


@dataclass(frozen=True)
class Built:
    """What came out: ``packages`` are RPMs and the SRPM, ``log`` the whole output.

    ``check`` is the folder in which the package's %check left its result and the linked policy.
    ``notes`` say what a person should know about the build.
    """

    packages: tuple[Path, ...]
    log: Path
    check: Path | None
    notes: tuple[str, ...] = ()


class State(StrEnum):
    """How far a build for one target is."""

    waiting = "waiting"
    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    canceled = "canceled"

    @property
    def over(self) -> bool:
        """Tell whether nothing more will happen."""
        return self in (State.succeeded, State.failed, State.canceled)


@dataclass(frozen=True)
class Submission:
    """One thing that is handed to an engine, for one target or for several.

    ``key`` is unique: it goes to the server with the build, so that it can be found there.
    ``roots`` are the engine's names of the targets. ``srpm`` is the source RPM, or None where
    ``scm`` is the address that the service itself takes the sources from. ``work`` is a folder of
    its own. ``created`` is in seconds since the epoch.
    """

    key: str
    roots: Mapping[str, str]
    nvr: str
    sha256: str
    srpm: Path | None
    scm: str
    work: Path
    created: float
    project: str

    @property
    def name(self) -> str:
        """The name of the source package."""
        return self.nvr.rsplit("-", 2)[0]


@dataclass(frozen=True)
class Progress:
    """The state of a target, what the service says of it, and where a person can look."""

    state: State
    detail: str = ""
    url: str = ""


@dataclass(frozen=True)
class Results:
    """Files that were fetched into a folder."""

    packages: tuple[Path, ...]
    logs: tuple[Path, ...]


class Engine(Protocol):
    """Where source RPMs become packages.

    ``interval`` is the number of seconds between two questions for the state; ``together`` tells
    that one submission may serve several targets; ``remote`` that a service does the work. Every
    method may raise ServiceFailed (the service does not answer) or ServiceRefused.
    """

    name: str
    interval: float
    together: bool
    remote: bool

    def root(self, target: str) -> str:
        """Return the engine's name of ``target``. Raises UsageError where there is none."""
        ...

    def prepare(self, submission: Submission) -> None:
        """Look whether the build can be submitted: login, project, root. Raises UsageError."""
        ...

    def submit(self, submission: Submission) -> str:
        """Start the build and return the engine's name of it."""
        ...

    def find(self, submission: Submission) -> str:
        """Return the engine's name of a build that was submitted with this key, '' for none."""
        ...

    def follow(self, submission: Submission, build: str) -> Mapping[str, Progress]:
        """Return the state of each target of the submission."""
        ...

    def fetch(self, submission: Submission, build: str, target: str, folder: Path) -> Results:
        """Bring packages and logs of ``target`` into ``folder``."""
        ...

    def failure(
        self, submission: Submission, build: str, target: str, results: Results
    ) -> WsgiSepkgError:
        """Return the error of a build that failed: the decisive lines, and what to do."""
        ...

    def cancel(self, submission: Submission, build: str) -> None:
        """Stop the build; one that is over stays as it is."""
        ...


_DECISIVE = re.compile(
    r"error|Error:|ERROR|FAIL|not found|No such file|No matching package|nothing provides|"
    r"Bad exit|Traceback|ImportError|cannot |denied|No space|timed? ?out",
)
_PLAIN = re.compile(
    r"^\S*\s*\S*\s*(?:error: |Error: )|No matching package|nothing provides|Bad exit|"
    r"^\w*(?:Error|Exception): |:\d+:(?:\d+:)? (?:fatal )?error"
)
_NOISE = re.compile(r"^(?:DEBUG|INFO)?[\s:]*(?:\+ |Child return code was: 0|warning:)")


def decisive(log: Path | None, count: int = 8) -> list[str]:
    """Return the lines of a log that say why the build failed, at most ``count`` of them."""
    if log is None:
        return []
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = [line.strip()[:300] for line in text.splitlines() if line.strip()]
    # rpmbuild repeats its errors under "RPM build errors:" at the end.
    telling = list(dict.fromkeys(x for x in lines if _DECISIVE.search(x) and not _NOISE.match(x)))
    if not telling:
        return lines[-count:]
    # What tools say as their last word is kept before what merely looks like trouble.
    plain = [line for line in telling if _PLAIN.search(line)][-count:]
    rest = [line for line in telling if line not in plain]
    kept = {*plain, *rest[len(rest) - (count - len(plain)) :]} if len(plain) < count else {*plain}
    return [line for line in telling if line in kept]


def log_of(results: Results, *names: str) -> Path | None:
    """Return the first fetched log of one of ``names`` that has something in it."""
    for name in names:
        for path in results.logs:
            if path.name == name and path.stat().st_size:
                return path
    return None
