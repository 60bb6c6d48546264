"""A build for several targets: a table that changes on a terminal, plain lines elsewhere, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsgi_sepkg.engines.base import State
from wsgi_sepkg.engines.job import Entry, Job, Watcher, exit_status

SUMMARY = "build.json"
_COLOURS = {State.succeeded: "green", State.failed: "red", State.canceled: "yellow"}


def as_dict(job: Job) -> dict[str, Any]:
    """Return the job as plain data: the engine, the status of the whole, and each target."""
    record = job.record
    sent = {target: s for s in record.sent for target in s.targets}
    return {
        "id": record.id,
        "engine": record.engine,
        "project": record.project,
        "outdir": str(job.outdir),
        "status": exit_status(record.entries),
        "targets": {e.target: _entry(e, sent.get(e.target)) for e in record.entries},
    }


def _entry(entry: Entry, sent: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "root": entry.root,
        "state": entry.state.value,
        "status": entry.failure.status if entry.failure else 0,
        "build": sent.build if sent else "",
        "nvr": sent.nvr if sent else "",
        "srpm-sha256": sent.sha256 if sent and sent.srpm else "",
        "url": entry.url,
        "packages": entry.packages,
        "logs": entry.logs,
        "seconds": entry.seconds,
        "error": None,
    }
    if entry.failure:
        data["error"] = {
            "kind": entry.failure.kind,
            "message": entry.failure.message,
            "hint": entry.failure.hint,
        }
    return data


def write_summary(job: Job) -> Path:
    """Write the summary into the output folder, whole or not at all, and return its path."""
    path = job.outdir / SUMMARY
    part = path.with_name(f".{SUMMARY}.part")
    text = json.dumps(as_dict(job), indent=2, sort_keys=True) + "\n"
    part.write_text(text, encoding="utf-8")
    return part.replace(path)


def as_text(job: Job) -> str:
    """Return what came of each target: its packages, or its error with the decisive lines."""
    lines = []
    for entry in job.record.entries:
        if entry.failure is not None:
            lines.append(f"{entry.target}: {entry.state.value}: {entry.failure.message}")
            if entry.failure.hint:
                lines.append(f"    {entry.failure.hint}")
        else:
            lines.append(f"{entry.target}: {entry.state.value}")
            lines += [f"    {path}" for path in entry.packages]
    done = sum(e.state is State.succeeded for e in job.record.entries)
    lines.append(f"{done} of {len(job.record.entries)} targets built by {job.record.engine}")
    return "\n".join(lines) + "\n"


def line(entry: Entry) -> str:
    """Return one line about a target, as it is printed where there is no terminal."""
    detail = f" ({entry.detail})" if entry.detail else ""
    return f"{entry.target}: {entry.state.value}{detail}"


@contextmanager
def shown(quiet: bool) -> Iterator[Watcher]:
    """Give a function that shows a job each time it is called, on standard error."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
            yield lambda job: live.update(_table(job))
    else:
        last: dict[str, str] = {}

        def tell(job: Job) -> None:
            for entry in job.record.entries:
                text = line(entry)
                if last.get(entry.target) != text:
                    last[entry.target] = text
                    sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

        yield tell


def _table(job: Job) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title=None)
    for head in ("target", "at the engine", "state", "what it does"):
        table.add_column(head)
    for entry in job.record.entries:
        root = Path(entry.root).stem if entry.root.endswith(".cfg") else entry.root
        state = Text(entry.state.value, style=_COLOURS.get(entry.state, ""))
        # Text, so that nothing of a service is taken for markup.
        table.add_row(Text(entry.target), Text(root), state, Text(entry.detail))
    return table
