"""A build as text for a person, or as plain data."""

from __future__ import annotations

import platform
from typing import Any

from wsgi_sepkg.package.build import BuildResult
from wsgi_sepkg.package.tree import Tree
from wsgi_sepkg.report import check


def expected_names(tree: Tree) -> list[str]:
    """Return the file names of the packages that a build of ``tree`` makes."""
    plan = tree.plan
    evr = f"{plan.version}-{plan.release}{tree.loaded.target.dist}"
    names = [f"{plan.selinux_name}-{evr}.noarch"]
    if plan.application is not None:
        bundle = plan.application.bundle
        machines = bundle.architectures if bundle is not None else ()
        names = [f"{plan.name}-{evr}.{platform.machine() if machines else 'noarch'}", *names]
    return [*(f"{name}.rpm" for name in names), f"{plan.name}-{evr}.src.rpm"]


def as_text(result: BuildResult, verbose: bool = False) -> str:
    """Return the packages that were made and the check of their policy."""
    lines = []
    if result.report is not None:
        lines += [check.as_text(result.report, verbose)]
    for package in result.packages:
        nevra = package.name.removesuffix(".rpm")
        lines.append(f"built {nevra}\n      {package}")
    if not result.packages:
        lines.append("nothing was written: the check of the policy failed")
    return "\n".join(lines) + "\n"


def as_dict(result: BuildResult) -> dict[str, Any]:
    """Return the result as plain data."""
    return {
        "packages": [str(p) for p in result.packages],
        "notes": list(result.notes),
        "check": check.as_dict(result.report) if result.report is not None else None,
    }
