"""Replay: is each denial settled by the linked policy of a description?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg.denials.model import Denial
from wsgi_sepkg.package.tree import Tree
from wsgi_sepkg.policy import buildcheck
from wsgi_sepkg.policy.model import Policy

_FILE_TYPES = {
    "file": "file",
    "dir": "dir",
    "lnk_file": "link",
    "sock_file": "socket",
    "fifo_file": "pipe",
    "chr_file": "char",
    "blk_file": "block",
}
_OF_THE_KERNEL = re.compile(r"/(proc|sys)/.*|/memfd:.*|/SYSV.*|/dev/(pts|shm)/.*")


@dataclass(frozen=True)
class Replayed:
    """A denial asked of a linked policy; ``type`` is the label that its object has by then."""

    denial: Denial
    type: str
    allowed: bool
    why: str


def replay(policy: Policy, linked: buildcheck.Store, denials: Sequence[Denial]) -> list[Replayed]:
    """Ask the linked policy in ``linked`` about ``denials``.

    An object with a path is asked for under the label that the linked file contexts give to it, a
    port under the label that it has with the module; tunables and booleans stand as the package
    sets them.
    """
    types = _labels(linked, denials)
    asked = []
    for denial, type_ in zip(denials, types, strict=True):
        target = _port_type(policy, denial) or type_ or denial.target.type
        asked.append(
            buildcheck.Expectation(
                "allow",
                denial.source.type,
                target,
                denial.tclass,
                denial.permissions,
                *[""] * 5,
            )
        )
    switches = {t.name: t.default for t in policy.tunables}
    switches |= {b.name: b.value for b in policy.booleans}
    outcomes = buildcheck.check_access(buildcheck.linked_policy(linked), asked, switches)
    return [
        Replayed(denial, outcome.expectation.target, outcome.ok is True, outcome.why)
        for denial, outcome in zip(denials, outcomes, strict=True)
    ]


def _labels(linked: buildcheck.Store, denials: Sequence[Denial]) -> list[str]:
    """Return the type that the path of each denial has by the linked labels, '' where it has none.

    A path that file_contexts gives no label (``<<none>>``) keeps the one of the record.
    """
    asked = [
        (index, (denial.path, _FILE_TYPES[denial.tclass]))
        for index, denial in enumerate(denials)
        if denial.target.role == "object_r"
        and denial.tclass in _FILE_TYPES
        and denial.path.startswith("/")
        and not _OF_THE_KERNEL.fullmatch(denial.path)
    ]
    found = [""] * len(denials)
    labels = buildcheck.lookup(buildcheck.linked_contexts(linked), [path for _, path in asked])
    for (index, _), label in zip(asked, labels, strict=True):
        found[index] = label
    return found


def _port_type(policy: Policy, denial: Denial) -> str:
    if denial.port is None or not denial.tclass.endswith("_socket"):
        return ""
    protocol = denial.protocol or denial.tclass.removesuffix("_socket")
    for port in policy.ports:
        if port.protocol == protocol and port.low <= denial.port <= port.high:
            return port.type
    return ""


Vector = tuple[str, str, str, str]


def granted(modules: Sequence[Path]) -> set[Vector]:
    """Return what compiled modules grant: (source, target, class, permission)."""
    found: set[Vector] = set()
    for path in modules:
        for rule in buildcheck.read_cil(buildcheck.module_cil(str(path))).rules:
            if rule.kind == "allow":
                found |= {(rule.source, rule.target, rule.cls, p) for p in rule.perms}
    return found


def modules_in(work: Path, tree: Tree) -> list[Path]:
    """Return the module files that a check left in ``work``."""
    names = [f"{tree.policy.module}.pp"]
    if tree.policy.ports:
        names.append(f"{tree.policy.ports_module}.cil")
    return [work / "modules" / name for name in names]
