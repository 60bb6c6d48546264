"""What goes wrong in a machine becomes one clear error, and leaves nothing running."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from wsgi_sepkg.errors import MachineFailed
from wsgi_sepkg.machine.boot import Machine, Outcome


def qemus() -> set[str]:
    """Return the processes of qemu that this one started, or that lost who started them."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text(errors="replace").rpartition(")")
            if "(qemu-system" in name and int(rest.split()[1]) in (os.getpid(), 1):
                found.add(path.parent.name)
    return found


@pytest.fixture(scope="module")
def full_disk(machine: Machine) -> Outcome:
    """What a job left that filled the disk."""
    return machine.run("dd if=/dev/zero of=/fill bs=1M; echo word >/etc/word || exit 7")


def test_a_full_disk_is_told_by_the_job_itself(full_disk: Outcome) -> None:
    assert full_disk.status == 7
    assert "No space left on device" in full_disk.stdout
    assert full_disk.text("disk").split()[-2] == "100%"


def test_a_job_that_never_ends_is_stopped(machine: Machine, full_disk: Outcome) -> None:
    before = qemus()
    # A busy host boots slowly: the limit has to lie behind that.
    with pytest.raises(MachineFailed, match="did not end in time"):
        machine.run("sleep 3600", limit=3 * full_disk.booted + 20)
    assert qemus() <= before
