"""A check as a table for a person, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from wsgi_sepkg.policy.check import FAILED, NOT_CHECKED, OK, WARNING, CheckReport, PathLabel
from wsgi_sepkg.policy.invariants import PowerTable
from wsgi_sepkg.report import counted

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
    if report.power is not None:
        lines += [*_power_table(report.power), ""]
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
        counts.append(counted(warnings, "warning"))
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


def _power_table(table: PowerTable) -> Iterator[str]:
    """Yield the figures of each domain beside the web server's, and what it may reach."""
    rows = [("domain", "processes", "vectors", f"of {table.server}")]
    rows.append((table.server, "the web server", f"{table.server_vectors:,}", "100.0 %"))
    for power in table.processes:
        share = f"{100 * power.share:.1f} %"
        rows.append((power.domain, ", ".join(power.processes), f"{power.vectors:,}", share))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]

    def line(row: tuple[str, ...]) -> str:
        one, two = row[0].ljust(widths[0]), row[1].ljust(widths[1])
        return f"{one}  {two}  {row[2].rjust(widths[2])}  {row[3].rjust(widths[3])}"

    yield "power: access vectors beyond a bare domain, booleans as shipped"
    yield from (line(row) for row in rows[:2])
    for power, row in zip(table.processes, rows[2:], strict=True):
        yield line(row)
        yield f"    connects to   {_listed(_port(p) for p in power.connects)}"
        if power.by_boolean:
            shown = (
                f"{t} ({b}, {'on' if v else 'off'} as shipped)" for t, b, v in power.by_boolean
            )
            yield f"    by a boolean of the base policy   {_listed(shown)}"
        if power.binds:
            yield f"    binds         {_listed(_port(p) for p in power.binds)}"
        yield f"    writes        {_listed(power.writes)}"
        yield f"    entered from  {_listed(power.entered_from)}"
        if power.leaves_to:
            yield f"    may enter     {_listed(power.leaves_to)}"
    served = (f"{type_} ({', '.join(ways)})" for type_, ways in table.server_reads)
    yield f"{table.server} in the files of the application: {_listed(served)}"
    if any(power.udp for power in table.processes):
        yield "UDP: no policy limits the ports that a datagram is sent to; names are resolved by it"


def _port(port: tuple[str, bool]) -> str:
    return port[0] if port[1] else f"{port[0]} (off as shipped)"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "nothing"


def as_dict(report: CheckReport) -> dict[str, Any]:
    """Return the report as plain data."""
    data = asdict(report)
    data["ok"] = report.ok
    return data


def as_json(report: CheckReport) -> str:
    """Return the report as JSON, keys sorted."""
    return json.dumps(as_dict(report), indent=2, sort_keys=True) + "\n"
