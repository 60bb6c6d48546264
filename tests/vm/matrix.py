"""The cells of matrix.toml: what they are, how one is run, and what it found."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import msgspec
from vm_tools import job_files, named

from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.machine.trial import refusals
from wsgi_sepkg.simulate.run import simulate
from wsgi_sepkg.simulate.scenarios import chosen

_FILE = Path(__file__).with_name("matrix.toml")
# The web server, and what the packages bring.
_OURS = re.compile(r"^httpd_t |\b(guestbook|oldbook|shop)_\w+_t\b")


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be seen; None is not asked. ``verify`` '' means that rpm -V finds nothing."""

    modules: tuple[str, ...] | None = None
    labels: dict[str, str] = {}
    boolean: str | None = None
    port: tuple[str, ...] | None = None
    verify: str | None = None


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A disk that cells begin with."""

    name: str
    script: str
    selinux: bool = True


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of a host's life, and what must be seen in it."""

    name: str
    about: str
    script: str
    start: str = "clean"
    selinux: bool = True
    scenario: str = ""
    new: tuple[str, ...] = ("guestbook-*1.4-*",)
    old: tuple[str, ...] = ("guestbook-*1.3-*",)
    agrees: str = ""
    ends: str = "Enforcing"
    status: dict[str, int] = {}
    said: dict[str, tuple[str, ...]] = {}
    look: dict[str, Look] = {}
    pages: dict[str, dict[str, int]] = {}
    denied: tuple[str, ...] = ()


class _Matrix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: tuple[State, ...]
    cell: tuple[Cell, ...]


@cache
def _matrix() -> _Matrix:
    return msgspec.toml.decode(_FILE.read_bytes(), type=_Matrix)


def cells() -> tuple[Cell, ...]:
    """Return all cells in the order of the file."""
    return _matrix().cell


def run(cell: Cell, machine: Machine, packages: tuple[Path, ...]) -> Outcome:
    """Run a cell; the machine that it begins with is kept beside the image."""
    if cell.start != "clean":
        state = _state(cell.start)
        begun = machine if state.selinux else machine.without_selinux()
        machine = begun.after(state.name, *_job(state.script, packages))
    if not cell.selinux:
        machine = machine.without_selinux()
    script, files = _job(cell.script, packages)
    return machine.run(script, files, limit=1500)


def made_of(cell: Cell, machine: Machine, packages: tuple[Path, ...]) -> str:
    """Return a name for all that a cell's outcome follows from, its expectations included."""
    digest = hashlib.sha256(msgspec.json.encode(cell))
    if cell.start != "clean":
        digest.update(msgspec.json.encode(_state(cell.start)))
        digest.update(machine.key(*_job(_state(cell.start).script, packages)).encode())
    digest.update(machine.key(*_job(cell.script, packages)).encode())
    return digest.hexdigest()[:8]


def _state(name: str) -> State:
    (state,) = (state for state in _matrix().state if state.name == name)
    return state


def _job(text: str, packages: tuple[Path, ...]) -> tuple[str, dict[str, Path | str]]:
    script = f". ./matrix.sh\n{text}\nstep end\n"
    return script, named(script, job_files(*packages))


def faults(cell: Cell, outcome: Outcome) -> Iterator[str]:
    """Give each thing that is not as the cell says."""
    if outcome.enforcing != cell.ends:
        yield f"getenforce says {outcome.enforcing}"
    for name in sorted(outcome.files):
        if name.endswith(".status"):
            step = name.removesuffix(".status")
            if (found := outcome.text(name).strip()) != str(cell.status.get(step, 0)):
                yield f"{step} ended with {found}: {outcome.text(f'{step}.log').strip()[-800:]}"
    for step in cell.status:
        if not outcome.text(f"{step}.status"):
            yield f"{step} has not run"
    for step, words in cell.said.items():
        log = outcome.text(f"{step}.log")
        yield from (f"{step} does not say {word!r}: {log}" for word in words if word not in log)
    for step, wanted in cell.look.items():
        yield from (f"{step}: {fault}" for fault in _unlike(wanted, step, outcome))
    for step, statuses in cell.pages.items():
        yield from _pages(step, statuses, outcome)
    for item in refusals(outcome.text("audit.log")):
        short = f"{item.source} {item.target}:{item.tclass}"
        if _OURS.search(short) and short not in cell.denied:
            yield f"denied {short} {item.permissions} {item.command} {item.where}"


def disagreements(cell: Cell, outcome: Outcome, packages: tuple[Path, ...]) -> Iterator[str]:
    """Give each thing that the simulator foretells of the cell's scenario, and that is not so."""
    if not cell.scenario:
        return
    new, old = (
        [path for path in packages if any(fnmatch(path.name, word) for word in words)]
        for words in (cell.new, cell.old)
    )
    (found,) = simulate(new, cell.scenario, old)
    yield from (f"the simulator: {check.text}: {check.why}" for check in found.checks if check.why)
    look = cell.agrees or list(cell.look)[-1]
    modules = outcome.text(f"{look}.modules").split()
    if list(found.modules) != modules:
        yield f"the simulator: modules {found.modules}, the machine: {modules}"
    foretold = {0: "off", 1: "on"}[dict(found.booleans)["httpd_can_sendmail"]]
    boolean = outcome.text(f"{look}.boolean").strip()
    if foretold != boolean:
        yield f"the simulator: the boolean is {foretold}, the machine: {boolean}"
    (scenario,) = chosen(cell.scenario)
    said = "".join(outcome.text(name) for name in sorted(outcome.files) if name.endswith(".log"))
    for words in scenario.expect.said:
        if words.replace("{module}", "guestbook") not in said:
            yield f"the simulator: the scriptlets say {words!r}, the machine: they do not"
    verify = outcome.text(f"{look}.verify").strip()
    wanted = scenario.expect.verify
    if wanted is not None and (
        wanted.replace("{module}", "guestbook") not in verify if wanted else bool(verify)
    ):
        yield f"the simulator: rpm -V says {wanted!r}, the machine: {verify!r}"


def _unlike(wanted: Look, step: str, outcome: Outcome) -> Iterator[str]:
    modules = tuple(outcome.text(f"{step}.modules").split())
    if wanted.modules is not None and modules != wanted.modules:
        yield f"modules {modules}"
    lines = [line.split() for line in outcome.text(f"{step}.labels").splitlines()]
    labels = {line[0]: line[1] for line in lines if len(line) == 2}
    for path, label in wanted.labels.items():
        if labels.get(path) != label:
            yield f"{path} is {labels.get(path)}"
    boolean = outcome.text(f"{step}.boolean").strip()
    if wanted.boolean is not None and boolean != wanted.boolean:
        yield f"the boolean is {boolean!r}"
    port = tuple(outcome.text(f"{step}.port").split())
    if wanted.port is not None and port != wanted.port:
        yield f"the port is {port}"
    verify = outcome.text(f"{step}.verify").strip()
    if wanted.verify is not None and (
        wanted.verify not in verify if wanted.verify else bool(verify)
    ):
        yield f"rpm -V says {verify!r}"


def _pages(step: str, wanted: Mapping[str, int], outcome: Outcome) -> Iterator[str]:
    found = json.loads(outcome.text(f"{step}.json") or "{}")
    if found != wanted:
        yield f"{step}: answers {found} {outcome.text(f'{step}.err')[-300:]}"
