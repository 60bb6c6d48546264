"""Daemon and service confinement, linked with the base policy of this host and asked."""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.policy import buildcheck
from wsgi_sepkg.policy.check import FAILED, NOT_CHECKED, CheckReport, check
from wsgi_sepkg.policy.compile import compile_modules, headers_for
from wsgi_sepkg.policy.reach import Reach, read
from wsgi_sepkg.project.load import load
from wsgi_sepkg.report.check import as_dict, as_text
from wsgi_sepkg.targets import load as load_target

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook"
SERVICE = """
[process.web]
kind = "web"
run = "gunicorn guestbook.wsgi --workers 2"
[process.worker]
kind = "worker"
run = "celery -A guestbook worker"
[process.beat]
kind = "scheduler"
run = "celery -A guestbook beat"
[process.clear]
kind = "timer"
run = "manage clearsessions"
schedule = "daily"
[[connect]]
to = "redis"
by = ["web", "worker", "beat"]
reason = "the queue"
"""
POWERS = """
[[power]]
name = "helpers"
reason = "thumbnails"
[[power]]
name = "shared-memory"
reason = "locks"
[[power]]
name = "libffi"
by = ["web"]
reason = "callbacks"
[[power]]
name = "nfs"
reason = "media on a server"
[[power]]
name = "cifs"
reason = "media on a server"
[[power]]
name = "sendmail"
by = ["worker"]
reason = "mail"
[[power]]
name = "collect-static"
reason = "plugins"
[[power]]
name = "kerberos"
by = ["beat"]
reason = "single sign-on"
[[power]]
name = "nsswitch"
by = ["worker"]
reason = "accounts in SSSD"
[[power]]
name = "shell"
by = ["worker"]
reason = "scripts"
"""


def tree_of(folder: Path, confinement: str, more: str = "") -> Tree:
    """Return the tree of the example in another confinement, in a copy."""
    copy = folder / confinement
    shutil.copytree(EXAMPLE, copy, dirs_exist_ok=True)
    text = (EXAMPLE / "wsgi-sepkg.toml").read_text()
    text = text.replace('server = "httpd"\n', f'server = "httpd"\nconfinement = "{confinement}"\n')
    file = copy / "wsgi-sepkg.toml"
    file.write_text(text + more)
    return generate(load(file, "debian-12"))


def checked(tree: Tree) -> CheckReport:
    return check(tree, headers_for(tree.loaded.target, None))


def failures(report: CheckReport) -> list[str]:
    return [f.text for f in report.findings if f.status in (FAILED, NOT_CHECKED)]


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> CheckReport:
    return checked(tree_of(tmp_path_factory.mktemp("service"), "service", SERVICE))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory) -> CheckReport:
    return checked(tree_of(tmp_path_factory.mktemp("daemon"), "daemon"))


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory) -> CheckReport:
    """Return the check of a policy in which one thing after the other was taken out or put in."""
    tree = tree_of(tmp_path_factory.mktemp("spoilt"), "service", SERVICE)
    te = tree.sources["guestbook.te"].decode()
    entered = "init_domain(guestbook_t, guestbook_exec_t)"
    assert entered in te
    by_hand = (
        "domain_type(guestbook_t)\ndomain_entry_file(guestbook_t, guestbook_exec_t)\n"
        "role system_r types guestbook_t;\n"
        "gen_require(`\n\ttype init_t, shadow_t, bin_t, security_t, unconfined_t, "
        "httpd_sys_content_t, ssh_port_t;\n')\n"
        "domtrans_pattern(init_t, guestbook_exec_t, guestbook_t)"
    )
    te = te.replace(entered, by_hand)
    te = te.replace(
        "init_domain(guestbook_beat_t, guestbook_beat_exec_t)",
        "domain_type(guestbook_beat_t)\n"
        "domain_entry_file(guestbook_beat_t, guestbook_beat_exec_t)\n"
        "role system_r types guestbook_beat_t;",
    )
    te += """
allow guestbook_worker_t bin_t:file execute_no_trans;
allow guestbook_worker_t guestbook_data_t:file execute;
allow guestbook_worker_t guestbook_content_t:file write;
allow guestbook_worker_t guestbook_t:process ptrace;
allow guestbook_worker_t httpd_sys_content_t:file { getattr open read };
allow guestbook_worker_t ssh_port_t:tcp_socket { name_bind name_connect };
allow guestbook_worker_t self:process setexec;
allow unconfined_t guestbook_worker_t:process transition;
permissive guestbook_manage_t;
"""
    files = tree.files | {"selinux/guestbook.te": te.encode()}
    return checked(replace(tree, files=files))


def test_a_service_holds_every_claim_with_a_tenth_of_the_web_server_s_power(service):
    assert service.mode == "link"
    assert failures(service) == []
    assert {p.domain for p in service.power.processes} == {
        "guestbook_t",
        "guestbook_worker_t",
        "guestbook_beat_t",
        "guestbook_manage_t",
    }
    for power in service.power.processes:
        assert 0 < power.share <= 0.1, power
    web = next(p for p in service.power.processes if p.domain == "guestbook_t")
    assert web.connects == (
        ("postgresql_port_t", True),
        ("redis_port_t", True),
        ("smtp_port_t", False),
    )
    assert web.entered_from == ("init_t",)
    assert web.binds == ()
    assert web.leaves_to == ()
    assert not {t for t in web.writes if not t.startswith("guestbook_")}
    assert not set(web.writes) & {"guestbook_content_t", "guestbook_config_t", "guestbook_unit_t"}
    assert dict(service.power.server_reads) == {
        "guestbook_media_t": ("read",),
        "guestbook_static_t": ("read",),
        "guestbook_runtime_t": ("connect",),
    }


