"""The example in a process of mod_wsgi that enters a domain of its own, in one boot."""

from __future__ import annotations

import os

import pytest
from confined_tools import MISDEEDS, WORKS, denied, example, unpunished
from vm_tools import JOBS, job_files, statuses

from wsgi_sepkg.machine.boot import Machine, Outcome

pytestmark = pytest.mark.skipif(
    not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"
)


@pytest.fixture(scope="module")
def life(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What the job left."""
    packages = example(tmp_path_factory.mktemp("daemon"), "daemon.toml")
    script = (JOBS / "daemon.sh").read_text(encoding="utf-8")
    return machine.run(script, job_files(*packages), limit=1800)


def domains(life: Outcome, step: str) -> list[str]:
    """Return the domain of each thread of the daemon process."""
    lines = life.text(f"{step}.threads").splitlines()
    return [line.split(":")[2] for line in lines if "(wsgi:guestbook)" in line]


def test_the_kernel_enforces(life: Outcome) -> None:
    print(f"{life.enforcing}; to the job {life.booted:.0f} s, in all {life.lasted:.0f} s")
    assert (life.enforcing, life.status) == ("Enforcing", 0)
    assert life.text("still").strip() == "Enforcing"
    assert life.text("install.status").strip() == "0", life.text("install.log")


def test_every_thread_of_the_daemon_process_is_in_its_domain(life: Outcome) -> None:
    """Also after a graceful reload, which makes new processes."""
    for step in ("start", "use"):
        found = domains(life, step)
        print(step, found)
        assert len(found) > 8, life.text(f"{step}.threads")
        assert set(found) == {"guestbook_wsgi_t"}
    others = [line for line in life.text("start.threads").splitlines() if "(wsgi:" not in line]
    assert {line.split(":")[2] for line in others} == {"httpd_t"}


def test_every_function_works_and_nothing_is_denied(life: Outcome) -> None:
    assert life.text("start.page") == "200"
    assert statuses(life, "use") == WORKS, life.text("use.err")
    assert denied(life, "install") | denied(life, "start") | denied(life, "use") == set()


def test_every_misdeed_is_refused_by_the_policy(life: Outcome) -> None:
    print(life.text("misdeeds.json"))
    assert len(MISDEEDS) >= 12
    assert unpunished(life, "guestbook_wsgi_t") == {}


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("threads", "threads already, of which only one could enter guestbook_wsgi_t"),
        ("policy-missing", "it cannot enter guestbook_wsgi_t"),
    ],
)
def test_a_process_that_cannot_enter_ends_at_once(life: Outcome, step: str, says: str) -> None:
    assert says in life.text(f"{step}.log"), life.text(f"{step}.log")
    assert life.text(f"{step}.page") in ("503", "500", "000")
    assert life.text(f"{step}.page") != "200"


@pytest.mark.parametrize("step", ["unread", "unasked", "embedded"])
def test_a_process_that_did_not_enter_does_not_import_the_application(
    life: Outcome, step: str
) -> None:
    """Fails without the second look in the WSGI entry: the page would be served in httpd_t."""
    assert life.text(f"{step}.page") == "500", life.text(f"{step}.log")
    assert "the application is not imported: this process is in httpd_t" in life.text(f"{step}.log")


def test_with_its_configuration_back_it_serves_again(life: Outcome) -> None:
    assert life.text("back.page") == "200", life.text("back.log")
    assert set(domains(life, "back")) == {"guestbook_wsgi_t"}


def test_nothing_is_served_when_its_policy_goes(life: Outcome) -> None:
    assert life.text("policy-gone.page") != "200"
    assert not set(domains(life, "policy-gone")) - {"httpd_t"}, life.text("policy-gone.threads")


def test_nothing_is_left_after_the_erase(life: Outcome) -> None:
    assert life.text("erase.status").strip() == "0", life.text("erase.log")
    assert domains(life, "erase") == []
