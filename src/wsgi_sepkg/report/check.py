"""A check as a table for a person, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from wsgi_sepkg.policy.check import FAILED, NOT_CHECKED, OK, WARNING, CheckReport, PathLabel

_MARKS = {OK: "ok", FAILED: "FAILED", WARNING: "warning", NOT_CHECKED: "not checked"}
_HEADS = {
    "linked": "linked with the base policy in a scratch store and asked",
    "link": "linked with the base policy in a scratch store and asked",
    "names": "compared by name with the base policy; its store cannot be read by this user",
}


def as_text(report: CheckReport, verbose: bool = False) -> str:
    """Return the report as text; ``verbose`` lists what held and each path of the payload too."""
    lines = [
        f"{report.name} for {report.target}: module {report.module}, "
        f"{_HEADS.get(report.mode, 'not linked: see below')}",
        "",
    ]
    shown = [f for f in report.findings if verbose or f.status != OK]
    order = {FAILED: 0, NOT_CHECKED: 1, WARNING: 2, OK: 3}
    for finding in sorted(shown, key=lambda f: order[f.status]):
        key = f"  [{finding.key}]" if finding.key and f"[{finding.key}]" not in finding.text else ""
        text = finding.text.replace("\n", "\n" + " " * 14)
        lines.append(f"{_MARKS[finding.status]:<12}  {text}{key}")
    if shown:
        lines.append("")
    if report.paths:
        lines += [*_path_table(report.paths, verbose), ""]
    for title, items in report.adds.items():
        if items:
            lines.append(f"{title} ({len(items)}): {', '.join(items)}")
    lines += ["", summary(report)]
    return "\n".join(lines) + "\n"


def summary(report: CheckReport) -> str:
    """Return one line: how many claims held, failed and were not checked."""
    counts = [f"{report.count(OK)} held", f"{report.count(FAILED)} failed"]
    counts.append(f"{report.count(NOT_CHECKED)} not checked")
    warnings = report.count(WARNING)
    if warnings:
        counts.append(f"{warnings} warning{'s' if warnings > 1 else ''}")
    return f"check: {', '.join(counts)}"


def _path_table(paths: tuple[PathLabel, ...], verbose: bool) -> Iterator[str]:
    """Yield a table of the payload: each path, or each folder where all below it is the same."""
    rows: list[tuple[str, str, str]] = []
    for path in paths:
        writers = ", ".join(path.writers) or "-"
        below = rows and not verbose and path.path.startswith(rows[-1][0].rstrip("/") + "/")
        if below and rows[-1][1:] == (path.type, writers):
            continue
        rows.append((path.path, path.type, writers))
    width = max(len(r[0]) for r in rows)
    middle = max(len(r[1]) for r in rows)
    yield f"{'path of the payload':<{width}}  {'type':<{middle}}  domains that may write it"
    for name, type_, writers in rows:
        yield f"{name:<{width}}  {type_:<{middle}}  {writers}"


def as_dict(report: CheckReport) -> dict[str, Any]:
    """Return the report as plain data."""
    data = asdict(report)
    data["ok"] = report.ok
    return data


def as_json(report: CheckReport) -> str:
    """Return the report as JSON, keys sorted."""
    return json.dumps(as_dict(report), indent=2, sort_keys=True) + "\n"
