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
from typing import Any

import pytest
import tables_page
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


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their argument: what is packed may hold a time, and workers must agree."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a pytest-xdist that silently lets every worker make what a group should share."""
    if session.config.getoption("loadgroup", False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError("this pytest-xdist does not keep groups with this pytest")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables of the tests that ran."""
    found: dict[str, list[tuple[Any, bool]]] = {
        name: [
            (value, outcome == "passed")
            for outcome in ("passed", "failed", "error")
            for report in terminalreporter.getreports(outcome)
            for key, value in getattr(report, "user_properties", ())
            if key == name
        ]
        for name in ("cell", "simulated", "ran-on", "now")
    }
    tables = {"matrix": _matrix(found["cell"]), "simulated": _simulated(found["simulated"])}
    for name, lines in tables.items():
        if not lines:
            continue
        terminalreporter.section(name)
        for line in lines:
            terminalreporter.write_line(line)
    if os.environ.get("WSGI_SEPKG_UPDATE_MATRIX"):
        page = PAGE.read_text(encoding="utf-8")
        if tables["simulated"]:
            page = tables_page.put(page, "simulated", tables["simulated"])
        if tables["matrix"]:
            image, versions = found["ran-on"][0][0]
            now = {name: made for value, _ in found["now"] for name, made in value.items()}
            on = f"Image {image}: {versions}."
            page = tables_page.with_lines(page, tables["matrix"], on, now)
        PAGE.write_text(page, encoding="utf-8")


def _matrix(cells: list[tuple[object, bool]]) -> list[str]:
    """Return a line for each cell under the kernel: its tests and what became of them."""
    held: dict[tuple[str, str], list[bool]] = {}
    made: dict[str, set[str]] = {}
    for cell, passed in cells:
        assert isinstance(cell, tuple | list)
        name, about, made_of = map(str, cell)
        held.setdefault((name, about), []).append(passed)
        made.setdefault(name, set()).add(made_of)
    day = datetime.now(UTC).date().isoformat()
    lines = [
        f"| `{name}` | {about} | {len(tests)} | {'all' if all(tests) else sum(tests)} "
        f"| {day} | {' '.join(sorted(made[name]))} |"
        for (name, about), tests in sorted(held.items())
    ]
    head = [
        "| cell | what happens | tests | held | run on | made of |",
        "| --- | --- | --- | --- | --- | --- |",
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
