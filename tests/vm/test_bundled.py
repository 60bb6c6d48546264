"""The example with its Python packages along, as a service under an enforcing kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from confined_tools import WORKS, denied, example, threads
from vm_tools import JOBS, job_files, statuses, stub

from wsgi_sepkg import process
from wsgi_sepkg.machine.boot import Machine, Outcome

pytestmark = pytest.mark.skipif(
    not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"
)

PLACE = "/usr/lib/guestbook/venv"


def libraries(package: Path) -> list[str]:
    """Return what rpm found that the package asks of the C library and of Python."""
    said = process.run(["rpm", "-qp", "--requires", package]).stdout.splitlines()
    return [r for r in said if re.search(r"\.so[.0-9]*\(|^rtld\(|^python\(abi\)", r)]


@pytest.fixture(scope="module")
def life(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What the job left."""
    folder = tmp_path_factory.mktemp("bundled")
    packages = example(folder, "bundled.toml")
    application = next(p for p in packages if "-selinux-" not in p.name)
    # Debian's rpm database is empty: the machine has these, and rpm does not know it.
    system = stub(folder, "system-libraries", libraries(application))
    script = (JOBS / "bundled.sh").read_text(encoding="utf-8")
    return machine.run(script, job_files(*packages, system), limit=1800)


def test_the_kernel_enforces(life: Outcome) -> None:
    print(f"{life.enforcing}; to the job {life.booted:.0f} s, in all {life.lasted:.0f} s")
    assert (life.enforcing, life.status) == ("Enforcing", 0)
    assert life.text("still").strip() == "Enforcing"


def test_the_packages_are_installed_and_stay_what_they_are(life: Outcome) -> None:
    assert life.text("install.status").strip() == "0", life.text("install.log")
    assert life.text("verify") == ""


def test_the_environment_is_labelled_as_libraries_and_nothing_else(life: Outcome) -> None:
    found = dict(line.split()[::-1] for line in life.text("labels").splitlines())
    assert set(found) == {"lib_t"}
    assert int(found["lib_t"]) > 5000
    assert life.text("relabel").strip() == ""


def test_the_service_runs_with_the_packages_that_travelled_along(life: Outcome) -> None:
    found = [t for t in threads(life, "use") if "guestbook-web" in t[2]]
    print(*found, sep="\n")
    assert len(found) >= 3, life.text("start.log") + life.text("journal")[-3000:]
    assert {(domain, user) for domain, user, _ in found} == {("guestbook_t", "guestbook")}
    assert f"{PLACE}/lib/python3.11/site-packages/django/__init__.py" in life.text("django")
    maps = life.text("maps").split()
    assert any(name.startswith(f"{PLACE}/") and "_imaging." in name for name in maps)
    assert not [name for name in maps if "/dist-packages/" in name]


def test_every_function_works_and_nothing_is_denied(life: Outcome) -> None:
    assert life.text("start.page") == "200"
    assert statuses(life, "use") == WORKS, life.text("use.err")
    assert denied(life, "install") | denied(life, "start") | denied(life, "use") == set()


def test_a_compiled_driver_reaches_the_database(life: Outcome) -> None:
    assert life.text("postgresql.page") == "200", life.text("journal")[-3000:]
    assert statuses(life, "postgresql") == {"sign": 200, "list": 200}
    assert denied(life, "postgresql") == set()


def test_the_commands_of_the_administrator_and_the_timer_run(life: Outcome) -> None:
    assert "no issues" in life.text("check.log")
    assert "Result=success" in life.text("timer")


def test_nothing_is_left(life: Outcome) -> None:
    assert life.text("erase.status").strip() == "0", life.text("erase.log")
    assert life.text("erase.left").strip() == ""
