"""`wsgi-sepkg try --image`: a disk that boots by itself, and in which cloud-init begins the job."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from disk_tools import bootable
from test_try import SCRIPT as SMOKE

from wsgi_sepkg.errors import MachineFailed
from wsgi_sepkg.machine.boot import Machine
from wsgi_sepkg.machine.trial import attempt

FULL = bool(os.environ.get("WSGI_SEPKG_VM_FULL"))
full = pytest.mark.skipif(not FULL, reason="make vm-full runs it")
SCRIPT = """
id -Z
cloud-init status --wait --long
cat /run/cloud-init/result.json
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the disks are made."""
    return tmp_path_factory.mktemp("disks")


@full
@pytest.mark.cell("users-image", "a qcow2 boots by its own loader, its cloud-init begins the job")
def test_packages_are_tried_on_a_users_image(
    whole_machine: Machine, folder: Path, guestbook: tuple[Path, ...], tmp_path: Path
) -> None:
    disk = bootable(whole_machine, folder)
    before = disk.stat()
    script = tmp_path / "smoke.sh"
    script.write_text(SCRIPT + SMOKE, encoding="utf-8")
    trial = attempt(Machine.of_disk(disk), guestbook, script)
    print(trial)
    assert trial.enforcing == "Enforcing"
    assert trial.system.startswith("Debian GNU/Linux 12")
    assert trial.installed, trial.install_log
    assert trial.modules == ("200 guestbook pp",)
    assert trial.verified, trial.verify_log
    assert "DataSourceNoCloud" in trial.script_log
    assert "unconfined_t" in trial.script_log.splitlines()[0]
    assert ("httpd_t", "shadow_t", "file") in {
        (r.source, r.target, r.tclass) for r in trial.running
    }
    pages = [line for line in trial.script_log.splitlines() if line.startswith("page")]
    assert pages == ["page 200", "page 500"]
    after = disk.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


@full
@pytest.mark.cell("users-image", "a qcow2 boots by its own loader, its cloud-init begins the job")
def test_an_image_whose_cloud_init_is_off_is_given_up(
    whole_machine: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsgi_sepkg.machine.boot._FOREIGN_BOOT_LIMIT", 120.0)
    disk = bootable(whole_machine, folder, cloud_init=False)
    with pytest.raises(MachineFailed, match="no cloud-init began the job") as caught:
        Machine.of_disk(disk).run("true")
    assert "machine login:" in caught.value.hint or "systemd" in caught.value.hint


def test_a_machine_with_too_little_memory_says_so(whole_machine: Machine) -> None:
    with pytest.raises(MachineFailed, match="64 MiB of memory are too little"):
        replace(whole_machine, memory=64).run("true", limit=120)
