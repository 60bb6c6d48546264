"""Run scenarios on packages: each in a scratch root of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.simulate.events import EVENTS, Cast
from wsgi_sepkg.simulate.expect import Before, Check, checks, left_over
from wsgi_sepkg.simulate.package import Package, read
from wsgi_sepkg.simulate.root import Root, default_shell, make_base
from wsgi_sepkg.simulate.scenarios import Scenario, chosen
from wsgi_sepkg.simulate.transaction import Host, Transaction


@dataclass(frozen=True)
class Outcome:
    """What came of one scenario; ``skipped`` says why it was not run.

    ``modules`` are PRIORITY/NAME, ``booleans`` those that the packages set, with their values;
    ``left`` are the paths that were not there before and do not belong to an installed package.
    """

    scenario: str
    about: str
    skipped: str = ""
    notes: tuple[str, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    checks: tuple[Check, ...] = ()
    modules: tuple[str, ...] = ()
    booleans: tuple[tuple[str, int], ...] = ()
    relabelled: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether all held; a scenario that was skipped is no failure."""
        return all(check.held for check in self.checks)

    @property
    def failing(self) -> tuple[str, ...]:
        """The scriptlets that ended with another status than 0."""
        return tuple(
            f"%{step.scriptlet} {step.package}: status {step.status}"
            for transaction in self.transactions
            for step in transaction.steps
            if step.status != 0
        )


def simulate(
    packages: Sequence[Path],
    scenario: str = "all",
    old: Sequence[Path] = (),
    shell: str = "",
) -> Iterator[Outcome]:
    """Give the outcome of each scenario asked for; ``old`` are the packages before an upgrade.

    ``shell`` is the host's program that is /bin/sh, bash or dash. The scriptlets run for real, with
    the rights of the caller, in a root folder of their own: this is no sandbox for packages that
    nobody trusts. Raises NotAnRpm, UsageError, ToolMissing, WrongHost.
    """
    wanted = chosen(scenario)
    if shell not in ("", "bash", "dash"):
        raise UsageError(f"{shell} cannot be /bin/sh here", "known: bash, dash")
    new = tuple(read(path) for path in packages)
    if not any(package.modules for package in new):
        raise UsageError(
            "none of these packages brings a policy module",
            "give the -selinux package, and the application's beside it",
        )
    cast = Cast(new, tuple(read(path) for path in old) or new)
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as folder:
        work = Path(folder)
        base = make_base(work / "base", shell or default_shell())
        for each in wanted:
            yield run(each, cast, Root(base, work), has_old=bool(old))


def run(scenario: Scenario, cast: Cast, root: Root, has_old: bool = True) -> Outcome:
    """Return the outcome of ``scenario`` for the packages of ``cast`` on the fresh host ``root``.

    ``has_old`` False says that the older packages are the same ones, for want of others.
    """
    missing = _missing(scenario, cast)
    if missing:
        return Outcome(scenario.name, scenario.about, skipped=missing)
    host = Host(root)
    for wish in cast.wishes:
        root.set_booleans(**{wish.name: 1 - wish.value})
    before: Before | None = None
    for stage in scenario.steps:
        # What an administrator does before the first transaction belongs to the host as it was.
        if before is None and not stage.event:
            before = _before(root)
        if stage.event:
            EVENTS[stage.event](host, cast)
        elif stage.install:
            host.install(cast.group(stage.install, stage.old), stage.killed)
        elif stage.erase:
            host.erase(p.name for p in cast.group(stage.erase))
    assert before is not None
    found = tuple(checks(scenario.expect, host, cast, before))
    notes = ["the same packages stand for the older ones"]
    return Outcome(
        scenario.name,
        scenario.about,
        notes=tuple(notes if "old" in scenario.needs and not has_old else ()),
        transactions=tuple(host.done),
        checks=found,
        modules=tuple(sorted(root.modules())),
        booleans=tuple((w.name, root.boolean(w.name)) for w in cast.wishes),
        relabelled=tuple(sorted({p for t in host.done for p in t.relabelled()})),
        left=tuple(left_over(host, cast, before)),
    )


def _before(root: Root) -> Before:
    return Before(frozenset(root.listing()), tuple(root.booleans().items()))


def _missing(scenario: Scenario, cast: Cast) -> str:
    """Return why the scenario makes no sense for these packages, '' when it does."""
    policies: list[Package] = cast.group("policy")
    reasons = {
        "application": (not cast.group("application"), "the application's package is not given"),
        "booleans": (not cast.wishes, "the packages set no boolean"),
        "ports": (not any(p.ports for p in policies), "the packages bring no port"),
        "contexts": (not any(p.contexts for p in policies), "the modules have no file contexts"),
        "two": (len(policies) < 2, "two policy packages are needed"),
    }
    return next(
        (why for need, (lacks, why) in reasons.items() if need in scenario.needs and lacks), ""
    )
