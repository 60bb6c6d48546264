"""What an answer is made of: fixes, what they change, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

from wsgi_sepkg.denials import knowledge as known
from wsgi_sepkg.denials.knowledge import Problem
from wsgi_sepkg.denials.model import Denial


@dataclass(frozen=True)
class Change:
    """What a fix changes in a description, in words: ``changes.py`` makes the TOML of it.

    ``word`` is that of the knowledge or ``boolean``, ``connect``, ``port``; ``values`` are what it
    needs, by name.
    """

    word: str
    values: tuple[tuple[str, str], ...] = ()

    def value(self, name: str) -> str:
        """Return a value, '' when there is none."""
        return dict(self.values).get(name, "")


@dataclass(frozen=True)
class Fix:
    """One way to settle a denial."""

    kind: known.Kind
    rung: known.Rung
    id: str
    """The entry, ``boolean:NAME`` or the rung that found it."""
    says: str
    cure: str
    grants: str = ""
    """What becomes allowed, in a line; '' where nothing does."""
    opens: tuple[str, ...] = ()
    """What else it opens, as known."""
    opens_count: int | None = None
    """Access vectors that it opens, counted on the policy; None when that was not asked."""
    verified: str = ""
    """How it was verified that it covers the denial; '' where nothing can be."""
    refs: tuple[str, ...] = ()
    change: Change | None = None
    weak: bool = False


@dataclass(frozen=True)
class Refused:
    """A way that other tools propose and this one does not."""

    what: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """What a denial means and how it is settled; ``fixes[0]`` is the answer, never empty."""

    denial: Denial
    fixes: tuple[Fix, ...]
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()
    problem: Problem | None = None


def rule(denial: Denial) -> str:
    """Return the bare rule that would allow a denial, as policy writes it."""
    target = "self" if denial.source.type == denial.target.type else denial.target.type
    wanted = " ".join(denial.permissions)
    if len(denial.permissions) > 1:
        wanted = f"{{ {wanted} }}"
    return f"allow {denial.source.type} {target}:{denial.tclass} {wanted};"


def change_values(denial: Denial, **more: str) -> tuple[tuple[str, str], ...]:
    values = {
        "source": denial.source.type,
        "target": denial.target.type,
        "class": denial.tclass,
        "permissions": " ".join(denial.permissions),
        "path": denial.path,
        "name": denial.name,
        "port": "" if denial.port is None else str(denial.port),
        "protocol": denial.protocol or denial.tclass.removesuffix("_socket"),
    }
    return tuple({**values, **more}.items())
