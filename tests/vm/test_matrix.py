"""Each cell of matrix.toml in a machine of its own, and the simulator's word on the same life.

One runs always; all of them with ``make vm-full``, which prints the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import matrix
import pytest
from vm_tools import kept_matrix

from wsgi_sepkg.machine.boot import Machine

FULL = bool(os.environ.get("WSGI_SEPKG_VM_FULL"))
# The cell that catches most for its time.
ALWAYS = {"host-cured-by-hand"}
CELLS = {cell.name: cell for cell in matrix.cells()}


@pytest.fixture(scope="session")
def packages(machine: Machine) -> tuple[Path, ...]:
    """All versions that the cells tell of."""
    return kept_matrix(machine.home / "packages")


@pytest.fixture(scope="session")
def now(machine: Machine, packages: tuple[Path, ...]) -> dict[str, str]:
    """What each cell is made of now, so that a line of other makings leaves the table."""
    return {name: matrix.made_of(cell, machine, packages) for name, cell in CELLS.items()}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[
                pytest.mark.cell(name, CELLS[name].about),
                pytest.mark.skipif(not FULL and name not in ALWAYS, reason="make vm-full runs it"),
            ],
        )
        for name in CELLS
    ],
)
def test_the_cell_holds(
    name: str,
    machine: Machine,
    packages: tuple[Path, ...],
    now: dict[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    record_property("made-of", now[name])
    record_property("now", now)
    outcome = matrix.run(CELLS[name], machine, packages)
    print(f"{name}: to the job {outcome.booted:.0f} s, in all {outcome.lasted:.0f} s")
    assert list(matrix.faults(CELLS[name], outcome)) == []
    assert list(matrix.disagreements(CELLS[name], outcome, packages)) == []
