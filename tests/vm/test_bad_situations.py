"""What goes wrong in a machine becomes one clear error, and leaves nothing running."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from wsgi_sepkg.errors import MachineFailed
from wsgi_sepkg.machine.boot import Machine


def qemus() -> set[str]:
    """Return the processes of qemu that this one started, or that lost who started them."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text(errors="replace").rpartition(")")
            if "(qemu-system" in name and int(rest.split()[1]) in (os.getpid(), 1):
                found.add(path.parent.name)
    return found


def test_a_job_that_never_ends_is_stopped(machine: Machine) -> None:
    before = qemus()
    with pytest.raises(MachineFailed, match="did not end in time"):
        machine.run("sleep 3600", limit=90)
    assert qemus() <= before


def test_a_full_disk_is_told_by_the_job_itself(machine: Machine) -> None:
    outcome = machine.run("dd if=/dev/zero of=/fill bs=1M; echo word >/etc/word || exit 7")
    assert outcome.status == 7
    assert "No space left on device" in outcome.stdout
    assert outcome.text("disk").split()[-2] == "100%"
