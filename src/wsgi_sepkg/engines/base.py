"""The interface of a build engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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


class Engine(Protocol):
    """Turns a request into packages. Raises ToolMissing, BuildFailed."""

    name: str

    def source(self, request: Request) -> Built:
        """Make the SRPM alone."""
        ...

    def build(self, request: Request) -> Built:
        """Make the SRPM and the RPMs."""
        ...
