"""One boot for all the claims about the example: the job runs once, the tests read what it left."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from wsgi_sepkg.machine.boot import Machine
from wsgi_sepkg.machine.image import prepare

sys.path.insert(0, str(Path(__file__).parent))

from vm_tools import ROOT, build_example

NEEDED = ("qemu-system-x86_64", "qemu-img", "debootstrap", "rpmbuild")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, and skip it where a machine cannot be made."""
    here = Path(__file__).parent
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in NEEDED if not shutil.which(tool, path=path)]
    reason = "not root" if os.geteuid() else f"not installed: {', '.join(missing)}"
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.vm)
            if missing or os.geteuid():
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def machine() -> Machine:
    """The built-in machine, its image made now where it is not kept already."""
    return Machine.of(prepare())


@pytest.fixture(scope="session")
def guestbook(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The binary packages of the example, built for this machine's target."""
    return build_example(tmp_path_factory.mktemp("guestbook"), ROOT / "examples" / "guestbook")
