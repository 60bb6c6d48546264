"""The ladder's order, what is never proposed, and the faces of an explanation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from denial_examples import denial

from wsgi_sepkg.denials import grounds, read
from wsgi_sepkg.denials.decide import Ladder
from wsgi_sepkg.denials.explain import explain
from wsgi_sepkg.denials.grounds import Names, Policy, Verdict, choose
from wsgi_sepkg.denials.ladder.signs import stem
from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.report import explanation as report
from wsgi_sepkg.targets import load

FEDORA = Ladder(Names(load("fedora")))

LOG = """\
type=AVC msg=audit(1700000001.100:7): avc:  denied  { write } for  pid=9 comm="httpd" name="db" \
dev="dm-0" ino=4 scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:object_r:var_lib_t:s0 \
tclass=dir permissive=0
type=AVC msg=audit(1700000002.100:8): avc:  denied  { name_connect } for  pid=9 comm="httpd" \
dest=5432 scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:object_r:postgresql_port_t:s0 \
tclass=tcp_socket permissive=0
type=AVC msg=audit(1700000003.100:9): avc:  denied  { read } for  pid=9 comm="httpd" \
scontext=system_u:system_r:httpd_t:s0 tcontext=system_
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    path.write_text(LOG)
    return path


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("myapp_t unlabeled_t:file read name=x comm=x", "without a label"),
        ("httpd_t httpd_t:process execmem comm=httpd", "memory"),
        ("httpd_t httpd_t:capability dac_override comm=httpd", "capability"),
        ("httpd_t shadow_t:file read path=/etc/shadow comm=httpd", "business"),
        ("myapp_t etc_t:file write path=/etc/x comm=x", "the host"),
        ("myapp_t tmp_t:file create path=/tmp/x comm=x", "shared"),
        ("httpd_t var_t:dir add_name name=x comm=httpd", "shared"),
        ("myapp_t unreserved_port_t:tcp_socket name_connect port=6380 comm=x", "range"),
        ("httpd_t var_t:file read path=/srv/app/settings.py comm=httpd", "label of its own"),
        ("myapp_t mnt_t:file read path=/mnt/share/a comm=x", "label of its own"),
    ],
)
def test_a_rule_that_is_too_wide_is_refused_and_never_proposed(text: str, why: str) -> None:
    answer = FEDORA.answer(denial(text))
    assert any(why in r.reason for r in answer.refused)
    wide = f"allow {text.split()[0]} "
    for fix in answer.fixes:
        assert not fix.grants.startswith(wide) or "[[waiver]]" in fix.cure or "type" in fix.cure


def test_walking_through_a_shared_folder_is_no_wide_grant() -> None:
    answer = FEDORA.answer(denial("myapp_t var_lib_t:dir search name=lib comm=x"))
    assert not answer.refused


def test_init_gets_no_rule_as_the_answer() -> None:
    for text in (
        "init_t mysqld_port_t:tcp_socket name_connect port=3306 comm=gunicorn",
        "unconfined_service_t var_log_t:file append name=x comm=python3",
        "init_t user_home_t:file execute path=/home/a/venv/bin/gunicorn comm=(gunicorn)",
    ):
        assert FEDORA.answer(denial(text)).fixes[0].kind == "domain"


def test_a_label_goes_before_a_boolean_and_a_boolean_before_a_rule() -> None:
    text = "httpd_t user_home_t:file read path=/var/www/html/a.html comm=httpd"
    kinds = [fix.kind for fix in FEDORA.answer(denial(text)).fixes]
    assert kinds.index("relabel") < kinds.index("boolean")
    text = "httpd_t postgresql_port_t:tcp_socket name_connect port=5432 comm=httpd"
    kinds = [fix.kind for fix in FEDORA.answer(denial(text)).fixes]
    assert kinds.index("boolean") < kinds.index("allow")


def test_the_expected_label_of_a_path_is_looked_up() -> None:
    text = "redis_t etc_t:file read path=/etc/redis/redis.conf comm=redis-server"
    first = FEDORA.answer(denial(text)).fixes[0]
    assert (first.kind, first.id) == ("relabel", "rung:label")
    assert first.change is not None
    assert first.change.value("expected") == "redis_conf_t"


