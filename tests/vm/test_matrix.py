"""Each cell of matrix.toml in a machine of its own, and the simulator's word on the same life.

One runs always; all of them with ``make vm-full``, which prints the table.
"""

from __future__ import annotations

import os
from pathlib import Path

import matrix
import pytest
from vm_tools import kept_matrix

from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.simulate.run import simulate

FULL = bool(os.environ.get("WSGI_SEPKG_VM_FULL"))
# The cell that catches most for its time.
ALWAYS = {"host-cured-by-hand"}
CELLS = {cell.name: cell for cell in matrix.cells()}


@pytest.fixture(scope="session")
def packages(machine: Machine) -> tuple[Path, ...]:
    """All versions that the cells tell of."""
    return kept_matrix(machine.disk.parent / "packages")


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
def test_the_cell_holds(name: str, machine: Machine, packages: tuple[Path, ...]) -> None:
    outcome = matrix.run(CELLS[name], machine, packages)
    print(f"{name}: to the job {outcome.booted:.0f} s, in all {outcome.lasted:.0f} s")
    assert list(matrix.faults(CELLS[name], outcome)) == []
    _the_simulator_agrees(CELLS[name], outcome, packages)


def _the_simulator_agrees(cell: matrix.Cell, outcome: Outcome, packages: tuple[Path, ...]) -> None:
    """Modules and boolean are the same where the scenario ends."""
    if not cell.scenario:
        return
    new, old = ([p for p in packages if f"-{version}-" in p.name] for version in ("1.4", "1.3"))
    (found,) = simulate(new, cell.scenario, old)
    assert found.ok, [check for check in found.checks if not check.held]
    look = cell.agrees or list(cell.look)[-1]
    assert list(found.modules) == outcome.text(f"{look}.modules").split()
    boolean = {0: "off", 1: "on"}[dict(found.booleans)["httpd_can_sendmail"]]
    assert boolean == outcome.text(f"{look}.boolean").strip()
