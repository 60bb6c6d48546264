"""The matrix of the targets, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from wsgi_sepkg.targets import Target


def as_dict(target: Target, host: str) -> dict[str, Any]:
    """Return what is known of a target; ``this-host`` says that this host compiles for it."""
    return {
        "name": target.name,
        "title": target.title,
        "family": target.family,
        "group": target.group,
        "module-format": target.module_format,
        "policy-version": target.policy_version,
        "releases": [
            {
                "name": r.name,
                "userspace": r.userspace,
                "module-format": r.module_format,
                "policy-version": r.policy_version,
                "sbin": r.sbin,
            }
            for r in target.releases
        ],
        "python": pythons(target),
        "glibc": target.glibc,
        "dist": target.dist,
        "macros": target.macros,
        "rpm": {
            "version": target.rpm_version,
            "caret": target.caret,
            "rich-dependencies": target.rich_dependencies,
        },
        "policy-macros": {
            "selinux_requires": target.policy_macros.requires,
            "selinux_requires_min": target.policy_macros.requires_min,
            "defects": [{"defect": d, "cure": c} for d, c in target.policy_macros.defects],
        },
        "run": target.run,
        "sbin": target.sbin,
        "build": {
            "mock": target.build.mock_roots,
            "copr": target.copr_chroot,
            "koji-target": target.koji_target,
            "koji-tag": target.build.koji_tag,
        },
        "policy": {
            "note": target.facts_note,
            "modules": len(target.facts.modules),
            "types": len(target.facts.types),
            "interfaces": len(target.facts.interfaces),
            "booleans": len(target.facts.booleans),
        },
        "this-host": target.name == host,
        "source": list(target.source),
    }


def pythons(target: Target) -> list[str]:
    """Return the versions of Python that a target offers, oldest first."""
    return sorted(target.pythons, key=lambda v: int(v.split(".")[1]))


def as_json(known: Sequence[Target], host: str) -> str:
    """Return the matrix for programs."""
    return json.dumps([as_dict(target, host) for target in known], indent=2, sort_keys=True)


def as_table(known: Sequence[Target], host: str) -> str:
    """Return one line for each target, under a line of headings."""
    rows = [("target", "policy", "module", "kernel", "run", "sbin", "Python", "mock root")]
    for t in known:
        rows.append(
            (
                t.name + ("*" if t.name == host else ""),
                t.family,
                str(t.module_format),
                str(t.policy_version),
                t.run,
                t.sbin,
                ", ".join(pythons(t)),
                t.mock_root or "-",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(w.ljust(n) for w, n in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    notes = ["", "module, kernel: newest format of a module, of a policy, that every release reads"]
    if any(t.name == host for t in known):
        notes.append("* this host")
    return "\n".join([*lines, *notes])


def as_text(target: Target, host: str) -> str:
    """Return all that is known of one target, with the source of each fact."""
    here = " (this host)" if target.name == host else ""
    macros = target.policy_macros
    lines = [
        f"{target.name}: {target.title}{here}",
        "",
        f"  policy          {target.family}",
        f"  names           {len(target.facts.types)} types, {len(target.facts.interfaces)} "
        f"interfaces, {len(target.facts.booleans)} booleans",
    ]
    if target.facts_note:
        lines.append(f"                  {target.facts_note}")
    for r in target.releases:
        lines.append(
            f"  release {r.name:<8}userspace {r.userspace}, module format {r.module_format}, "
            f"kernel policy {r.policy_version}, sbin {r.sbin}"
        )
    lines += [
        f"  module format   {target.module_format}: the oldest release reads no newer one",
        f"  run             {target.run} in file contexts; the other spelling stands for it",
        f"  Python          {', '.join(pythons(target))}; without a choice {target.default_python}",
        f"  glibc           {target.glibc} or newer: which bundled wheels fit",
        f"  rpm             {target.rpm_version}; rich dependencies "
        f"{_yes(target.rich_dependencies)}, ^ in a version {_yes(target.caret)}",
        f"  macros          {', '.join(f'{k} {v}' for k, v in sorted(target.macros.items()))}",
        f"  %selinux_requires {_yes(macros.requires)}, "
        f"%selinux_requires_min {_yes(macros.requires_min)}",
    ]
    for name, root in target.build.mock_roots.items():
        lines.append(f"  mock            {root} ({name})")
    if target.copr_chroot:
        lines.append(f"  Copr            {target.copr_chroot}")
    if target.koji_target:
        lines.append(f"  Koji            target {target.koji_target}, tag {target.build.koji_tag}")
    if macros.defects:
        lines += ["", "  defects of its %selinux_ macros, and what a package does about each:"]
        lines += [f"  - {text}\n    {cure}" for text, cure in macros.defects]
    lines += ["", "  sources:", *(f"  - {line}" for line in target.source)]
    return "\n".join(lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
