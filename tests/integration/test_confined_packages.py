"""Scriptlets of an application with domains of its own: what stops, starts and goes when."""

from __future__ import annotations

import shutil

import package_tools as tools
import pytest
from package_tools import Root, application_package, package, selinux_package
from shop import description

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is not installed"),
]

PROCESSES = """
[process.web]
kind = "web"
run = "gunicorn shop.wsgi"

[process.clear]
kind = "timer"
run = "manage clearsessions"
schedule = "daily"
"""
SERVICE = description(PROCESSES, application='confinement = "service"')
NEXT = description(PROCESSES, version="1.1", application='confinement = "service"')
DAEMON = description(application='confinement = "daemon"')
STOPPED = "systemctl stop shop-clear.service shop-clear.timer shop.service"


@pytest.fixture
def root() -> Root:
    return Root("dash")


def test_the_first_installation_asks_the_preset_and_starts_nothing(root: Root) -> None:
    app = application_package(package(SERVICE, target="debian-12"))
    calls = [call for step in root.install(app).values() for call in step]
    assert "systemctl preset shop-clear.timer shop.service" in calls
    assert not [call for call in calls if " start " in call or call.endswith("--now")]


def test_an_upgrade_restarts_what_runs_all_the_time_after_the_policy_is_there(root: Root) -> None:
    old, new = (package(text, target="debian-12") for text in (SERVICE, NEXT))
    root.install(selinux_package(old))
    root.install(application_package(old))
    root.upgrade(selinux_package(old), selinux_package(new))
    calls = root.upgrade(application_package(old), application_package(new))
    restarted = [c for c in calls["posttrans"] if c.startswith("systemctl try-restart")]
    assert restarted == ["systemctl try-restart shop-clear.timer shop.service"]
    assert not [c for step in calls.values() for c in step if " disable " in c or " stop " in c]


def test_the_end_of_the_application_stops_and_disables_its_units(root: Root) -> None:
    app = application_package(package(SERVICE, target="debian-12"))
    root.install(app)
    calls = root.erase(app)
    wanted = "systemctl --no-reload disable --now shop-clear.service shop-clear.timer shop.service"
    assert wanted in calls["preun"]
    assert "systemctl daemon-reload" in calls["postun"]


def test_the_policy_stops_the_processes_before_it_goes(root: Root) -> None:
    policy = selinux_package(package(SERVICE, target="debian-12"))
    root.at("/var/lib/shop").mkdir(parents=True)
    root.install(policy)
    calls = root.erase(policy)
    assert calls["preun"] == [STOPPED]
    assert [call for call in calls["postun"] if call.startswith("semodule") and " -r " in call]
    assert [call for call in calls["postun"] if call.startswith(("relabel", "restorecon"))]


def test_an_upgrade_of_the_policy_stops_nothing(root: Root) -> None:
    old, new = (selinux_package(package(text, target="debian-12")) for text in (SERVICE, NEXT))
    root.install(old)
    calls = root.upgrade(old, new)
    assert not [c for step in calls.values() for c in step if c.startswith("systemctl stop")]


def test_the_web_server_is_restarted_when_the_policy_of_its_process_goes(root: Root) -> None:
    policy = selinux_package(package(DAEMON, target="debian-12"))
    root.install(policy)
    calls = root.erase(policy)["postun"]
    removed = next(i for i, call in enumerate(calls) if call.startswith("semodule"))
    assert calls.index("systemctl try-restart apache2.service") > removed


def test_only_root_may_write_what_is_started() -> None:
    app = application_package(package(SERVICE, target="debian-12"))
    form = "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME}\n]"
    started = [
        line.split()
        for line in tools.query(app, form).splitlines()
        if line.startswith(("/usr/libexec/", "/usr/bin/", "/usr/lib/systemd/"))
    ]
    assert len(started) == 8
    for path, mode, owner in started:
        assert owner == "root:root", path
        assert mode[5] == mode[8] == "-", path
