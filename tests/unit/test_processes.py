"""What follows from [process.NAME]: names, units, sockets, command lines, domains."""

from __future__ import annotations

import msgspec
import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.project.processes import account, connecting, processes, words_of
from wsgi_sepkg.project.schema import Description

APPLICATION = {
    "root": "/usr/share/shop",
    "wsgi": "shop.wsgi:application",
    "settings": "shop.settings",
    "confinement": "service",
}
PROJECT = {
    "name": "my-shop",
    "version": "1",
    "summary": "A shop",
    "license": "MIT",
    "maintainer": "A <a@b.example>",
}


def described(process, **application):
    raw = {
        "project": PROJECT,
        "application": APPLICATION | application,
        "path": {"data": "/var/lib/my-shop/db"},
        "process": process,
    }
    return msgspec.convert(raw, Description)


def named(process, target="el9", **application):
    found = processes(described(process, **application), targets.load(target))
    assert [p.name for p in found] == sorted(p.name for p in found)
    return {p.name: p for p in found}


WEB = {"kind": "web", "run": "gunicorn shop.wsgi --workers 2"}


def test_shared_confinement_has_no_processes():
    assert processes(described({}, confinement="shared"), targets.load("el9")) == ()


def test_the_main_process_carries_the_plain_names():
    web = named({"web": WEB})["web"]
    assert (web.domain, web.entry_type) == ("my_shop_t", "my_shop_exec_t")
    assert web.entry_point == "/usr/libexec/my-shop/my-shop-web"
    assert (web.unit, web.timer, web.socket_unit) == ("my-shop.service", "", "")
    assert web.socket == "/run/my-shop/my-shop.sock"
    assert web.arguments == (
        "--bind",
        "unix:/run/my-shop/my-shop.sock",
        "shop.wsgi",
        "--workers",
        "2",
    )
    assert web.runner.python == "gunicorn.app.wsgiapp:run"
    assert web.user == "my-shop"


def test_a_worker_has_a_domain_a_unit_and_a_folder_of_its_own():
    worker = named({"web": WEB, "jobs": {"kind": "worker", "run": "celery -A shop worker"}})["jobs"]
    assert (worker.domain, worker.entry_type) == ("my_shop_jobs_t", "my_shop_jobs_exec_t")
    assert worker.entry_point == "/usr/libexec/my-shop/my-shop-jobs"
    assert (worker.unit, worker.runtime_folder) == ("my-shop-jobs.service", "/run/my-shop-jobs")
    assert worker.arguments == ("--quiet", "-A", "shop", "worker")
    assert worker.own


def test_a_worker_may_share_the_domain_of_the_web():
    run = {"kind": "worker", "run": "celery -A shop worker", "own-domain": False}
    worker = named({"web": WEB, "jobs": run})["jobs"]
    assert (worker.domain, worker.entry_type, worker.own) == ("my_shop_t", "my_shop_exec_t", False)


def test_timers_run_as_management_commands():
    run = {"kind": "timer", "run": "manage clearsessions", "schedule": "daily"}
    found = named({"web": WEB, "clear": run})
    clear = found["clear"]
    assert (clear.domain, clear.entry_type) == ("my_shop_manage_t", "my_shop_manage_exec_t")
    assert (clear.unit, clear.timer) == ("my-shop-clear.service", "my-shop-clear.timer")
    assert clear.arguments == ("clearsessions",)
    assert clear.runtime_folder == ""
    assert found["manage"].entry_point == "/usr/libexec/my-shop/my-shop-manage"
    assert found["manage"].unit == ""


def test_daemon_confinement_has_the_process_of_mod_wsgi():
    found = named({}, confinement="daemon")
    assert sorted(found) == ["manage", "wsgi"]
    assert (found["wsgi"].domain, found["wsgi"].entry_point) == ("my_shop_wsgi_t", "")
    assert found["wsgi"].main
    assert found["wsgi"].user == "apache"


def test_the_scheduler_remembers_in_the_data_folder():
    beat = named({"web": WEB, "beat": {"kind": "scheduler", "run": "celery -A shop beat"}})["beat"]
    assert beat.arguments[-2:] == ("--schedule", "/var/lib/my-shop/db/celerybeat-schedule")


def test_a_socket_of_systemd_is_handed_on():
    web = named({"web": WEB | {"socket-activation": True}})["web"]
    assert web.socket_unit == "my-shop.socket"
    assert web.arguments[:2] == ("--bind", "fd://3")


def test_a_port_in_place_of_the_socket():
    web = named(
        {"web": {"kind": "web", "run": "uvicorn shop.asgi:app", "listen": "127.0.0.1:8765"}}
    )
    assert (web["web"].socket, web["web"].host, web["web"].port) == ("", "127.0.0.1", 8765)
    assert web["web"].arguments == ("--host", "127.0.0.1", "--port", "8765", "shop.asgi:app")


def test_hypercorn_forks_nothing_unless_it_is_said():
    plain = named({"web": {"kind": "web", "run": "hypercorn shop.asgi:app"}})["web"]
    assert plain.arguments[:2] == ("--workers", "0")
    said = named({"web": {"kind": "web", "run": "hypercorn --workers 3 shop.asgi:app"}})["web"]
    assert said.arguments.count("--workers") == 1


def test_several_webs_have_one_main():
    found = named({"web": WEB, "api": WEB})
    assert found["web"].main
    assert not found["api"].main
    assert found["api"].domain == "my_shop_t"
    assert found["api"].socket == "/run/my-shop-api/my-shop-api.sock"


def test_a_connection_is_made_by_processes_or_a_domain():
    description = described({"web": WEB, "jobs": {"kind": "worker", "run": "rq worker"}})
    target = targets.load("el9")
    assert connecting(description, target, "") == (
        "my_shop_jobs_t",
        "my_shop_manage_t",
        "my_shop_t",
    )
    assert connecting(description, target, ["jobs"]) == ("my_shop_jobs_t",)
    assert connecting(description, target, "httpd_t") == ("httpd_t",)


@pytest.mark.parametrize("name", targets.names())
def test_every_runner_is_complete(name):
    for runner in targets.load(name).runners.values():
        assert bool(runner.python) != bool(runner.program), runner.name
        assert runner.kinds, runner.name
        assert not set(runner.always) & set(runner.refused), runner.name
        if "web" in runner.kinds:
            assert runner.address, runner.name


def test_a_function_can_be_called():
    run = {"kind": "worker", "run": "call shop.jobs:main --queue mail"}
    jobs = named({"web": WEB, "jobs": run})["jobs"]
    assert (jobs.runner.python, jobs.arguments) == ("shop.jobs:main", ("--queue", "mail"))


def test_words_are_split_as_a_shell_would_but_never_run():
    assert words_of("gunicorn 'a b' c") == ("gunicorn", "a b", "c")
    assert words_of(["gunicorn", "$(id)"]) == ("gunicorn", "$(id)")
    with pytest.raises(ValueError, match="closing"):
        words_of("gunicorn 'a")


def test_the_account_follows_the_confinement():
    target = targets.load("debian-12")
    assert account(described({}), target) == ("my-shop", "my-shop")
    assert account(described({}, confinement="daemon"), target) == ("www-data", "www-data")
    assert account(described({}, user="shop"), target) == ("shop", "shop")
