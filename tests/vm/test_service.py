"""The example as a service in a domain of its own, under an enforcing kernel, in one boot."""

from __future__ import annotations

import os

import pytest
from confined_tools import MISDEEDS, WORKS, denied, example, threads, unpunished
from vm_tools import JOBS, job_files, statuses

from wsgi_sepkg.machine.boot import Machine, Outcome

pytestmark = pytest.mark.skipif(
    not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"
)
ENDED = pytest.mark.cell(
    "erase-own-domain", "the policy goes under a service: its processes end, nothing can be started"
)


@pytest.fixture(scope="module")
def life(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What the job left."""
    packages = example(tmp_path_factory.mktemp("service"), "service.toml")
    script = (JOBS / "service.sh").read_text(encoding="utf-8")
    return machine.run(script, job_files(*packages), limit=1800)


def test_the_kernel_enforces(life: Outcome) -> None:
    print(f"{life.enforcing}; to the job {life.booted:.0f} s, in all {life.lasted:.0f} s")
    assert (life.enforcing, life.status) == ("Enforcing", 0)
    assert life.text("still").strip() == "Enforcing"


def test_the_packages_are_installed_and_the_units_enabled(life: Outcome) -> None:
    assert life.text("install.status").strip() == "0", life.text("install.log")
    assert life.text("verify") == ""
    assert life.text("enabled").split() == ["enabled", "enabled"]


def test_entry_points_and_units_have_their_labels(life: Outcome) -> None:
    labels = {
        line.split()[-1].rpartition("/")[2]: line.split()[0].split(":")[2]
        for line in life.text("labels").splitlines()
        if ":object_r:" in line
    }
    assert labels == {
        "guestbook-web": "guestbook_exec_t",
        "guestbook-manage": "guestbook_manage_exec_t",
        "guestbook-clear-sessions": "guestbook_manage_exec_t",
        "guestbook.service": "guestbook_unit_t",
        "guestbook-clear-sessions.service": "guestbook_unit_t",
        "guestbook-clear-sessions.timer": "guestbook_unit_t",
    }


def test_every_thread_of_the_service_is_in_its_domain(life: Outcome) -> None:
    """Fails without the nnp grant, too: the unit sets NoNewPrivileges."""
    for step in ("start", "use"):
        found = [t for t in threads(life, step) if "guestbook-web" in t[2] or "gunicorn" in t[2]]
        print(step, *found, sep="\n")
        assert len(found) >= 3, life.text("start.log") + life.text("journal")[-3000:]
        assert {(domain, user) for domain, user, _ in found} == {("guestbook_t", "guestbook")}


def test_every_function_works_and_nothing_is_denied(life: Outcome) -> None:
    assert life.text("start.page") == "200"
    assert statuses(life, "use") == WORKS, life.text("use.err")
    assert denied(life, "install") | denied(life, "start") | denied(life, "use") == set()


def test_the_command_of_the_administrator_runs_in_its_domain(life: Outcome) -> None:
    assert "no issues" in life.text("check.log")
    assert life.text("manage.log").split(":")[2] == "guestbook_manage_t"


def test_the_timer_s_command_ends_well(life: Outcome) -> None:
    assert "Result=success" in life.text("timer")
    assert "ExecMainStatus=0" in life.text("timer")


def test_mail_arrives_once_its_tunable_is_on(life: Outcome) -> None:
    assert statuses(life, "mail-on") == {"mail": 200}
    assert denied(life, "mail-on") == set()
    assert "To: guest@example.org" in life.text("mailbox")


def test_every_misdeed_is_refused_by_the_policy(life: Outcome) -> None:
    print(life.text("misdeeds.json"))
    assert len(MISDEEDS) >= 12
    assert unpunished(life, "guestbook_t") == {}


@pytest.mark.parametrize(
    ("step", "status", "says"),
    [
        ("label-usr", "203", "Failed at step EXEC"),
        ("label-usr-one-lock", "78", "not started: it runs in init_t, not in guestbook_t"),
        ("label-bin-one-lock", "78", "not started: it runs in initrc_t, not in guestbook_t"),
        ("policy-missing", "229", "Failed at step SELINUX_CONTEXT"),
        ("policy-missing-one-lock", "78", "not in guestbook_t"),
    ],
)
def test_it_does_not_start_outside_of_its_domain(
    life: Outcome, step: str, status: str, says: str
) -> None:
    assert f"ExecMainStatus={status}" in life.text(f"{step}.state"), life.text(f"{step}.journal")
    assert says in life.text(f"{step}.journal")
    assert life.text(f"{step}.page") == "503"
    assert threads(life, step) == []


def test_with_its_label_back_it_starts_again(life: Outcome) -> None:
    assert life.text("label-back-one-lock.page") == "200", life.text("label-back-one-lock.journal")


@ENDED
def test_it_ends_when_its_policy_goes(life: Outcome) -> None:
    assert life.text("policy-gone.active").split() == ["inactive", "inactive"]
    assert threads(life, "policy-gone") == []


@ENDED
def test_nothing_is_left_that_could_be_started(life: Outcome) -> None:
    assert life.text("erase.status").strip() == "0", life.text("erase.log")
    assert life.text("erase.units").strip() == ""
    assert threads(life, "erase") == []
    kept = [line for line in life.text("erase.labels").splitlines() if ":object_r:" in line]
    assert {line.split()[1]: line.split()[0].split(":")[2] for line in kept} == {
        "/var/lib/guestbook": "var_lib_t",
        "/etc/guestbook": "etc_t",
    }