def test_a_target_without_the_boolean_is_not_told_to_set_it() -> None:
    text = "httpd_t redis_port_t:tcp_socket name_connect port=6379 comm=httpd"
    debian = Ladder(Names(load("debian-12"))).answer(denial(text))
    assert "boolean:httpd_can_network_redis" not in [f.id for f in debian.fixes]
    assert "boolean:httpd_can_network_redis" in [f.id for f in FEDORA.answer(denial(text)).fixes]


def test_every_answer_has_a_fix_a_reason_and_a_source() -> None:
    for text in (
        "a_t b_t:file watch name=x comm=y",
        "a_t b_t:nonsense frobnicate comm=y",
        "httpd_t httpd_t:process2 nosuid_transition comm=y",
    ):
        for fix in FEDORA.answer(denial(text)).fixes:
            assert fix.says
            assert fix.cure
    notes = FEDORA.answer(denial("a_t b_t:nonsense frobnicate comm=y")).notes
    assert any("nonsense is not in the policy" in note for note in notes)


def test_the_target_is_the_one_that_knows_the_types() -> None:
    assert choose({"httpd_t", "oracledb_port_t"}).target.family == "refpolicy"
    assert choose({"httpd_t", "redis_conf_t"}).target.name == "fedora"
    assert choose(set(), "el9").target.name == "el9"


@pytest.mark.parametrize(
    ("type_", "program"),
    [("cinder_var_lib_t", "cinder"), ("httpd_t", "httpd"), ("glance_api_t", "glance_api")],
)
def test_the_program_behind_a_type(type_: str, program: str) -> None:
    assert stem(type_) == program


def test_json_accounts_for_every_record(log: Path) -> None:
    data = json.loads(report.as_json(explain(read([log]), "el9", use_policy=False)))
    assert sum(d["records"] for d in data["denials"]) + data["rejected_count"] == 3
    assert [d["fixes"][0]["kind"] for d in data["denials"]] in (
        ["fcontext", "boolean"],
        ["boolean", "fcontext"],
    )
    assert data["asked"] == ["facts of el9"]
    assert data["rejected"][0]["line"] == 3


def test_sarif_has_a_place_for_each_result(log: Path) -> None:
    run = json.loads(report.as_sarif(explain(read([log]), "el9", use_policy=False)))["runs"][0]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert len(run["results"]) == 3
    for result in run["results"]:
        assert result["ruleId"] in rules
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == str(log)


def test_markdown_obeys_nothing_that_a_log_says(tmp_path: Path) -> None:
    hostile = LOG.replace('comm="httpd"', 'comm="<img src=x>[a](b)"')
    (tmp_path / "x.log").write_text(hostile)
    text = report.as_markdown(explain(read([tmp_path / "x.log"]), use_policy=False))
    assert "<img" not in text
    assert "[a](b)" not in text.replace("\\[", "")


def test_text_says_what_served(log: Path) -> None:
    text = report.as_text(explain(read([log]), "el9", use_policy=False), width=100)
    assert "asked: facts of el9" in text
    assert '[[connect]] to = "postgresql"' in text
    assert "rejected" in text


