"""Denials become changes of a description, and the linked policy says that they are settled."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wsgi_sepkg.cli import app
from wsgi_sepkg.errors import UsageError

pytestmark = pytest.mark.integration

CASE = Path(__file__).parents[1] / "data" / "founding-case"

# What the by-hand recipe met, one record for each of its steps; and one of another program.
RECORDS = {
    "content": 'read } for pid=2 comm="httpd" path="/srv/djangosite/djangosite/wsgi.py" dev="dm-0" '
    "ino=3 {httpd} tcontext=unconfined_u:object_r:var_t:s0 tclass=file",
    "media": 'create } for pid=2 comm="httpd" path="/srv/djangosite-media/2010/a.jpg" dev="dm-0" '
    "ino=5 {httpd} tcontext=unconfined_u:object_r:var_t:s0 tclass=file",
    "socket": 'write } for pid=2 comm="httpd" path="/etc/httpd/logs/wsgi.2.0.1.sock" dev="dm-0" '
    "ino=6 {httpd} tcontext=unconfined_u:object_r:httpd_log_t:s0 tclass=sock_file",
    "network": 'name_connect } for pid=2 comm="httpd" dest=5432 {httpd} '
    "tcontext=system_u:object_r:postgresql_port_t:s0 tclass=tcp_socket",
    "execmem": 'execmem } for pid=2 comm="httpd" {httpd} '
    "tcontext=system_u:system_r:httpd_t:s0 tclass=process",
    "other": 'search } for pid=3 comm="sshd" name="x" dev="dm-0" ino=7 '
    "scontext=system_u:system_r:sshd_t:s0 tcontext=system_u:object_r:var_t:s0 tclass=dir",
}
HTTPD = "scontext=system_u:system_r:httpd_t:s0"


def log(folder: Path, *names: str) -> Path:
    """Return a log with a record for each name."""
    path = folder / "audit.log"
    with path.open("w") as file:
        for number, name in enumerate(names, start=11):
            record = RECORDS[name].replace("{httpd}", HTTPD)
            file.write(f"type=AVC msg=audit(129000000{number % 10}.100:{number}): ")
            file.write(f"avc:  denied  {{ {record}\n")
    return path


@pytest.fixture
def thin(tmp_path: Path) -> Path:
    """The founding case without what the recipe learned from denials."""
    folder = tmp_path / "project"
    shutil.copytree(CASE, folder)
    file = folder / "wsgi-sepkg.toml"
    text = re.sub(r"(?s)\[path\].*", "", file.read_text())
    assert "connect" not in text
    file.write_text(text)
    return folder


Run = Callable[..., tuple[int, dict[str, object]]]


@pytest.fixture
def learn() -> Run:
    def run(*arguments: str | Path) -> tuple[int, dict[str, object]]:
        words = ["learn", *map(str, arguments), "--format", "json"]
        done = CliRunner().invoke(app, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout)

    return run


def states(result: dict[str, object]) -> dict[str, str]:
    """Return what became of each denial, by its class and object."""
    denials = result["denials"]
    assert isinstance(denials, list)
    return {f"{d['class']} {d['object']}": d["state"] for d in denials}


def test_every_denial_of_the_founding_case_is_settled_without_a_rule(
    thin: Path, tmp_path: Path, learn: Run
) -> None:
    file = thin / "wsgi-sepkg.toml"
    before = file.read_text()
    audit = log(tmp_path, *RECORDS)
    status, result = learn(thin, audit, "--yes")
    assert status == 0
    assert states(result) == {
        "file /srv/djangosite/djangosite/wsgi.py": "allowed already",
        "file /srv/djangosite-media/2010/a.jpg": "allowed",
        "sock_file /etc/httpd/logs/wsgi.2.0.1.sock": "denied on purpose",
        "tcp_socket tcp 5432": "allowed",
        "process process": "denied on purpose",
        "dir x": "not of this application",
    }
    after = tomllib.loads(file.read_text())
    assert after["path"] == {"media": "/srv/djangosite-media"}
    assert [c["to"] for c in after["connect"]] == ["postgresql"]
    assert not {"allow", "call", "boolean", "waiver"} & after.keys()
    for line in before.splitlines():
        assert line in file.read_text()
    reason = after["connect"][0]["reason"]
    assert re.search(r"denial [0-9a-f]{12}, once, first on 2010-11-17", reason)
    more = result["became_allowed"]
    assert isinstance(more, dict)
    assert {(v[0], v[1]) for v in more["more"]} <= {("httpd_t", "djangosite_media_t")}
    assert ["httpd_t", "postgresql_port_t", "tcp_socket", "name_connect"] in more["denied_before"]

    # Once more: nothing changes.
    learned = file.read_bytes()
    status, result = learn(thin, audit, "--yes")
    assert (status, result["edits"], result["written"]) == (0, [], False)
    assert file.read_bytes() == learned


def test_what_nobody_can_settle_ends_with_status_1_and_leaves_the_file(
    thin: Path, tmp_path: Path, learn: Run
) -> None:
    """A record without a path names no folder, and a rule on var_lib_t is never the way out."""
    audit = tmp_path / "audit.log"
    audit.write_text(
        "type=AVC msg=audit(1290000001.100:11): avc:  denied  { write } for  pid=2 "
        f'comm="httpd" name="db" dev="dm-0" ino=3 {HTTPD} '
        "tcontext=system_u:object_r:var_lib_t:s0 tclass=file\n"
    )
    file = thin / "wsgi-sepkg.toml"
    before = file.read_bytes()
    status, result = learn(thin, audit, "--yes")
    assert status == 1
    (state,) = states(result).values()
    assert state == "open"
    denials = result["denials"]
    assert isinstance(denials, list)
    assert "full auditing" in denials[0]["why"]
    assert file.read_bytes() == before


def test_one_by_one_only_what_was_accepted_is_written(thin: Path, tmp_path: Path) -> None:
    audit = log(tmp_path, "media", "network")
    done = CliRunner().invoke(app, ["learn", str(thin), str(audit)], input="y\nn\n")
    assert done.exit_code == 1
    after = tomllib.loads((thin / "wsgi-sepkg.toml").read_text())
    assert "path" in after
    assert "connect" not in after
    assert "1 of 2 settled" in done.stdout
    assert "not accepted" in done.stdout


def test_without_answers_it_says_so_and_writes_nothing(thin: Path, tmp_path: Path) -> None:
    before = (thin / "wsgi-sepkg.toml").read_bytes()
    with pytest.raises(UsageError, match="nobody answers") as caught:
        CliRunner().invoke(
            app, ["learn", str(thin), str(log(tmp_path, "media"))], catch_exceptions=False
        )
    assert "--yes" in caught.value.hint
    assert caught.value.exit_status == 2
    assert (thin / "wsgi-sepkg.toml").read_bytes() == before


def test_a_day_of_the_log_is_one_of_the_calendar() -> None:
    assert datetime.datetime.fromtimestamp(1290000001, datetime.UTC).date().isoformat() == (
        "2010-11-17"
    )
