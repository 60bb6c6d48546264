"""Transactions in rpm's order.

For each new package %pre, its files, %post; then for each old one %preun, its files, %postun; at
the end each %posttrans. ``$1`` is how many of the package are installed when the scriptlet's work
is done, as rpm counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wsgi_sepkg.package.scriptlets import read_scriptlet
from wsgi_sepkg.simulate.package import Package, ordered
from wsgi_sepkg.simulate.root import CONTEXTS, TIMED_OUT, Root


@dataclass(frozen=True)
class Call:
    """What a stand-in was asked for, and what that does in words ('' when it is plain)."""

    command: str
    text: str = ""


@dataclass(frozen=True)
class Step:
    """One scriptlet that was run; ``said`` is what it printed, ``note`` why it was not run."""

    package: str
    scriptlet: str
    argument: int
    status: int = 0
    calls: tuple[Call, ...] = ()
    said: str = ""
    note: str = ""
    policy: bool = False
    killed: bool = False


@dataclass(frozen=True)
class Transaction:
    """The scriptlets of one transaction, and the file contexts before and after it."""

    title: str
    steps: tuple[Step, ...] = ()
    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()

    def commands(self, *programs: str, policy_only: bool = False) -> list[str]:
        """Return the calls of ``programs`` in their order."""
        return [
            call.command
            for step in self.steps
            for call in step.calls
            if call.command.split(" ", 1)[0] in programs and (step.policy or not policy_only)
        ]

    def relabelled(self, policy_only: bool = False) -> list[str]:
        """Return the paths that were relabelled: by fixfiles as it compares, and by name."""
        return sorted(
            {
                word
                for step in self.steps
                for call in step.calls
                for word in call.command.split()[1:]
                if call.command.startswith(("relabel ", "restorecon "))
                and word.startswith("/")
                and (step.policy or not policy_only)
            }
        )

    @property
    def interrupted(self) -> bool:
        """Tell whether rpm was killed in it."""
        return any(step.killed for step in self.steps)

    def said(self, policy_only: bool = False) -> str:
        """Return all that the scriptlets printed."""
        return "".join(s.said for s in self.steps if s.policy or not policy_only)


class Interrupted(Exception):
    """A scriptlet was killed: rpm ends there."""


@dataclass
class Host:
    """A scratch root with the packages that are installed, by name."""

    root: Root
    installed: dict[str, Package] = field(default_factory=dict)
    done: list[Transaction] = field(default_factory=list)

    def contexts(self) -> frozenset[str]:
        """Return the lines of the file contexts."""
        return frozenset(self.root.read(CONTEXTS).splitlines())

    def install(self, packages: Sequence[Package], killed: bool = False) -> None:
        """Install or replace ``packages`` in one transaction.

        ``killed``: rpm and the scriptlet are killed at the first call of semodule.
        """
        if killed:
            self.root.write("kill-semodule", "")
        order = ordered(packages)
        old = {p.name: self.installed[p.name] for p in order if p.name in self.installed}
        steps: list[Step] = []
        before = self.contexts()
        try:
            for package in order:
                self._run(steps, package, "pretrans", 1 + (package.name in old))
            for package in order:
                count = 1 + (package.name in old)
                self._run(steps, package, "pre", count)
                package.unpack(self.root)
                self.installed[package.name] = package
                self._run(steps, package, "post", count)
            for package in reversed(order):
                if package.name in old:
                    self._erase(steps, old[package.name], 1, package)
            for package in order:
                self._run(steps, package, "posttrans", 1 + (package.name in old))
        except Interrupted:
            self.root.at("tmp/scriptlet").unlink(missing_ok=True)
        self._end(_title(order, old), steps, before)

    def erase(self, names: Iterable[str]) -> None:
        """Erase packages in one transaction, those first that others do not want."""
        gone = [self.installed.pop(name) for name in names if name in self.installed]
        steps: list[Step] = []
        before = self.contexts()
        for package in reversed(ordered(gone)):
            self._erase(steps, package, 0)
        self._end("erase " + ", ".join(p.nevra for p in gone), steps, before)

    def verify(self, package: Package) -> tuple[int, str]:
        """Return the status of %verifyscript and what it printed; (0, '') when there is none."""
        steps: list[Step] = []
        self._run(steps, package, "verify", 0)
        return (steps[0].status, steps[0].said) if steps else (0, "")

    def _erase(
        self, steps: list[Step], package: Package, count: int, new: Package | None = None
    ) -> None:
        self._run(steps, package, "preun", count)
        package.remove(self.root, new)
        self._run(steps, package, "postun", count)

    def _run(self, steps: list[Step], package: Package, name: str, count: int) -> None:
        script = package.scripts.get(name)
        if script is None:
            return
        policy = package.role == "policy"
        program = script.program or "/bin/sh"
        if not self.root.has(program.split()[0]):
            note = f"not run: it is written for {program}"
            steps.append(Step(package.name, name, count, note=note, policy=policy))
            return
        argument: int | str = "" if name == "verify" else count
        trap = self.root.at("kill-semodule")
        armed = trap.exists()
        done = self.root.run_shell(script.body, argument, program)
        killed = armed and not trap.exists()
        calls = tuple(_call(line) for line in self.root.calls())
        note = "rpm was killed here" if killed else ""
        if done.status == TIMED_OUT:
            note = "it did not end in time"
        status = 0 if killed else done.status
        steps.append(
            Step(package.name, name, count, status, calls, done.output, note, policy, killed)
        )
        if killed:
            raise Interrupted

    def _end(self, title: str, steps: list[Step], before: frozenset[str]) -> None:
        self.done.append(Transaction(title, tuple(steps), before, self.contexts()))


def _title(order: Sequence[Package], old: dict[str, Package]) -> str:
    words = []
    for package in order:
        if package.name not in old:
            words.append(f"install {package.nevra}")
        elif old[package.name].nevra == package.nevra:
            words.append(f"install {package.nevra} again")
        else:
            words.append(f"replace {old[package.name].nevra} by {package.nevra}")
    return ", ".join(words)


def _call(line: str) -> Call:
    """Explain a recorded call as inspect explains the same command in a scriptlet."""
    word, _, rest = line.partition(" ")
    if word == "relabel":
        return Call(line, f"restores the labels of {rest} and below, since its contexts changed")
    if word == "boolean":
        name, _, value = rest.partition(" ")
        return Call(line, f"the boolean {name} is {'on' if value == '1' else 'off'} from now on")
    if re.match(r"semanage boolean .*-[El]", line):
        return Call(line, "reads the booleans of the host")
    effects = read_scriptlet("call", "/bin/sh", line).effects
    return Call(line, "; ".join(effect.text for effect in effects))