def test_a_policy_that_is_not_there_is_a_mistake_of_usage(log: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        explain(read([log]), policy=Path("/nonexistent/policy.33"))


def test_a_constraint_is_named_where_levels_or_roles_differ() -> None:
    one = denial("a_t b_t:process transition comm=x role=system_r")
    other = replace(one, target=replace(one.target, role="staff_r"))
    assert any("the role of the two differ" in note for note in FEDORA.answer(other).notes)
    apart = replace(
        one, source=replace(one.source, level="s0:c1"), target=replace(one.target, level="s0:c2")
    )
    assert any("MCS categories" in note for note in FEDORA.answer(apart).notes)
    assert not any("differ" in note for note in FEDORA.answer(one).notes)


def test_what_no_policy_counted_is_said_of_booleans_alone(log: Path) -> None:
    """A tunable of our own is in no policy yet, so none could count it."""
    text = " ".join(report.as_text(explain(read([log]), use_policy=False), False).split())
    assert text.count("not counted: no policy was asked") == 1
    assert "mongod_port_t (Fedora and RHEL); not counted" in text


def test_one_of_a_thing_is_no_plural(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("".join(LOG.splitlines(keepends=True)[:1]))
    assert report.summary(explain(read([log]), use_policy=False)).startswith(
        "1 denial in 1 group, 0 records rejected, 1 line; "
    )


def test_a_power_is_granted_where_it_ends_with_a_user_namespace() -> None:
    """And nowhere else: on the host it stays refused, and a web program never has it."""
    inside = FEDORA.answer(denial("tmpreaper_t tmpreaper_t:cap_userns sys_ptrace comm=fuser"))
    assert (inside.fixes[0].kind, inside.refused) == ("allow", ())
    for text in (
        "tmpreaper_t tmpreaper_t:capability sys_ptrace comm=fuser",
        "httpd_t httpd_t:cap_userns sys_ptrace comm=httpd",
    ):
        answer = FEDORA.answer(denial(text))
        assert answer.fixes[0].kind != "allow"
        assert [r.what for r in answer.refused]


def test_a_folder_of_a_base_type_may_be_watched_and_its_files_not_be_read() -> None:
    watched = FEDORA.answer(denial("sssd_t var_run_t:dir watch path=/run comm=sssd"))
    assert watched.fixes[0].kind == "allow"
    read_ = FEDORA.answer(denial("chronyd_t var_lib_t:file read path=/var/lib/a comm=chronyd"))
    assert read_.fixes[0].kind == "fcontext"
    assert "allow" not in {fix.kind for fix in read_.fixes}


def test_what_one_module_passes_to_itself_was_not_left_open_by_chance() -> None:
    own = "svirt_t virtqemud_t:fifo_file read path=pipe:[7] comm=swtpm role=system_r"
    assert FEDORA.answer(denial(own)).fixes[0].kind == "allow"
    foreign = own.replace("virtqemud_t", "sshd_t")
    assert FEDORA.answer(denial(foreign)).fixes[0].id == "inherited-descriptor"


def test_that_nothing_was_blocked_is_the_last_of_several_answers() -> None:
    seen = replace(denial("myapp_t var_lib_t:dir add_name name=x comm=x"), permissive=True)
    fixes = FEDORA.answer(seen).fixes
    assert len(fixes) > 1
    assert fixes[-1].id == "rung:not-blocked"


@pytest.mark.parametrize(
    "text",
    [
        "init_t mysqld_port_t:tcp_socket name_connect port=3306 comm=gunicorn",
        "init_t user_home_t:file execute path=/home/deploy/venv/bin/gunicorn comm=(gunicorn)",
        "unconfined_service_t unreserved_port_t:tcp_socket name_connect port=9200 comm=python3",
    ],
)
def test_a_service_in_the_domain_of_init_is_granted_nothing(text: str) -> None:
    answer = FEDORA.answer(denial(text))
    assert answer.fixes[0].kind == "domain"
    assert not {fix.kind for fix in answer.fixes} & {"allow", "boolean", "port"}
    assert not any(fix.grants for fix in answer.fixes)
    assert answer.refused


def test_a_boolean_that_only_a_name_speaks_for_is_offered_and_written_nowhere() -> None:
    """And taken back where a policy was asked and does not say so."""
    example = denial("sssd_t usb_device_t:chr_file read,write path=/dev/bus/usb/1 comm=p11_child")
    first = FEDORA.answer(example).fixes[0]
    assert (first.id, first.change) == ("boolean:sssd_use_usb", None)
    assert first.verified.startswith("by its name")
    for verdict, told in (
        (Verdict("denied"), []),
        (Verdict("boolean", (("sssd_use_usb", False),)), ["in the policy"]),
    ):
        policy = Policy(Path("policy.33"), given=True)
        policy.verdicts[grounds._key(example)] = verdict
        fixes = Ladder(FEDORA.names, policy).answer(example).fixes
        found = [fix for fix in fixes if fix.id == "boolean:sssd_use_usb"]
        assert [fix.verified for fix in found] == told
        assert all(fix.change is not None and "--policy" not in fix.cure for fix in found)


@pytest.mark.parametrize(
    ("text", "boolean"),
    [
        ("postfix_local_t mail_spool_t:file write name=u", "postfix_local_write_mail_spool"),
        ("virtqemud_t sanlock_var_run_t:sock_file write name=s", "virt_use_sanlock"),
        ("sssd_t kernel_t:key search comm=sssd_be", "sssd_access_kernel_keys"),
        ("user_t shadow_t:file read path=/etc/shadow comm=cat", ""),
        ("saslauthd_t shadow_t:file read path=/etc/shadow comm=saslauthd", ""),
        ("sssd_t null_device_t:chr_file read path=/dev/null comm=sssd", ""),
    ],
)
def test_every_word_of_the_name_must_tell_of_the_denial(text: str, boolean: str) -> None:
    """And what no boolean may open without a waiver is not offered by way of a name."""
    found = [f.id for f in FEDORA.answer(denial(text)).fixes if f.kind == "boolean"]
    assert found == ([f"boolean:{boolean}"] if boolean else [])


def test_a_label_for_one_port_goes_before_a_switch_for_all() -> None:
    one = FEDORA.answer(denial("varnishd_t reserved_port_t:tcp_socket name_connect port=85"))
    assert [fix.kind for fix in one.fixes if fix.kind != "bug"] == ["port", "boolean"]
    named = FEDORA.answer(denial("varnishd_t amqp_port_t:tcp_socket name_connect port=5672"))
    assert named.fixes[0].id == "boolean:varnishd_connect_any"


def test_what_is_no_file_gets_no_label() -> None:
    handle = denial("init_t unlabeled_t:file write path=pidfd:[1547] comm=systemd")
    answer = FEDORA.answer(handle)
    assert answer.fixes[0].kind == "bug"
    assert not {"relabel", "fcontext"} & {fix.kind for fix in answer.fixes}
    file = replace(handle, path="/srv/a", source=denial("httpd_t a_t:file read").source)
    assert FEDORA.answer(file).fixes[0].id == "never-labelled"


def test_who_is_there_for_home_folders_is_no_library_that_looked() -> None:
    """The domain's own boolean is the answer where it has one, and the dontaudit where not."""
    mock = FEDORA.answer(denial("mock_t user_home_dir_t:dir search path=/home/u comm=mock"))
    assert mock.fixes[0].id == "boolean:mock_enable_homedirs"
    nova = FEDORA.answer(denial("nova_t user_home_dir_t:dir search path=/home/u comm=nova"))
    assert nova.fixes[0].id == "home-of-root"
    screen = FEDORA.answer(denial("staff_screen_t user_home_t:dir read path=/home/u comm=tmux"))
    assert screen.fixes[0].kind == "allow"


def test_a_module_of_the_kernel_is_for_a_service_of_the_host_and_no_application() -> None:
    first = {
        source: FEDORA.answer(denial(f"{source} kernel_t:system module_request comm=x")).fixes[0]
        for source in ("conntrackd_t", "httpd_t", "myapp_t")
    }
    assert {source: fix.kind for source, fix in first.items()} == {
        "conntrackd_t": "allow",
        "httpd_t": "dontaudit",
        "myapp_t": "dontaudit",
    }
    assert first["conntrackd_t"].grants == "kernel_request_load_module(conntrackd_t)"


def test_a_secret_is_granted_to_a_service_of_the_host_with_a_waiver_alone() -> None:
    unlink = "fixed_disk_device_t:blk_file unlink path=/dev/dm-4"
    host = FEDORA.answer(denial(f"kernel_t {unlink} comm=kdevtmpfs"))
    assert host.fixes[0].kind == "bug"
    assert [fix.id for fix in host.fixes if fix.kind == "allow"] == ["rung:waiver"]
    assert "kernel_t fixed_disk_device_t:blk_file unlink" in host.fixes[-1].cure
    for source in ("myapp_t", "httpd_t"):
        answer = FEDORA.answer(denial(f"{source} {unlink} comm=x"))
        assert "allow" not in {fix.kind for fix in answer.fixes}


def test_what_changes_only_the_log_is_said_once() -> None:
    looked = FEDORA.answer(denial("nova_t admin_home_t:dir search path=/root comm=nova"))
    assert [fix.kind for fix in looked.fixes].count("dontaudit") == 1
    assert looked.fixes[0].id == "home-of-root"


def test_a_link_in_a_shared_folder_may_be_followed() -> None:
    link = FEDORA.answer(denial("chronyd_t var_lib_t:lnk_file read path=/var/lib/a comm=chronyd"))
    assert "allow" in {fix.kind for fix in link.fixes}
    file = FEDORA.answer(denial("chronyd_t var_lib_t:lnk_file unlink path=/var/lib/a"))
    assert "allow" not in {fix.kind for fix in file.fixes}


def test_a_type_is_of_its_family_whatever_the_case_of_its_letters() -> None:
    assert FEDORA.knowledge.member("state", "NetworkManager_var_run_t")


def test_a_program_with_a_domain_of_its_own_may_go_there() -> None:
    mount = replace(
        denial("virtstoraged_t nfs_t:filesystem mount comm=mount"), exe="/usr/bin/mount"
    )
    found = {fix.id: fix for fix in FEDORA.answer(mount).fixes}
    assert "mount_t" in found["rung:program-of-another"].cure
    for other in (
        replace(mount, exe="/usr/bin/python3.11"),
        replace(mount, exe="/usr/sbin/libvirtd"),
        replace(mount, kind="USER_AVC"),
        replace(mount, source=replace(mount.source, role="object_r")),
        replace(mount, source=replace(mount.source, type="staff_t")),
        replace(mount, source=replace(mount.source, type="myapp_t")),
    ):
        ids = [fix.id for fix in FEDORA.answer(other).fixes]
        assert "rung:program-of-another" not in ids, other


def test_a_port_of_another_service_may_be_changed_for_one_of_its_own() -> None:
    bind = FEDORA.answer(denial("mysqld_t memcache_port_t:tcp_socket name_bind port=11211"))
    assert [fix.kind for fix in bind.fixes[:1]] == ["allow"]
    assert "rung:port-of-another" in [fix.id for fix in bind.fixes]
    for text in (
        "memcached_t memcache_port_t:tcp_socket name_bind port=11211",
        "mysqld_t memcache_port_t:tcp_socket name_connect port=11211",
    ):
        assert "rung:port-of-another" not in [f.id for f in FEDORA.answer(denial(text)).fixes]


def test_every_label_of_a_home_is_under_the_switch_for_home_folders() -> None:
    shared = FEDORA.answer(denial("smbd_t ssh_home_t:file open path=/home/u/.ssh/config comm=smbd"))
    assert shared.fixes[0].id == "boolean:samba_enable_home_dirs"
    root = FEDORA.answer(denial("smbd_t admin_home_t:file open path=/root/a comm=smbd"))
    assert "boolean:samba_enable_home_dirs" not in [fix.id for fix in root.fixes]


def test_the_socket_of_another_process_is_no_port() -> None:
    """Its rule is offered; an own socket's as before; and a port keeps the rungs of ports."""
    other = "sshd_net_t sshd_t:tcp_socket getopt comm=sshd-auth role=system_r"
    assert "allow" in {fix.kind for fix in FEDORA.answer(denial(other)).fixes}
    own = FEDORA.answer(denial("redis_t redis_t:tcp_socket accept comm=redis-server"))
    assert own.fixes[0].id == "own-sockets-and-pipes"
    port = FEDORA.answer(denial("redis_t port_t:tcp_socket name_connect port=9999 comm=redis"))
    assert [fix.id for fix in port.fixes if not fix.weak] == ["rung:port"]


def test_a_capability_that_is_a_services_work_goes_before_doing_without_it() -> None:
    """With a waiver; not one that a look at others asks for, nor one of an application."""
    work = FEDORA.answer(denial("systemd_notify_t systemd_notify_t:capability sys_admin comm=x"))
    assert [fix.id for fix in work.fixes[:2]] == ["rung:waiver", "works-without-it"]
    assert work.refused
    for text in (
        "systemd_notify_t systemd_notify_t:capability sys_ptrace comm=x",
        "myapp_t myapp_t:capability sys_admin comm=x",
    ):
        assert FEDORA.answer(denial(text)).fixes[0].id != "rung:waiver"


def test_the_root_of_a_namespace_is_not_relabelled() -> None:
    root = denial("systemd_resolved_t tmpfs_t:dir watch path=/ comm=systemd-resolve")
    assert "rung:label" not in {fix.id for fix in FEDORA.answer(root).fixes}
    other = replace(root, path="/root")
    assert "rung:label" in {fix.id for fix in FEDORA.answer(other).fixes}


def test_a_domain_that_the_facts_do_not_have_is_told_by_its_program() -> None:
    """What the parts of one program pass to each other was not left open by chance."""
    text = "{}_t sshd_t:tcp_socket read comm=x role=system_r"
    assert not FEDORA.names.has_type("sshd_newest_t")
    parts = FEDORA.answer(denial(text.format("sshd_newest")))
    assert "inherited-descriptor" not in {fix.id for fix in parts.fixes}
    others = FEDORA.answer(denial(text.format("other_newest")))
    assert others.fixes[0].id == "inherited-descriptor"


def test_only_sockets_with_ports_have_ranges_of_them() -> None:
    text = "testping_t port_t:{} name_bind name=x comm=ping"
    assert FEDORA.answer(denial(text.format("icmp_socket"))).fixes[0].kind == "allow"
    assert "allow" not in {f.kind for f in FEDORA.answer(denial(text.format("udp_socket"))).fixes}


def test_a_look_at_a_disk_reveals_nothing_and_reading_it_is_refused() -> None:
    text = "container_t fixed_disk_device_t:blk_file {} path=/dev/sda2 comm=lsof"
    assert FEDORA.answer(denial(text.format("getattr"))).fixes[0].id == "only-looked"
    assert FEDORA.answer(denial(text.format("getattr,read"))).fixes[0].kind == "deny"


def test_a_stat_is_a_look_of_those_who_look_at_everything_and_a_first_step_of_others() -> None:
    text = "{} boltd_var_run_t:file getattr path=/run/boltd/x comm={}"
    assert FEDORA.answer(denial(text.format("accountsd_t", "lsof"))).fixes[0].kind == "dontaudit"
    step = FEDORA.answer(denial(text.format("accountsd_t", "accounts-daemon")))
    assert [step.fixes[0].kind, "may-only-have-looked" in {f.id for f in step.fixes}] == [
        "allow",
        True,
    ]


def test_the_terminal_is_for_who_was_started_by_hand() -> None:
    text = "gpsd_t user_devpts_t:chr_file read,write path=/dev/pts/0 comm=gpsd"
    assert FEDORA.answer(denial(text)).fixes[0].id == "inherited-terminal"
    by_hand = FEDORA.answer(denial(f"{text} session=unconfined_r"))
    assert [fix.id for fix in by_hand.fixes[:2]] == [
        "terminal-of-who-started-it",
        "terminal-that-it-may-do-without",
    ]


@pytest.mark.parametrize(("port", "local"), [(5665, True), (80, False)])
def test_a_port_that_only_the_host_labelled_gets_another_label(port: int, local: bool) -> None:
    answer = FEDORA.answer(denial(f"redis_t http_port_t:tcp_socket name_bind port={port} comm=r"))
    found = [fix.id for fix in answer.fixes]
    assert (found[0] == "rung:port-of-the-host") is local
    assert ("rung:port-of-the-host" in found) is local


def test_a_module_that_gives_one_web_server_its_own_domain_is_no_mistake() -> None:
    text = "{} httpd_config_t:dir search name=conf comm=nginx"
    wrong = FEDORA.answer(denial(text.format("publicfile_t"))).fixes[0].id
    assert wrong == "server-in-a-foreign-domain"
    own = [fix.id for fix in FEDORA.answer(denial(text.format("nginx_t"))).fixes]
    assert "server-in-a-foreign-domain" not in own


def test_a_person_is_no_service_without_a_domain() -> None:
    """A peer in a person's session has the domain that it should have; one of a web server not."""
    text = "{} unconfined_t:unix_stream_socket connectto path=/home/u/a.sock comm=x role={}"
    session = FEDORA.answer(denial(text.format("svirt_t", "unconfined_r")))
    assert "domain" not in {fix.kind for fix in session.fixes}
    for source, role in (("svirt_t", "system_r"), ("httpd_t", "unconfined_r")):
        assert FEDORA.answer(denial(text.format(source, role))).fixes[0].kind == "domain"


def test_a_family_of_sockets_that_few_speak_is_a_services_own_choice() -> None:
    text = "{0} {0}:netlink_iscsi_socket create comm=x"
    assert FEDORA.answer(denial(text.format("iscsid_t"))).fixes[0].kind == "allow"
    assert FEDORA.answer(denial(text.format("myapp_t"))).fixes[0].kind == "dontaudit"


def test_a_ring_is_the_programs_own_and_a_handle_of_a_process_was_passed() -> None:
    text = "virtqemud_t {}:{} use path=anon_inode:[{}] comm=x"
    ring = FEDORA.answer(denial(text.format("io_uring_t", "anon_inode", "io_uring")))
    assert ring.fixes[0].kind == "allow"
    passed = FEDORA.answer(denial(text.format("sshd_t", "fd", "pidfd") + " role=system_r"))
    assert passed.fixes[0].kind == "none"


def test_a_type_of_a_cil_block_is_said_to_be_one() -> None:
    text = "{} mysqld_port_t:tcp_socket name_connect port=3306 comm=mysql"
    notes = FEDORA.answer(denial(text.format("web-app.process"))).notes
    assert any("CIL block web-app" in note for note in notes)
    assert not any("CIL" in note for note in FEDORA.answer(denial(text.format("myapp_t"))).notes)


def test_categories_that_differ_are_mended_by_a_label_and_equal_ones_are_not() -> None:
    text = "container_t container_file_t:sock_file write name=a.sock comm=nginx"
    apart = FEDORA.answer(denial(f"{text} level=s0:c1,c2")).fixes[0]
    assert (apart.kind, apart.id) == ("relabel", "container-categories")
    assert FEDORA.answer(denial(text)).fixes[0].kind == "bug"


def test_a_service_of_the_host_gets_back_what_was_given_to_a_container() -> None:
    for text in (
        "init_t container_file_t:sock_file create name=podman.sock comm=systemd",
        "init_t container_file_t:file execute name=sync comm=(sync)",
    ):
        assert FEDORA.answer(denial(text)).fixes[0].kind == "relabel"


def test_what_is_made_in_a_rightly_labelled_folder_is_not_relabelled() -> None:
    text = "rhsmcertd_t var_log_t:file {} path=/var/log/rhsm/rhsm.log comm=rhsmcertd"
    ids = [fix.id for fix in FEDORA.answer(denial(text.format("open"))).fixes]
    assert "rung:label" in ids
    made = "rhsmcertd_t var_log_t:file create path=/var/log/hawkey.log comm=rhsmcertd"
    ids = [fix.id for fix in FEDORA.answer(denial(made)).fixes]
    assert ids[0] == "files-that-a-service-makes"
    assert "rung:label" not in ids
    elsewhere = FEDORA.answer(denial(text.format("create")))
    assert "rung:label" in [fix.id for fix in elsewhere.fixes]


def test_a_port_is_moved_to_a_unix_socket_only_where_the_other_end_may_have_one() -> None:
    other = FEDORA.answer(denial("httpd_t transproxy_port_t:tcp_socket name_connect port=8081"))
    assert (other.fixes[0].kind, other.fixes[0].id) == ("port", "rung:port")
    assert all("unix socket" not in fix.cure for fix in other.fixes)
    app = FEDORA.answer(denial("httpd_t soundd_port_t:tcp_socket name_connect port=8000"))
    assert app.fixes[0].kind == "app_config"
    assert "unix socket" in app.fixes[0].cure


def test_the_switch_of_a_proxy_is_about_tcp() -> None:
    udp = FEDORA.answer(denial("squid_t snmp_port_t:udp_socket name_bind port=3401 comm=squid"))
    # squid.te: squid_connect_any opens tcp ports alone, squid_bind_snmp_port this one.
    ids = [fix.id for fix in udp.fixes]
    assert ids[0] == "boolean:squid_bind_snmp_port"
    assert "boolean:squid_connect_any" not in ids
    tcp = FEDORA.answer(denial("squid_t amqp_port_t:tcp_socket name_connect port=5672 comm=squid"))
    assert tcp.fixes[0].id == "boolean:squid_connect_any"


def test_a_database_runs_nothing_out_of_a_home() -> None:
    home = FEDORA.answer(denial("mysqld_t user_home_t:file execute name=a.sh comm=mysqld"))
    assert home.fixes[0].kind == "deny"
    memory = "postgresql_t tmpfs_t:file execute path=/memfd:jit comm=postgres"
    assert FEDORA.answer(denial(memory)).fixes[0].kind == "allow"


def test_what_runs_in_the_domain_of_the_kernel_gets_no_label_for_what_it_writes() -> None:
    mount = FEDORA.answer(denial("kernel_t etc_t:file create name=mtab~1 comm=mount"))
    assert "configuration-of-a-service-written" not in [fix.id for fix in mount.fixes]
