"""From a fix to an entry of the description, and the edit that adds it."""

from __future__ import annotations

import tomllib

import pytest
from denial_examples import denial

from wsgi_sepkg.denials import changes, knowledge
from wsgi_sepkg.denials.changes import Edit, NoChange
from wsgi_sepkg.denials.decide import Ladder
from wsgi_sepkg.denials.grounds import Names
from wsgi_sepkg.denials.model import Example, Group, Stamp
from wsgi_sepkg.project.load import load as load_description
from wsgi_sepkg.targets import load

KNOWN = knowledge.load()
LADDER = Ladder(Names(load("debian-12")))
TEXT = """\
# The notes, as a package.

[project]
name = "notes"
version = "1.0"
summary = "Notes of the team"
license = "MIT"
maintainer = "Example Ltd <packages@example.org>"
targets = ["debian-12"]

[[changelog]]
date = 2026-11-20
text = "1.0"

[application]
root = "/usr/share/notes"
wsgi = "notes.wsgi:application"
settings = "notes.settings"

[path]
data = "/var/lib/notes/db"      # sqlite

[[connect]]
to = "smtp"                     # thank-you mails
reason = "mails"
"""


def group(text: str, count: int = 3) -> Group:
    one = denial(text)
    stamp = Stamp(1_700_000_000_000, 1, "1700000000.000:1")
    return Group("0123456789ab", count, stamp, stamp, 1, True, (Example(one, count),))


def edits(text: str, description: str = TEXT) -> tuple[Edit, ...]:
    loaded = load_description(".", "debian-12", text=description, validate=False)
    made = group(text)
    answer = LADDER.answer(made.denial)
    return changes.edits_for(answer.fixes[0], made.denial, made, loaded.description, KNOWN)


@pytest.mark.parametrize("use", KNOWN.uses, ids=lambda u: f"{u.use}-{u.example}")
def test_a_path_tells_its_use(use: knowledge.PathUse) -> None:
    assert KNOWN.use_of(use.example, written=use.access == "write") == use.use


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/var/lib/notes/db/a.sqlite3", "/var/lib/notes/db"),
        ("/var/lib/notes/a.sqlite3", "/var/lib/notes"),
        ("/srv/notes-media/2026/a.jpg", "/srv/notes-media"),
        ("/var/lib/notes/media/a/b/c.jpg", "/var/lib/notes/media"),
        ("/var/lib/notes/2026/a.txt", "/var/lib/notes"),
        ("/var/log/notes/error.log", "/var/log/notes"),
        ("/var/log/notes.log", ""),
        ("/var/lib/a.db", ""),
        ("/data/notes/a.db", "/data/notes"),
    ],
)
def test_the_folder_that_a_use_names(path: str, folder: str) -> None:
    assert KNOWN.folder_of(path, is_folder=False, written=True) == folder


def test_a_write_becomes_a_use_with_the_denial_as_its_reason() -> None:
    (edit,) = edits("httpd_t var_lib_t:file write path=/var/lib/notes/media/a.jpg comm=httpd")
    assert edit.values == (("use", "media"), ("path", "/var/lib/notes/media"))
    assert "denial 0123456789ab, 3 times, first on 2023-11-14" in edit.reason()


def test_what_the_description_says_already_is_no_change() -> None:
    assert edits("httpd_t var_lib_t:file write path=/var/lib/notes/db/x comm=httpd") == ()
    assert edits("httpd_t smtp_port_t:tcp_socket name_connect port=25 comm=httpd") == ()


def test_a_connection_becomes_one_service() -> None:
    (edit,) = edits("httpd_t postgresql_port_t:tcp_socket name_connect port=5432 comm=httpd")
    assert (edit.table, edit.values) == ("connect", (("to", "postgresql"),))


def test_a_port_without_a_label_becomes_one_port() -> None:
    (edit,) = edits("httpd_t unreserved_port_t:tcp_socket name_connect port=6380 comm=httpd")
    assert (edit.table, edit.values) == ("connect", (("port", 6380),))


def test_a_record_without_a_path_says_what_is_missing() -> None:
    with pytest.raises(NoChange, match="full auditing"):
        edits("httpd_t var_lib_t:file write name=a.db comm=httpd")


def test_a_refused_power_makes_no_change() -> None:
    with pytest.raises(NoChange):
        edits("httpd_t httpd_t:process execmem comm=httpd")


def test_an_edit_keeps_every_comment_and_the_order() -> None:
    made = [
        *edits("httpd_t var_log_t:file append path=/var/log/notes/e.log comm=httpd"),
        *edits("httpd_t postgresql_port_t:tcp_socket name_connect port=5432 comm=httpd"),
        Edit("path", (("use", "data"), ("path", "/srv/notes/more")), what="more data"),
    ]
    after = changes.apply(TEXT, changes.merge(made))
    for comment in ("# The notes, as a package.", "# sqlite", "# thank-you mails"):
        assert comment in after
    kept = iter(after.splitlines())
    for line in TEXT.splitlines():
        if not line.startswith("data ="):
            assert line in kept
    data = tomllib.loads(after)
    assert data["path"] == {
        "data": ["/var/lib/notes/db", "/srv/notes/more"],
        "log": "/var/log/notes",
    }
    assert [c["to"] for c in data["connect"]] == ["smtp", "postgresql"]


def test_an_empty_line_stands_before_each_new_table() -> None:
    made = [
        *edits("httpd_t postgresql_port_t:tcp_socket name_connect port=5432 comm=httpd"),
        Edit("boolean", (("name", "httpd_enable_ftp_server"), ("value", True))),
    ]
    after = changes.apply(TEXT.rstrip("\n") + "\n", changes.merge(made))
    assert after.count("[[") == TEXT.count("[[") + 2
    assert all(part.endswith("\n\n") for part in after.split("[[")[1:-1])


def test_rules_on_one_target_are_joined_and_inner_paths_left_out() -> None:
    rule = [("source", "a_t"), ("target", "b_t"), ("class", "file")]
    made = changes.merge(
        [
            Edit("allow", (*rule, ("permissions", ["read"]))),
            Edit("allow", (*rule, ("permissions", ["open"]))),
            Edit("path", (("use", "data"), ("path", "/srv/a"))),
            Edit("path", (("use", "data"), ("path", "/srv/a/b"))),
            Edit("path", (("use", "log"), ("path", "/srv/a/log"))),
        ]
    )
    assert [dict(e.values).get("path") for e in made if e.table == "path"] == [
        "/srv/a",
        "/srv/a/log",
    ]
    (joined,) = [dict(e.values) for e in made if e.table == "allow"]
    assert joined["permissions"] == ["open", "read"]


def test_a_hostile_name_stays_one_line_of_text() -> None:
    edit = Edit("path", (("use", "data"), ("path", "/srv/a")), what='x\n"]\n[evil]\u202e')
    after = changes.apply(TEXT, [edit])
    assert "evil" not in tomllib.loads(after)
    assert "\u202e" not in after
