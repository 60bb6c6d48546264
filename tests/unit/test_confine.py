"""Daemon and service confinement: what the policy of the processes says, on every target."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.policy import render
from wsgi_sepkg.policy.derive import derive
from wsgi_sepkg.policy.model import Call, RoleTypes, Rule
from wsgi_sepkg.project import validate
from wsgi_sepkg.project.schema import Description, Power

PROJECT = {
    "name": "my-shop",
    "version": "1",
    "summary": "A shop",
    "license": "MIT",
    "maintainer": "A <a@b.example>",
}
APPLICATION = {
    "root": "/usr/share/my-shop",
    "wsgi": "shop.wsgi:application",
    "settings": "shop.settings",
    "confinement": "service",
}
WEB = {"kind": "web", "run": "gunicorn shop.wsgi --workers 2"}
POWERS = msgspec.json.schema(Power)["$defs"]["Power"]["properties"]["name"]["enum"]
PATHS = {
    "static": "/usr/share/my-shop/static",
    "media": "/var/lib/my-shop/media",
    "data": "/var/lib/my-shop/db",
    "log": "/var/log/my-shop",
    "cache": "/var/cache/my-shop",
    "config": "/etc/my-shop",
    "secret": "/etc/my-shop/key",
}
PROCESSES = {
    "web": WEB,
    "worker": {"kind": "worker", "run": "celery -A shop worker"},
    "jobs": {"kind": "worker", "run": "rq worker", "own-domain": False},
    "beat": {"kind": "scheduler", "run": "celery -A shop beat"},
    "prune": {"kind": "timer", "run": "manage clearsessions", "schedule": "daily"},
}
DATABASE = {"to": "postgresql", "reason": "orders"}


def described(process=PROCESSES, powers=(), connect=(DATABASE,), **more):
    application = APPLICATION | more.pop("application", {})
    raw = {
        "project": PROJECT,
        "application": application,
        "path": PATHS,
        "process": process,
        "power": [{"name": p, "reason": "wanted"} | more.pop(p, {}) for p in powers],
        "connect": list(connect),
        **more,
    }
    return msgspec.convert(raw, Description)


def derived(target="debian-12", **words):
    return derive(described(**words), targets.load(target))


def daemon(target="debian-12", **words):
    return derived(target, process={}, application={"confinement": "daemon"}, **words)


def statements(policy, domain, *, tunable=None):
    for statement in policy.statements:
        body = statement.body
        words = body.arguments if isinstance(body, Call) else ()
        if isinstance(body, Rule):
            words = (body.source,)
        if words and words[0] == domain and tunable in (None, statement.tunable):
            yield body


def calls(policy, domain):
    return {b.macro for b in statements(policy, domain) if isinstance(b, Call)}


def problems(description, target="debian-12", folder=None):
    found = validate.validate(description, targets.load(target), folder)
    return {p.key: p.message for p in found if not p.warning}


@pytest.mark.parametrize("name", targets.names())
@pytest.mark.parametrize("mode", ["service", "daemon"])
def test_only_names_that_the_target_has_are_used(name, mode):
    facts = targets.load(name).facts
    words = {"powers": POWERS}
    policy = derived(name, **words) if mode == "service" else daemon(name, **words)
    own = {t.name for t in policy.types} | {d.name for d in policy.domains}
    for statement in policy.statements:
        body = statement.body
        if isinstance(body, RoleTypes):
            assert body.role in facts.roles
            continue
        if isinstance(body, Call):
            assert body.macro in facts.interfaces or body.macro in facts.macros, body
            named = [a for a in body.arguments if a.endswith("_t")]
        else:
            named = [w for w in (body.source, body.target) if w != "self"]
            for class_ in body.classes:
                assert class_ in facts.classes
                for permission in body.permissions:
                    known = facts.classes[class_] | set(facts.permission_sets)
                    assert permission in known, body
        assert not [w for w in named if w not in own and w not in facts.types], body
    for own_type in policy.types:
        assert all(c in facts.interfaces for c in own_type.calls), own_type


@pytest.mark.parametrize("name", targets.names())
def test_every_domain_is_entered_by_init_alone_also_with_no_new_privileges(name):
    policy = derived(name)
    text = render.te(policy, targets.load(name))
    for domain in policy.domains:
        assert f"init_domain({domain.name}, {domain.entry})" in text
        assert f"init_daemon_domain({domain.name}" not in text
        if targets.load(name).family == "fedora":
            assert f"init_nnp_daemon_domain({domain.name}, {domain.entry})" in text
        asked = [
            p.permissions
            for p in policy.promises
            if p.allow and (p.source, p.target, p.class_) == ("init_t", domain.name, "process2")
        ]
        assert ("nnp_transition", "nosuid_transition") in asked


def test_nothing_is_permissive_unless_it_is_said():
    assert not any(d.permissive for d in derived().domains)
    said = PROCESSES | {"web": WEB | {"permissive": True}}
    assert [d.name for d in derived(process=said).domains if d.permissive] == ["my_shop_t"]


def test_no_process_executes_a_program_of_the_host():
    policy = derived()
    for domain in policy.domains:
        assert "corecmd_mmap_bin_files" in calls(policy, domain.name)
        assert "can_exec" not in calls(policy, domain.name)


def test_helpers_are_a_power_of_the_worker_behind_a_tunable():
    policy = derived(powers=["helpers"])
    assert "can_exec" in calls(policy, "my_shop_worker_t")
    # A worker that shares the web's domain makes that domain the worker's.
    assert "can_exec" in calls(policy, "my_shop_t")
    assert "can_exec" not in calls(policy, "my_shop_manage_t")
    guarded = list(statements(policy, "my_shop_worker_t", tunable="my_shop_run_helpers"))
    assert any(isinstance(b, Call) and b.macro == "can_exec" for b in guarded)


def test_names_are_looked_up_without_nsswitch():
    policy = derived()
    assert "auth_use_nsswitch" not in {m for d in policy.domains for m in calls(policy, d.name)}
    named = derived(powers=["nsswitch"])
    assert "auth_use_nsswitch" in calls(named, "my_shop_t")
    # It is given by an attribute, which no boolean can turn off.
    assert not any(t.name.endswith("nsswitch") for t in named.tunables)


def test_without_connections_there_are_no_sockets_of_the_network():
    policy = derived(connect=[])
    rules = [b for b in statements(policy, "my_shop_t") if isinstance(b, Rule)]
    assert not any(c in ("tcp_socket", "udp_socket") for r in rules for c in r.classes)
    assert any(
        "tcp_socket" in r.classes for r in statements(derived(), "my_shop_t") if isinstance(r, Rule)
    )


def test_a_client_may_bind_its_end_and_not_listen_there():
    sets = targets.load("debian-12").facts.permission_sets
    for domain in ("my_shop_t", "my_shop_worker_t"):
        rules = [b for b in statements(derived(), domain) if isinstance(b, Rule)]
        on_tcp = [r for r in rules if "tcp_socket" in r.classes and r.target == "self"]
        granted = {q for r in on_tcp for p in r.permissions for q in sets.get(p, (p,))}
        assert "bind" in granted
        assert not granted & {"listen", "accept"}
        assert "corenet_tcp_bind_generic_node" in calls(derived(), domain)
    listening = derived(process={"web": WEB | {"listen": "127.0.0.1:8000"}})
    rules = [b for b in statements(listening, "my_shop_t") if isinstance(b, Rule)]
    assert any("create_stream_socket_perms" in r.permissions for r in rules if r.target == "self")


def test_uwsgi_reads_the_limit_of_its_queue_and_gunicorn_asks_for_none():
    uwsgi = derived(process={"web": WEB | {"run": "uwsgi --plugin python3 --module shop.wsgi"}})
    assert "kernel_read_net_sysctls" in calls(uwsgi, "my_shop_t")
    assert "kernel_read_net_sysctls" not in calls(derived(), "my_shop_t")


def test_who_keeps_something_in_shared_memory_sees_whether_there_is_room():
    assert "fs_getattr_tmpfs" in calls(derived(), "my_shop_worker_t")  # Celery's pool
    assert "fs_getattr_tmpfs" not in calls(derived(), "my_shop_t")
    assert "fs_getattr_tmpfs" in calls(derived(powers=["shared-memory"]), "my_shop_t")


def test_a_connection_may_be_one_process_s_alone():
    policy = derived(connect=[DATABASE | {"by": ["worker"]}])
    assert "corenet_tcp_connect_postgresql_port" in calls(policy, "my_shop_worker_t")
    assert "corenet_tcp_connect_postgresql_port" not in calls(policy, "my_shop_t")


def test_the_web_server_gets_static_media_and_the_socket_only():
    policy = derived()
    targets_of_httpd = {
        w
        for body in statements(policy, "httpd_t")
        if isinstance(body, Call)
        for w in body.arguments[1:]
    }
    assert targets_of_httpd == {
        "my_shop_static_t",
        "my_shop_media_t",
        "my_shop_content_t",  # the folder above the static files, to walk through
        "my_shop_runtime_t",
        "my_shop_t",
    }
    on_content = [
        b.macro
        for b in statements(policy, "httpd_t")
        if isinstance(b, Call) and "my_shop_content_t" in b.arguments
    ]
    assert on_content == ["search_dirs_pattern"]


def test_management_commands_are_started_by_administrators_and_the_timer():
    policy = derived()
    entered = [
        b.arguments
        for s in policy.statements
        if isinstance(b := s.body, Call) and b.macro == "domtrans_pattern"
    ]
    assert sorted(entered) == [
        ("sysadm_t", "my_shop_manage_exec_t", "my_shop_manage_t"),
        ("unconfined_t", "my_shop_manage_exec_t", "my_shop_manage_t"),
    ]


def test_labels_of_entry_points_units_and_folders():
    labelled = {c.pattern: (c.file_type, c.type) for c in derived().contexts}
    assert labelled["/usr/libexec/my-shop/my-shop-web"] == ("file", "my_shop_exec_t")
    assert labelled["/usr/libexec/my-shop/my-shop-prune"] == ("file", "my_shop_manage_exec_t")
    assert labelled["/usr/lib/systemd/system/my-shop-prune\\.timer"] == ("file", "my_shop_unit_t")
    assert labelled["/run/my-shop-worker(/.*)?"] == ("any", "my_shop_worker_runtime_t")
    assert labelled["/run/my-shop-jobs(/.*)?"] == ("any", "my_shop_runtime_t")


def test_the_daemon_process_moves_and_reads_only_its_own():
    policy = daemon()
    (wsgi,) = (d for d in policy.domains if d.name == "my_shop_wsgi_t")
    assert (wsgi.way, wsgi.entry) == ("dynamic", "")
    text = render.te(policy, targets.load("debian-12"))
    assert "domain_type(my_shop_wsgi_t)\nrole system_r types my_shop_wsgi_t;" in text
    assert "domain_dyntrans_type(httpd_t)" in text
    assert "allow httpd_t self:process setcurrent;" in text
    assert "corecmd_mmap_bin_files" not in calls(policy, "my_shop_wsgi_t")


@pytest.mark.parametrize("power", POWERS)
def test_every_power_grants_something_with_its_reason(power):
    words = {power: {"by": ["web"]}} if power == "execmem" else {}
    with_it, without = derived(powers=[power], **words), derived()
    added = [s for s in with_it.statements if s not in without.statements]
    assert added
    named = [s for s in added if s.why.key == "power[0]"]
    assert named
    assert all("wanted" in s.why.reason for s in named)
    # A type transition is never conditional: two tunables could not share it.
    rest = {s.body.macro for s in added if s not in named}
    assert rest <= {"fs_tmpfs_filetrans"}


def test_execmem_needs_a_waiver(tmp_path):
    words = {"powers": ["execmem"], "execmem": {"by": ["web"]}}
    assert "power[0]" in problems(described(**words), folder=tmp_path)
    waiver = {
        "grant": "my_shop_t self:process execmem",
        "reason": "a compiler",
        "until": datetime.date(2099, 1, 1),
    }
    found = problems(described(**words, waiver=[waiver]), folder=tmp_path)
    assert "power[0]" not in found


WRONG = {
    "process.web.run": {"web": WEB | {"run": "gunicorn --bind 0.0.0.0:80 shop.wsgi"}},
    "process.jobs.run": {"web": WEB, "jobs": {"kind": "worker", "run": "celery -A shop"}},
    "process.data": {"web": WEB, "data": {"kind": "worker", "run": "rq worker"}},
    "process.Jobs": {"web": WEB, "Jobs": {"kind": "worker", "run": "rq worker"}},
    "process.t.schedule": {"web": WEB, "t": {"kind": "timer", "run": "manage clearsessions"}},
    "process.web.schedule": {"web": WEB | {"schedule": "daily"}},
    "process.web.listen": {"web": WEB | {"listen": "0.0.0.0:8000"}},
    "process.web.own-domain": {"web": WEB | {"own-domain": False}},
    "process.web.permissive": {"web": WEB | {"permissive": True}},
    "process.web.user": {"web": WEB | {"user": "root"}},
    "process.web.environment.PYTHONPATH": {"web": WEB | {"environment": {"PYTHONPATH": "/x"}}},
    "process.api": {"api": WEB, "other": WEB},
    "application.confinement": {"jobs": {"kind": "worker", "run": "rq worker"}},
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_process_is_refused_where_it_stands(key, tmp_path):
    assert key in problems(described(WRONG[key]), folder=tmp_path)


@pytest.mark.parametrize(
    "run",
    [
        "uvicorn --workers 4 shop.asgi:app",
        "gunicorn 'shop.wsgi",
        "python3 -m gunicorn shop.wsgi",
        "/usr/bin/gunicorn shop.wsgi",
        "sh -c gunicorn",
        "",
        [],
        ["gunicorn", "shop\nwsgi"],
        "manage runserver",
        "call os:system",
    ],
)
def test_command_lines_that_would_leave_the_domain_are_refused(run, tmp_path):
    found = problems(described({"web": WEB | {"run": run}}), folder=tmp_path)
    assert "process.web.run" in found


def test_a_sound_description_has_no_problems(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "wsgi.py").write_text("")
    for target in targets.names():
        assert problems(described(), target, tmp_path) == {}
