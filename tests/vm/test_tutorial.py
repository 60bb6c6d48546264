"""The whole tutorial, from an empty folder to both packages on an enforcing machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pages import blocks, follow
from vm_tools import ROOT

from wsgi_sepkg.machine.boot import Machine

pytestmark = [
    pytest.mark.skipif(not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"),
    pytest.mark.cell("tutorial", "the reader's own packages: a page, a sign-in; nothing denied"),
]


def test_the_tutorial_ends_on_an_enforcing_machine(machine: Machine, tmp_path: Path) -> None:
    """What the last command prints is compared with the page; it fails where it was denied."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    page = blocks((ROOT / "docs/tutorial/first-package.md").read_text(encoding="utf-8"))
    *_, printed = follow(page, tmp_path, {"PATH": path})
    print(printed)
    assert "Enforcing" in printed
