"""From lines of logs to denials: forms, joining, counting, refusing."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
import zstandard

from wsgi_sepkg.denials import Denial, Reading, read
from wsgi_sepkg.denials.scan import Scanner
from wsgi_sepkg.denials.tally import Tally

AVC = (
    'type=AVC msg=audit(1700000000.123:42): avc:  denied  { write } for  pid=10 comm="gunicorn" '
    'name="app.sock" dev="tmpfs" ino=77 scontext=system_u:system_r:httpd_t:s0 '
    "tcontext=system_u:object_r:var_run_t:s0 tclass=sock_file permissive=0\n"
)
SYSCALL = (
    "type=SYSCALL msg=audit(1700000000.123:42): arch=c000003e syscall=42 success=no exit=-13 "
    "a0=5 items=1 ppid=1 pid=10 auid=4294967295 uid=48 euid=48 tty=(none) "
    'comm="gunicorn" exe="/usr/bin/python3.11" subj=system_u:system_r:httpd_t:s0 key=(null)\n'
)
CWD = 'type=CWD msg=audit(1700000000.123:42): cwd="/srv/site"\n'
PATH = (
    'type=PATH msg=audit(1700000000.123:42): item=0 name="run/app.sock" inode=77 dev=00:19 '
    "mode=0140755 ouid=48 ogid=48 rdev=00:00 obj=system_u:object_r:var_run_t:s0 nametype=NORMAL\n"
)
TITLE = (
    "type=PROCTITLE msg=audit(1700000000.123:42): "
    "proctitle=" + b"gunicorn\0--bind\0unix:run/app.sock".hex().upper() + "\n"
)
OTHER = (
    "type=USER_ACCT msg=audit(1700000000.124:43): pid=11 uid=0 auid=4294967295 ses=1 "
    'msg=\'op=PAM:accounting acct="root" exe="/usr/sbin/crond" res=success\'\n'
)


@pytest.fixture
def log(tmp_path: Path):
    def write(text: str | bytes, name: str = "audit.log") -> Reading:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read([path])

    return write


def only(reading: Reading) -> Denial:
    assert reading.rejected == ()
    assert len(reading.groups) == 1
    return reading.groups[0].denial


def test_records_of_one_event_are_joined_although_others_stand_between(log):
    denial = only(log(AVC + OTHER + SYSCALL + OTHER + CWD + PATH + OTHER + TITLE))
    assert denial.path == "/srv/site/run/app.sock"
    assert denial.command == ("gunicorn", "--bind", "unix:run/app.sock")
    assert denial.exe == "/usr/bin/python3.11"
    assert denial.success is False
    assert denial.exit == "-13"
    assert denial.permissive is False
    assert denial.path_context == "system_u:object_r:var_run_t:s0"
    assert denial.stamp.event == "1700000000.123:42"
    assert str(denial.origin).endswith("audit.log:1")


def test_records_of_another_process_tell_nothing_about_a_denial(log):
    denial = only(log(AVC + SYSCALL.replace("pid=10", "pid=11") + CWD + PATH))
    assert denial.exe == ""
    assert denial.path == ""
    assert denial.name == "app.sock"


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, lzma.compress, bz2.compress, zstandard.ZstdCompressor().compress, bytes],
    ids=["gz", "xz", "bz2", "zst", "plain"],
)
def test_packed_logs_are_told_apart_by_their_first_bytes(log, pack):
    assert only(log(pack((AVC + SYSCALL).encode()))).exit == "-13"


def test_a_packed_log_that_is_cut_keeps_what_it_had_and_says_so(log):
    packed = gzip.compress((AVC * 100).encode() + bytes(200_000))[:-4]
    reading = log(packed)
    assert reading.denied == 100
    assert "cut or damaged" in reading.rejected[0].reason


@pytest.mark.parametrize(
    "form",
    [
        AVC,
        AVC.replace("\n", "\r\n"),
        "node=web1 " + AVC,
        "host=web1 " + AVC,
        AVC.replace("denied  {", "denied {").replace("for  pid", "for pid"),
        AVC.replace("permissive=0\n", 'permissive=0\x1dARCH=x86_64 AUID="unset"\n'),
        "   " + AVC,
        AVC.replace("scontext=system_u:system_r:httpd_t:s0 ", "").replace(
            "tclass", "scontext=system_u:system_r:httpd_t:s0 tclass"
        ),
        "Nov 14 22:13:20 web1 audit[10]: AVC " + AVC.split("): ")[1],
        "Nov 14 22:13:20 web1 kernel: [  12.345678] audit: type=1400 "
        + AVC.removeprefix("type=AVC msg="),
        "[  131.818956][   T31] audit: type=1400 " + AVC.removeprefix("type=AVC msg="),
        "2023-11-14T22:13:20.123+00:00 web1 audit[10]: AVC " + AVC.split("): ")[1],
        AVC.split("): ")[1],
        AVC.replace("1700000000.123:42)", "14.11.2023 22:13:20.123:42) ").replace('"', ""),
        AVC.replace("1700000000.123:42)", "11/14/23 22:13:20.123:42) ").replace('"', ""),
        AVC.replace('"gunicorn"', b"gunicorn".hex().upper()),
        AVC.replace(" for ", "\nfor"),
        AVC.replace("var_run_t:s0", "var_run_t\n:s0"),
        AVC.replace(" dev=", " \\\ndev="),
        AVC.replace("sock_file", "sock_\nfile"),
        AVC.replace('"gunicorn"', "”gunicorn”"),
        AVC.replace("1700000000.123", "1700000000.9"),
        AVC.replace("1700000000.123:42", "..."),
        AVC.replace("1700000000.123:42", "1700..."),
        AVC.replace("1700000000.123:42", "1700xxxx:xxx"),
        AVC.replace("pid=10", "pid=...").replace("ino=77", "ino=..."),
        AVC.replace("pid=10", "pid=XXXX"),
        "type=AVC " + AVC.split("): ")[1],
        "2023-11-14 22:13:20 " + AVC,
        "12:" + AVC,
        "/var/log/audit/audit.log:" + AVC,
        "audit.log.1:12:node=web1 " + AVC,
        "> > " + AVC,
        "`" + AVC.replace("\n", "`\n"),
        "AVC " + AVC.split("): ")[1],
        "audit[10]: AVC " + AVC.split("): ")[1],
        "Nov 14 22:13:20 audit[10]: AVC " + AVC.split("): ")[1],
        "[   10.779755] web1 audit[10]: AVC " + AVC.split("): ")[1],
        "kernel: audit: type=1400 " + AVC.removeprefix("type=AVC msg="),
        "  # " + AVC,
        "# > " + AVC.replace(" scontext", "\n# > scontext").replace("var_run_t", "var_\n# > run_t"),
        "> " + AVC.replace(" tclass", "\n> tclass"),
        "#" + AVC.replace("for  pid", "for\n#  pid"),
        AVC.replace("pid=10 ", "... ").replace("dev=", "[...] dev="),
        "Nov 14 22:13:20 <redacted> audit[10]: AVC " + AVC.split("): ")[1],
        "Nov 14 22:13:20 web1 audit: <audit-1400> " + AVC.split("): ")[1],
        "- " + AVC,
        "+" + AVC,
        "  12. " + AVC,
        "#\t" + AVC.replace('comm="', 'comm=\n#\t"').replace("for  pid", "for\n#\tpid"),
        "Nov 14 22:13:20 web1 systemd[10]: selinux: " + AVC.split("): ")[1],
        AVC.replace("type=AVC msg", "type=AVC \nmsg"),
        "//" + AVC.replace(" scontext", "\n// scontext"),
        "  " + AVC.replace("\n", "`\n"),
        AVC.replace("for  pid", "for\npid").replace("\ntype", " type").rstrip("\n") + " " + SYSCALL,
        "web1 login: [  131.818956] audit: type=1400 " + AVC.removeprefix("type=AVC msg="),
        "...audit[10]: AVC " + AVC.split("): ")[1],
    ],
    ids=range(57),
)
def test_forms_of_one_denial_say_the_same(log, form):
    denial = only(log(form))
    assert (denial.kind, denial.source.type, denial.target.type) == ("AVC", "httpd_t", "var_run_t")
    assert (denial.tclass, denial.permissions) == ("sock_file", ("write",))
    assert denial.comm == "gunicorn"
    assert denial.name == "app.sock"
    assert log(form).groups[0].hash in (log(AVC).groups[0].hash, "")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (AVC.replace(" tclass=sock_file permissive=0", ""), "tclass missing"),
        (AVC.replace("tclass=sock_file permissive=0", "tclass=sock_"), "cut inside tclass"),
        (AVC.replace("{ write }", "{ wr\\_ite }"), "permission that is no name"),
        (AVC.replace("{ write }", "{ 0x80 }"), "permission that is no name"),
        (AVC.replace("system_u:object_r", "sys tem_u:object_r"), "belongs to no field"),
        (AVC.replace("pid=10", "pid=10 scontext=a:b:c"), "said twice"),
        (AVC.replace("permissive=0", "permissive=2"), "neither 0 nor 1"),
        (AVC.replace("var_run_t:s0", "var_run_t:s0:c1,,c2"), "level of tcontext"),
        (AVC.replace('name="app.sock"', 'name="app.sock'), "do"),
        (AVC.replace("ino=77", "ino=7x"), "ino is no number"),
        (AVC.replace('dev="tmpfs"', "dev=tmp'fs"), "neither quoted nor in hexadecimal"),
        (AVC.replace("pid=10", "pid=x"), "pid is no number"),
        (AVC.replace("1700000000.123:42", "17000x0000.123:42"), "time and serial"),
        ("a denial: " + AVC, "inside other text"),
        ("web1 somebody: AVC " + AVC.split("): ")[1], "inside other text"),
        (AVC.replace("system_u", "system\\_u", 1), "is no context"),
        (AVC.replace("_", "\\_"), "take them out"),
        (AVC.replace("=", "=3D"), "decode it"),
        (AVC.replace("system_u:object_r", "... system_u:object_r"), "belongs to no field"),
        (AVC.replace("tcontext", "... tcontext"), "belongs to no field"),
        (AVC.replace("httpd_t", "my-app_t"), "scontext is no context"),
        (AVC.replace("httpd_t", "my-app.-x"), "scontext is no context"),
        ("# " + AVC.replace(" tclass", "\n> tclass"), "tclass missing"),
        ("#x " + AVC, "inside other text"),
        ("-- x - " + AVC, "inside other text"),
        ("12 " + AVC, "inside other text"),
        ("host=web1 AVC " + AVC.split("): ")[1], "inside other text"),
        ("x: selinux: " + AVC.split("): ")[1], "inside other text"),
        ("type=AVC\n", "inside other text"),
        ("- " + AVC.replace(" tclass", "\n- tclass"), "tclass missing"),
        ("Nov 14 22:13:20 web1 audit[10]:AVC " + AVC.split("): ")[1], "inside other text"),
        ("x" + AVC.replace("type=AVC msg=audit(1700000000.123:42): ", ""), "inside other text"),
        (OTHER.replace('"root"', '"avc:  denied  { read } for"'), "inside a record of type"),
        (AVC.replace("denied", "den\x00ied"), "control characters"),
        (AVC.replace("tclass=sock_file permissive=0\n", "tclass=fil") + AVC, "runs into"),
    ],
    ids=range(35),
)
def test_what_cannot_be_believed_is_refused_with_its_line(log, line, reason):
    reading = log(OTHER + line)
    assert [(r.origin.line, reason in r.reason) for r in reading.rejected] == [(2, True)], reading
    assert sum(group.count for group in reading.groups) == line.count("permissive=0\n" + "x") + (
        reason == "runs into"
    )


def test_a_block_of_cil_may_have_hyphens_in_its_name(log):
    denial = only(log(AVC.replace("httpd_t", "web-app.process")))
    assert denial.source.type == "web-app.process"


@pytest.mark.parametrize(
    "spoilt",
    [
        # libsepol begins a name with a letter.
        AVC.replace("httpd_t", "_web-app.process"),
        # No name of a host ends so: the daemon's name and the stamp are lost behind it.
        "host=we: AVC " + AVC.partition(": ")[2],
        # Somebody's mark begins a line, and none the record: it may be a word of the record.
        *(
            AVC.replace("1700000000.123:42)", "01/09/2024 11:12:13.123:42) ")
            .replace('comm="gunicorn" ', f"comm=gunicorn\n{mark}")
            .replace('"', "")
            for mark in ("#", "> ")
        ),
    ],
)
def test_a_name_that_is_not_sure_is_refused(log, spoilt):
    reading = log(spoilt)
    assert (reading.groups, reading.rejected_count) == ((), 1)


def test_a_record_that_goes_on_behind_a_block_keeps_its_end(monkeypatch):
    monkeypatch.setattr("wsgi_sepkg.denials.scan.REACH", len("permissive=1\n----"))
    tally = Tally()
    scanner = Scanner(tally, "log")
    # The first block is searched up to here, and what follows is in it.
    for block in (AVC.replace("permissive=0", "") + "permissive=1\n----", "\n"):
        scanner.feed(block.encode())
    scanner.finish()
    tally.settle("log")
    assert only(tally.reading()).permissive is True


def test_records_of_an_event_that_are_quoted_and_wrapped_are_joined(log):
    wrapped = SYSCALL.replace(" exe=", "\nexe=") + CWD + AVC + PATH.replace(" inode", "\ninode")
    denial = only(log("".join(f"# {line}\n" for line in wrapped.splitlines())))
    assert (denial.exe, denial.path) == ("/usr/bin/python3.11", "/srv/site/run/app.sock")


def test_what_another_quotes_is_no_part_of_a_record_of_the_event(log):
    plain = SYSCALL.partition(" exe=")[0]
    assert only(log(f'{AVC}{plain}\n> exe="/usr/bin/other"\n')).exe == ""


def test_two_records_in_one_line_are_two_records(log):
    reading = log(SYSCALL.rstrip() + " " + AVC.rstrip() + " " + AVC)
    assert reading.denied == 2
    assert reading.groups[0].denial.exit == "-13"


def test_a_type_among_the_words_before_a_message_is_refused(log):
    user = AVC.replace("type=AVC", "type=USER_AVC").replace("avc:", "pid=7 {}uid=81 msg='avc:")
    user = user.replace("permissive=0", 'permissive=0 exe="/usr/bin/x"\'')
    assert log(user.replace("{}", "")).denied == 1
    assert log(user.replace("{}", "type=AVC ")).denied == 0


def test_granted_userspace_and_notices_have_their_treatment(log):
    user = (
        "type=USER_AVC msg=audit(1700000001.000:50): pid=7 uid=81 auid=1 ses=1 "
        "subj=system_u:system_r:system_dbusd_t:s0 msg='avc:  denied  { send_msg } for "
        "msgtype=method_call interface=org.example.App member=Go dest=:1.5 spid=1 tpid=2 "
        "scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:system_r:init_t:s0 tclass=dbus "
        'permissive=0  exe="/usr/bin/dbus-daemon" sauid=81 hostname=? addr=? terminal=?\'\n'
    )
    reading = log(
        AVC.replace("denied", "granted")
        + user
        + "type=MAC_STATUS msg=audit(1700000002.000:51): enforcing=0 old_enforcing=1 auid=0 ses=1\n"
        + "type=USER_AVC msg=audit(1700000002.000:52): pid=1 msg='avc:  received policyload notice "
        '(seqno=2)  exe="x"\'\n'
        + "type=SELINUX_ERR msg=audit(1700000003.000:53): op=security_bounded_transition "
        "seresult=denied oldcontext=a:b:c:s0 newcontext=a:b:d:s0\n"
    )
    assert reading.rejected == ()
    assert {(g.denial.kind, g.denial.granted) for g in reading.groups} == {
        ("AVC", True),
        ("USER_AVC", False),
    }
    dbus = next(g.denial for g in reading.groups if g.denial.kind == "USER_AVC")
    assert dbus.function == "org.example.App.Go"
    assert [(n.kind, n.text) for n in reading.notices] == [
        (
            "enforcing",
            "enforcing=0 old_enforcing=1",
        ),
        (
            "error",
            "op=security_bounded_transition seresult=denied oldcontext=a:b:c:s0 "
            "newcontext=a:b:d:s0",
        ),
        ("policyload", "policyload notice"),
    ]


def test_levels_and_roles_that_differ_are_named_as_what_a_constraint_may_refuse(log):
    denial = only(
        log(
            AVC.replace("httpd_t:s0 ", "container_t:s0:c1,c2 ").replace(
                "var_run_t:s0", "container_file_t:s0:c3,c4"
            )
        )
    )
    assert denial.levels == "apart"
    assert denial.constraints == ("level",)


def test_the_journal_as_json_and_as_export_says_the_same_as_the_log(log):
    entry = {
        "__REALTIME_TIMESTAMP": "1700000000123999",
        "_SOURCE_REALTIME_TIMESTAMP": "1700000000123000",
        "_TRANSPORT": "audit",
        "_AUDIT_TYPE_NAME": "AVC",
        "_AUDIT_ID": "42",
        "_HOSTNAME": "web1",
        "MESSAGE": "AVC " + AVC.split("): ")[1].strip(),
    }
    call = entry | {
        "_AUDIT_TYPE_NAME": "SYSCALL",
        "MESSAGE": "SYSCALL " + SYSCALL.split("): ")[1].strip(),
    }
    lines = [json.dumps(entry), json.dumps({"MESSAGE": "hello"}), json.dumps(call)]
    by_json = only(log("\n".join(lines) + "\n"))
    export = "".join(
        "__CURSOR=s\n" + "".join(f"{k}={v}\n" for k, v in e.items()) + "\n" for e in (entry, call)
    )
    by_export = only(log(export))
    for denial in (by_json, by_export):
        assert denial.host == "web1"
        assert denial.stamp.event == "1700000000.123:42"
        assert denial.exit == "-13"
        assert denial.origin.line == 1


def test_the_journal_as_pretty_json_says_the_same(log):
    entry = {
        "_TRANSPORT": "audit",
        "_AUDIT_TYPE_NAME": "AVC",
        "_AUDIT_ID": "42",
        "_SOURCE_REALTIME_TIMESTAMP": "1700000000123000",
        "MESSAGE": "AVC " + AVC.split("): ")[1].strip(),
    }
    objects = [{"MESSAGE": "hello"}, entry, {"MESSAGE": [27, 91]}]
    text = "".join(json.dumps(o, indent="\t", separators=(",", " : ")) + "\n" for o in objects)
    denial = only(log(text))
    assert (denial.name, denial.stamp.event) == ("app.sock", "1700000000.123:42")
    assert denial.origin.line == 4
    assert log(text).lines == text.count("\n")


def test_pretty_json_that_is_cut_is_refused(log):
    text = json.dumps({"MESSAGE": "AVC " + AVC.split("): ")[1].strip()}, indent=1)
    reading = log(text.removesuffix("}"))
    assert (reading.groups, len(reading.rejected)) == ((), 1)


def test_a_message_of_a_user_may_be_wrapped_and_enriched(log):
    text = (
        "type=USER_AVC msg=audit(1700000000.123:42): pid=7 uid=81 auid=1\n"
        "ses=1 subj=system_u:system_r:system_dbusd_t:s0\n"
        "msg='avc:  denied  { send_msg }\n"
        "for  scontext=a:b:one_t:s0 tcontext=a:b:two_t:s0 tclass=dbus permissive=0\n"
        'exe="/usr/bin/dbus-broker" sauid=81 hostname=? addr=?\'UID="dbus" AUID="unset"\n'
    )
    denial = only(log(text + OTHER))
    assert (denial.kind, denial.source.type, denial.target.type) == ("USER_AVC", "one_t", "two_t")


def test_a_message_of_a_user_may_be_wrapped_within_its_fields(log):
    """As a mail does with what journalctl shows; `less` shows the character before UID as ^]."""
    text = (
        "Nov 14 22:13:20 web1 audit[7]: USER_AVC pid=7 uid=81 auid=1 ses=1\n"
        "subj=system_u:system_r:system_dbusd_t:s0 msg='avc:  denied  { send_msg }\n"
        "for  scontext=a:b:one_t:s0 tcontext=a:b:two_t:s0 tclass=dbus permissive=0\n"
        'exe="/usr/bin/dbus-broker" sauid=81 hostname=? addr=?\'^]UID="dbus"\n'
    )
    denial = only(log(text + OTHER))
    assert (denial.kind, denial.source.type, denial.target.type) == ("USER_AVC", "one_t", "two_t")
    assert denial.stamp.event == "Nov 14 22:13:20"
    alone = text.partition("\n")[2]
    assert [r.reason for r in log(alone).rejected] == ["an access decision inside other text"]


def test_a_head_that_has_its_message_is_not_given_another(log):
    text = (
        "type=USER_AVC msg=audit(1700000000.123:42): pid=7 uid=81 auid=1 msg='op=x'\n"
        "subj=system_u:system_r:system_dbusd_t:s0 msg='avc:  denied  { send_msg } for "
        " scontext=a:b:one_t:s0 tcontext=a:b:two_t:s0 tclass=dbus permissive=0'\n"
    )
    assert [(r.origin.line, r.reason) for r in log(text).rejected] == [
        (2, "an access decision inside other text")
    ]


def test_a_message_of_a_user_is_read_without_its_time_and_before_a_stray_tick(log):
    body = (
        "uid=81 auid=1 ses=1\nsubj=system_u:system_r:system_dbusd_t:s0\n"
        "msg='avc:  denied  { send_msg } for  scontext=a:b:one_t:s0 tcontext=a:b:two_t:s0\n"
        "tclass=dbus permissive=0 exe=/usr/bin/dbus-broker sauid=81 hostname=? addr=?'"
    )
    for text in (f"type=USER_AVC pid=7 {body}\n", f"type=USER_AVC pid=7 {body}`\n"):
        denial = only(log(text + OTHER))
        assert (denial.source.type, denial.target.type) == ("one_t", "two_t")
        assert denial.stamp.event == ""
    assert log(f"type=USER_AVC uid=7 {body}\n").denied == 0


def test_a_capability_that_ausearch_does_not_know_keeps_its_number(log):
    text = (
        "type=AVC msg=audit(01/12/2022 10:45:01.065:855) : avc:  denied  { bpf } for  pid=9 "
        "comm=perf capability=unknown-capability(39)  scontext=a:b:one_t:s0 "
        "tcontext=a:b:one_t:s0 tclass=capability2 permissive=0\n"
    )
    assert only(log(text)).capability == 39
    raw = text.replace("01/12/2022 10:45:01.065:855) ", "1700000000.123:42)")
    assert [r.reason for r in log(raw).rejected] == ["capability is no number"]


def test_counts_stay_exact_when_objects_are_more_than_are_kept(log):
    text = "".join(
        AVC.replace("app.sock", f"{i % 500}.sock").replace(":42)", f":{i})") for i in range(3000)
    )
    reading = log(text)
    (group,) = reading.groups
    assert group.count == 3000
    assert not group.objects_exact
    assert 250 < group.objects < 1000
    assert len(group.examples) == 24
    assert {example.count for example in group.examples} == {6}


def test_several_processes_read_the_same_as_one(tmp_path, monkeypatch):
    event = AVC + OTHER + SYSCALL + PATH + CWD + OTHER * 3
    text = "".join(
        event.replace(":42)", f":{i})").replace("0.123", f"{i // 10 % 10}.{i % 1000:03d}")
        # Wrapped, broken and user records all along, so that borders fall into them too.
        + (AVC.replace(" for ", "\nfor ") if i % 7 == 0 else "")
        + (AVC.replace("tclass", "tcl") if i % 11 == 0 else "")
        for i in range(600)
    )
    path = tmp_path / "audit.log"
    path.write_text(text)
    whole = read([path], jobs=1)
    assert whole.denied == 600 + 86
    assert whole.rejected_count == 55
    monkeypatch.setattr("wsgi_sepkg.denials.reading.WORTH_A_PROCESS", 10_000)
    monkeypatch.setattr("wsgi_sepkg.denials.reading.REACH", 4_000)
    for jobs in (2, 5, 23):
        assert read([path], jobs=jobs) == whole
