"""A reader who does what the pages say, with the real tools, in an empty folder."""

from __future__ import annotations

import html
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from pages import Block, blocks, follow

from wsgi_sepkg.errors import ToolMissing
from wsgi_sepkg.process import find
from wsgi_sepkg.targets import host_target

ROOT = Path(__file__).parents[2]
TOOLS = ("rpmbuild", "checkmodule", "semodule", "/usr/share/selinux/devel/Makefile")
ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"}
# The output that the pages show is Debian's: names of files and of the web server differ elsewhere.
SHOWN = host_target() == "debian-12"


def installed(tool: str) -> bool:
    """Return whether a tool is on this machine."""
    try:
        find(tool)
    except ToolMissing:
        return False
    return True


pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(map(installed, TOOLS)) or not shutil.which("django-admin"),
        reason="the tools to build policy and packages, or django-admin, are not installed",
    ),
]


def steps(page: str, section: str = "") -> list[Block]:
    """Return what a reader of a page does, all of it or one section of it."""
    found = blocks((ROOT / page).read_text(encoding="utf-8"))
    return [
        block
        for block in found
        if (not section or block.section == section) and (SHOWN or block.role != "output")
    ]


def test_the_tutorial_makes_two_packages_of_a_fresh_project(tmp_path: Path) -> None:
    """The section that boots a machine is followed by tests/vm/test_tutorial.py."""
    page = steps("docs/tutorial/first-package.md")
    here = [block for block in page if block.section != "On an enforcing machine"]
    printed = list(follow(here, tmp_path, ENVIRONMENT))
    assert len(printed) == 7
    built = [p.name for p in (tmp_path / "notes" / "out").glob("*.noarch.rpm")]
    assert sorted(re.sub(r"-1\.0-1.*", "", name) for name in built) == ["notes", "notes-selinux"]


def test_five_minutes_of_the_readme_end_with_a_package(tmp_path: Path) -> None:
    *_, printed = follow(steps("README.md", "Five minutes"), tmp_path, ENVIRONMENT)
    assert list((tmp_path / "out").glob("notes-selinux-1.0-1*.noarch.rpm"))
    if SHOWN:
        picture = (ROOT / "docs" / "images" / "build.svg").read_text(encoding="utf-8")
        drawn = "".join(html.unescape(re.sub(r"<[^>]*>", "", picture)).split())
        # A note is about the machine, not about the package.
        lines = [line for line in printed.splitlines() if not line.startswith("note: ")]
        assert [line for line in lines if "".join(line.split()) not in drawn] == [], (
            "the picture is out of date: run tools/recording.py"
        )