def test_a_daemon_holds_every_claim_with_a_fifth_of_the_web_server_s_power(daemon):
    assert failures(daemon) == []
    wsgi = next(p for p in daemon.power.processes if p.domain == "guestbook_wsgi_t")
    assert 0 < wsgi.share <= 0.2
    assert wsgi.entered_from == ("httpd_t",)
    assert wsgi.connects == (("postgresql_port_t", True), ("smtp_port_t", False))


def test_the_table_is_shown_and_in_the_json(service):
    assert "power: access vectors beyond a bare domain" in as_text(service)
    rows = as_dict(service)["power"]["processes"]
    assert {r["domain"] for r in rows} >= {"guestbook_t", "guestbook_worker_t"}
    assert not any("wsgisepkg_probe" in str(v) for v in as_dict(service).values())


def test_every_power_links_and_breaks_no_invariant(tmp_path):
    assert failures(checked(tree_of(tmp_path, "service", SERVICE + POWERS))) == []


def test_the_lost_nnp_grant_is_named(spoilt):
    """With NoNewPrivileges= the kernel then leaves the process in init_t, and says nothing."""
    found = failures(spoilt)
    assert any(
        re.search(r"invariant start: guestbook_t .*init_t may not nnp_transition", f) for f in found
    )
    promise = "allow init_t guestbook_t:process2 { nnp_transition nosuid_transition }"
    assert any(promise in f for f in found)
    assert not any("invariant start: guestbook_worker_t" in f for f in found)


@pytest.mark.parametrize(
    ("invariant", "domain", "text"),
    [
        ("start", "guestbook_beat_t", "no type_transition"),
        ("programs", "guestbook_worker_t", "execute bin_t in its own domain"),
        ("write-execute", "guestbook_worker_t", "write and execute guestbook_data_t"),
        ("code", "guestbook_worker_t", "write guestbook_content_t"),
        ("ptrace", "guestbook_worker_t", "trace guestbook_t"),
        ("others", "guestbook_worker_t", "open files of httpd_sys_content_t"),
        ("bind", "guestbook_worker_t", "bind ssh_port_t"),
        ("connect", "guestbook_worker_t", "connect ssh_port_t"),
        ("context", "guestbook_worker_t", "setexec for itself"),
        ("enter", "guestbook_worker_t", "be entered from unconfined_t"),
        ("permissive", "guestbook_manage_t", "is permissive"),
    ],
)
def test_what_was_spoilt_is_named(spoilt, invariant, domain, text):
    wanted = f"invariant {invariant}: {domain}"
    assert any(f.startswith(wanted) and text in f for f in failures(spoilt)), failures(spoilt)


# Types of the real package and ours that stand for the same thing.
SAME = {
    "pulpcore_etc_t": "pulpown_config_t",
    "pulpcore_log_t": "pulpown_log_t",
    "pulpcore_var_lib_t": "pulpown_data_t",
    "pulpcore_server_var_lib_t": "pulpown_data_t",
    "pulpcore_var_run_t": "pulpown_worker_runtime_t",
    "pulpcore_server_var_run_t": "pulpown_runtime_t",
    "pulpcore_tmp_t": "pulpown_worker_tmp_t",
    "pulpcore_server_tmp_t": "pulpown_tmp_t",
    "pulpcore_server_tmpfs_t": "pulpown_tmpfs_t",
}
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def pulp(tmp_path_factory) -> Reach:
    """Link the rules of the real package and ours for the same application in one store."""
    work = tmp_path_factory.mktemp("pulp")
    files, tunables = [], {}
    for name in ("cases/01-pulpcore.toml", "pulpcore-service/wsgi-sepkg.toml"):
        tree = generate(load(DATA / name, "debian-12"))
        assert name[0] == "c" or not any(d.permissive for d in tree.policy.domains)
        policy = msgspec.structs.replace(tree.policy, ports=())
        target = tree.loaded.target
        headers = headers_for(target, None)
        files += compile_modules(policy, tree.sources, target, headers, work / policy.module)
        tunables |= {t.name: True for t in policy.tunables}
    scratch = buildcheck.scratch_copy(buildcheck.find_store("/"), str(work / "root"))
    assert buildcheck.link(scratch, [str(f) for f in files], 200, {}).ok
    names = ["pulpcore_t", "pulpcore_server_t", "pulpown_t", "pulpown_worker_t"]
    linked = buildcheck.linked_policy(scratch)
    return read(linked, names, tunables, load_target("debian-12").facts.booleans)


@pytest.mark.parametrize(
    ("role", "theirs", "ours"),
    [("server", "pulpcore_server_t", "pulpown_t"), ("worker", "pulpcore_t", "pulpown_worker_t")],
)
def test_what_the_real_package_grants_and_we_do_not_is_listed_with_its_reason(
    pulp, role, theirs, ours
):
    granted = {(SAME.get(t, t), c, p) for t, c, p in pulp.domains[theirs].switched}
    lacking = {target for target, _, _ in granted - pulp.domains[ours].switched}
    listed = tomllib.loads((DATA / "pulpcore-service/differences.toml").read_text())["difference"]
    said = [t for d in listed if d.get("for", role) == role for t in d["types"]]
    assert sorted(said) == sorted(lacking)
    assert all(d["by"] and d["reason"] for d in listed)
    assert not pulp.domains[ours].permissive
    # The real package's are; and ours has less to do with the host.
    assert pulp.domains[theirs].permissive
    assert len(pulp.domains[ours].vectors) < 0.7 * len(pulp.domains[theirs].vectors)
