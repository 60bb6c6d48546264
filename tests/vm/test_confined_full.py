"""More of the confinements than every run can afford: `make vm-full`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from confined_tools import HERE, WORKS, denied, example, threads
from vm_tools import JOBS, build_example, job_files, statuses

from wsgi_sepkg.machine.boot import Machine, Outcome

pytestmark = pytest.mark.skipif(
    not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"
)

WORKER = """
[process.jobs]
kind = "worker"
run = "celery -A guestbook.jobs worker --concurrency 1"

[[connect]]
to = "redis"
reason = "work is handed over by redis"
"""

NEIGHBOUR = """
[project]
# Its configuration has to come first: the guest book answers for all of the server.
name = "album"
version = "1.0"
summary = "Another application"
license = "MIT"
maintainer = "Example Ltd <packages@example.org>"
targets = ["debian-12"]

[[changelog]]
date = 2026-11-20
text = "1.0"

[application]
root = "/usr/share/album"
wsgi = "neighbour:application"
settings = "neighbour"
confinement = "daemon"
static = "none"
media-url = ""
url = "/album"

[path]
data = "/var/lib/album"
"""


def job(name: str) -> str:
    """Return the script of a job."""
    return (JOBS / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def behind_nginx(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The example behind nginx, with a worker of Celery."""
    packages = example(
        tmp_path_factory.mktemp("nginx"),
        "service.toml",
        'application.server="nginx"',
        'application.requires=["python3-celery", "python3-gunicorn", "python3-redis"]',
        more=WORKER,
        pages={"jobs": "job/"},
    )
    return machine.run(job("nginx.sh"), job_files(*packages), limit=1800)


def test_nginx_serves_the_service_and_nothing_is_denied(behind_nginx: Outcome) -> None:
    assert behind_nginx.enforcing == "Enforcing"
    assert behind_nginx.text("start.page") == "200", behind_nginx.text("journal")[-3000:]
    assert statuses(behind_nginx, "use") == WORKS
    assert "httpd_t" in behind_nginx.text("nginx")
    found = [denied(behind_nginx, step) for step in ("install", "start", "use")]
    assert set().union(*found) == set()


def test_the_worker_has_a_domain_of_its_own(behind_nginx: Outcome) -> None:
    for step in ("job", "job-again"):
        worker = json.loads(behind_nginx.text(f"{step}.json"))["worker"]
        assert worker.split(":")[2] == "guestbook_jobs_t", behind_nginx.text("jobs.journal")
    found = {domain for domain, _, run in threads(behind_nginx, "use") if "guestbook-jobs" in run}
    assert found == {"guestbook_jobs_t"}


def test_a_module_that_goes_under_it_leaves_nothing_serving(behind_nginx: Outcome) -> None:
    assert behind_nginx.text("module-removed.page") != "200"
    domains = {domain for domain, _, _ in threads(behind_nginx, "module-removed")}
    assert domains <= {"unlabeled_t"}
    assert "Access denied" in behind_nginx.text("module-removed.refused")
    assert "ExecMainStatus=229" in behind_nginx.text("module-removed.state")
    assert behind_nginx.text("module-restarted.page") != "200"
    left = threads(behind_nginx, "module-restarted")
    assert [run for _, _, run in left if "guestbook-web" in run] == []


@pytest.mark.parametrize("description", ["service.toml", "daemon.toml"])
@pytest.mark.parametrize("choice", ["run", "refuse"])
def test_without_selinux_the_description_decides(
    machine: Machine, tmp_path: Path, description: str, choice: str
) -> None:
    packages = example(tmp_path, description, f'application.without-selinux="{choice}"')
    life = machine.without_selinux().run(job("off.sh"), job_files(*packages), limit=1200)
    assert life.enforcing == "Disabled"
    assert life.text("install.status").strip() == "0", life.text("install.log")
    if choice == "run":
        assert life.text("start.page") == "200", life.text("said")
        assert "warning: SELinux is off, the application is not confined" in life.text("said")
        return
    assert life.text("start.page") != "200"
    said = "without SELinux" if description == "service.toml" else "must not run without it"
    assert said in life.text("said")


def test_two_applications_in_one_server_stay_apart(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "neighbour"
    folder.mkdir()
    shutil.copy(HERE / "misdeeds" / "neighbour.py", folder)
    (folder / "wsgi-sepkg.toml").write_text(NEIGHBOUR, encoding="utf-8")
    packages = build_example(tmp_path / "made", folder)
    packages += example(tmp_path, "daemon.toml")
    life = machine.run(job("neighbours.sh"), job_files(*packages), limit=1800)
    assert life.text("install.status").strip() == "0", life.text("install.log")
    assert life.text("start.page") == "200"
    domains = {}
    for domain, _, command in threads(life, "start"):
        domains.setdefault(command, set()).add(domain)
    assert domains == {
        "(wsgi:guestbook) -DFOREGROUND": {"guestbook_wsgi_t"},
        "(wsgi:album) -DFOREGROUND": {"album_wsgi_t"},
    }
    seen = json.loads(life.text("neighbour.json"))
    assert seen.pop("context").split(":")[2] == "album_wsgi_t"
    assert set(seen.values()) == {"PermissionError"}
    assert {
        (source, target) for source, target, *_ in denied(life, "start") if source == "album_wsgi_t"
    } == {("album_wsgi_t", "guestbook_data_t"), ("album_wsgi_t", "guestbook_config_t")}
