"""The scenarios of scenarios.toml: what happens to a host, in which order, and what must hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from wsgi_sepkg.errors import UsageError

_FILE = Path(__file__).with_name("scenarios.toml")
Group = Literal["both", "policy", "application"]


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that happens: a transaction, or an event of events.py.

    ``old`` takes the older packages, ``killed`` ends rpm in the middle of %post.
    """

    install: Group | None = None
    erase: Group | None = None
    event: str = ""
    old: bool = False
    killed: bool = False


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What must hold at the end; what is not said is not asked. expect.py interprets it.

    ``relabelled``, ``semodule``, ``silent`` and ``never`` are about the last transaction, ``said``
    about what the scriptlets of all of them printed.
    """

    modules: Literal["present", "absent", ""] = ""
    semodule: int | None = None
    relabelled: Literal["changed", "left", "none", ""] = ""
    booleans: Literal["wished", "before", "kept", ""] = ""
    said: tuple[str, ...] = ()
    silent: bool = False
    verify: str | None = None
    never: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    hidden: bool = True
    leaves_nothing: bool = False


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named life of packages on a host; ``needs`` says which packages it makes sense for."""

    name: str
    about: str
    steps: tuple[Stage, ...]
    expect: Expectation
    needs: tuple[Literal["old", "application", "booleans", "ports", "contexts", "two"], ...] = ()


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scenario: tuple[Scenario, ...]


@cache
def scenarios() -> tuple[Scenario, ...]:
    """Return all scenarios in the order of the file."""
    return msgspec.toml.decode(_FILE.read_bytes(), type=_Table).scenario


def chosen(name: str) -> tuple[Scenario, ...]:
    """Return the scenario ``name``, or all of them for ``all``. Raises UsageError."""
    found = tuple(s for s in scenarios() if name in ("all", s.name))
    if not found:
        raise UsageError(
            f"there is no scenario {name}", "known: all, " + ", ".join(s.name for s in scenarios())
        )
    return found
