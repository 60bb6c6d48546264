"""Settings of all tests, and the tables that a run prints at its end.

A test says where it belongs in a table by properties that its report carries (a worker of
pytest-xdist hands them on). WSGI_SEPKG_UPDATE_MATRIX writes the tables into the documentation, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from wsgi_sepkg import cli

# A busy machine must not fail a property: time is measured in benchmarks/, never asserted here.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "life-cycle-matrix.md"


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the program here: (status, standard output, standard error)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wsgi-sepkg", *words])
        status = 0
        try:
            cli.main()
        except SystemExit as exc:
            status = int(exc.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables of the tests that ran."""
    found = {
        name: [
            (value, outcome == "passed")
            for outcome in ("passed", "failed", "error")
            for report in terminalreporter.getreports(outcome)
            for key, value in getattr(report, "user_properties", ())
            if key == name
        ]
        for name in ("cell", "simulated", "versions")
    }
    tables = {"matrix": _matrix(found["cell"]), "simulated": _simulated(found["simulated"])}
    if found["versions"] and tables["matrix"]:
        tables["versions"] = [f"{found['versions'][0][0]}."]
    for name, lines in tables.items():
        if not lines:
            continue
        terminalreporter.section(name)
        for line in lines:
            terminalreporter.write_line(line)
        if os.environ.get("WSGI_SEPKG_UPDATE_MATRIX"):
            _write(name, lines)


def _matrix(cells: list[tuple[object, bool]]) -> list[str]:
    """Return a line for each cell under the kernel: its tests and what became of them."""
    held: dict[tuple[str, str], list[bool]] = {}
    for cell, passed in cells:
        assert isinstance(cell, tuple | list)
        held.setdefault((str(cell[0]), str(cell[1])), []).append(passed)
    day = datetime.now(UTC).date().isoformat()
    lines = [
        f"| `{name}` | {about} | {len(tests)} | {'all' if all(tests) else sum(tests)} | {day} |"
        for (name, about), tests in sorted(held.items())
    ]
    head = [
        "| cell | what happens | tests | held | run on |",
        "| --- | --- | --- | --- | --- |",
    ]
    return [*head, *lines] if lines else []


def _simulated(runs: list[tuple[object, bool]]) -> list[str]:
    """Return a line for each scenario of the simulator, a column for each family of macros."""
    cells: dict[str, dict[str, list[str]]] = {}
    for run, passed in runs:
        assert isinstance(run, tuple | list)
        scenario, name, family, skipped = map(str, run)
        words = cells.setdefault(scenario, {}).setdefault(family, [])
        if not skipped:
            words.append("held" if passed else f"{name} FAILED")
    families = sorted({family for row in cells.values() for family in row})
    lines = [
        f"| `{scenario}` | "
        + " | ".join(", ".join(sorted(set(row.get(family, ())))) or "-" for family in families)
        + " |"
        for scenario, row in sorted(cells.items())
    ]
    head = [f"| scenario | {' | '.join(families)} |", f"| --- |{' --- |' * len(families)}"]
    return [*head, *lines] if lines else []


def _write(name: str, lines: list[str]) -> None:
    """Write a table into the page; a line of a cell that did not run stays, with its day."""
    before, start, rest = PAGE.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    old, end, after = rest.partition(f"<!-- end of {name} -->")
    if name == "matrix":
        rows = [*old.splitlines()[2:], *lines[2:]]
        lines = [*lines[:2], *dict(sorted((row.split("|")[1], row) for row in rows)).values()]
    text = before + start + "\n".join(lines) + "\n" + end + after
    PAGE.write_text(text, encoding="utf-8")
