"""One job for all the claims of a file: it runs once, the tests read what it left."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from vm_tools import JOBS, ROOT, Noted, build_example, versions

from wsgi_sepkg.machine.boot import Machine
from wsgi_sepkg.machine.image import prepare

NEEDED = ("qemu-system-x86_64", "qemu-img", "debootstrap", "rpmbuild")


# First, since what spreads the tests over the workers reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, and skip it where a machine cannot be made."""
    here = Path(__file__).parent
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in NEEDED if not shutil.which(tool, path=path)]
    reason = "not root" if os.geteuid() else f"not installed: {', '.join(missing)}"
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.vm)
            # One boot serves a whole file, but for the matrix: each of its cells boots by itself.
            own = item.path.name == "test_matrix.py"
            item.add_marker(pytest.mark.xdist_group(item.name if own else item.path.name))
            if missing or os.geteuid():
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say whose job a machine runs from now on."""
    Noted.running_test = item.path.name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Carry the cell of the matrix, which a test belongs to, to where the table is printed."""
    report = yield
    mark = item.get_closest_marker("cell")
    if mark and (report.when == "call" or report.failed):
        digest = hashlib.sha256(item.path.read_bytes())
        digest.update(repr(sorted(Noted.made_of[item.path.name])).encode())
        told = dict(item.user_properties).get("made-of", digest.hexdigest()[:8])
        report.user_properties.append(("cell", (*mark.args, told)))
        given = getattr(item, "funcargs", {})
        machine = given.get("machine") or given.get("whole_machine")
        if machine is not None:
            said = (machine.home.name, versions(machine.home / "disk.raw"))
            report.user_properties.append(("ran-on", said))
    return report


@pytest.fixture(scope="session")
def whole_machine() -> Machine:
    """The built-in machine as people have it, its image made now where it is not kept already."""
    return Noted.of(prepare())


@pytest.fixture(scope="session")
def machine(whole_machine: Machine) -> Machine:
    """The built-in machine; to save time with those modules of the base policy that it needs.

    With WSGI_SEPKG_VM_WHOLE_POLICY in the environment it keeps them all.
    """
    if os.environ.get("WSGI_SEPKG_VM_WHOLE_POLICY"):
        return whole_machine
    script = (JOBS / "fewer-modules.sh").read_text(encoding="utf-8")
    return whole_machine.after("fewer-modules", script, {})


@pytest.fixture(scope="session")
def guestbook(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The binary packages of the example, built for this machine's target."""
    return build_example(tmp_path_factory.mktemp("guestbook"), ROOT / "examples" / "guestbook")
