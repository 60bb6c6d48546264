"""Configuration of servers: what it says of paths, addresses, processes and hazards."""
# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path

import pytest

from wsgi_sepkg.discover.host import Host, read_host
from wsgi_sepkg.discover.source import Tree

APACHE = """\
WSGISocketPrefix /etc/httpd/logs/wsgi
Listen 8765
<VirtualHost *:80>
    Alias /static/ /usr/share/notes/static/
    Alias /media/ "/var/lib/notes/media/"
    Alias /old ${OLD}/files
    WSGIDaemonProcess notes processes=3 threads=5 user=notes \\
        python-home=/opt/notes/venv home=/usr/share/notes
    WSGIScriptAlias /notes /usr/share/notes/notes/wsgi.py
    ErrorLog /var/log/httpd/notes.log
</VirtualHost>
"""
NGINX = """\
upstream notes { server unix:/run/notes/web.sock fail_timeout=0; }
server {
    listen 80;
    location /static/ { alias /usr/share/notes/static/; }   # read by all
    location /media { root /var/lib/notes; }
    location / { proxy_pass http://notes; }
}
"""
UNIT = """\
[Unit]
Description=Notes
[Service]
User=notes
WorkingDirectory=/usr/share/notes
StateDirectory=notes
LogsDirectory=notes
EnvironmentFile=/etc/notes/environment
ExecStart=/usr/bin/gunicorn --workers 3 --bind unix:/run/notes/web.sock \\
    notes.wsgi
MemoryDenyWriteExecute=yes
"""


@pytest.fixture
def host(tmp_path: Path):
    """Return a function: what files say, given as name and text."""

    def read(**files: str) -> Host:
        names = []
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("-dot-", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            names.append(path.relative_to(tmp_path).as_posix())
        return read_host(Tree(tmp_path), names)

    return read


def findings(host: Host) -> dict[tuple[str, str], object]:
    return {(f.kind, f.key): f.value for f in host.findings if f.kind != "note"}


def notes(host: Host) -> str:
    return "\n".join(f"{f.setting}: {f.value}" for f in host.findings if f.kind == "note")


def test_directives_of_httpd(host):
    found = host(**{"notes-dot-conf": APACHE})
    assert findings(found) == {
        ("path", "static"): "/usr/share/notes/static",
        ("path", "media"): "/var/lib/notes/media",
        ("application", "processes"): 3,
        ("application", "threads"): 5,
        ("application", "user"): "notes",
        ("application", "url"): "/notes",
    }
    assert found.root == "/usr/share/notes"
    assert "python-home: /opt/notes/venv" in notes(found)
    assert "port 8765" in notes(found)
    assert "the sockets belong into /run" in notes(found)


def test_blocks_of_nginx(host):
    found = host(**{"site-dot-conf": NGINX})
    assert findings(found) == {
        ("application", "server"): "nginx",
        ("application", "upstream"): "unix:/run/notes/web.sock",
        ("path", "static"): "/usr/share/notes/static",
        ("path", "media"): "/var/lib/notes/media",
    }
    static = next(f for f in found.findings if f.key == "static")
    assert (static.place.file, static.place.line) == ("site.conf", 4)


def test_a_unit_with_its_drop_ins(host):
    found = host(
        **{
            "notes-dot-service": UNIT,
            "notes-dot-service.d__10-dot-conf": "[Service]\nStateDirectory=\nCacheDirectory=notes\n",
        }
    )
    assert findings(found) == {
        ("application", "upstream"): "unix:/run/notes/web.sock",
        ("path", "cache"): "/var/cache/notes",
        ("path", "log"): "/var/log/notes",
        ("path", "secret"): "/etc/notes/environment",
    }
    (process,) = found.processes
    assert (process.name, process.kind) == ("web", "web")
    assert process.run == "gunicorn --workers 3 notes.wsgi"
    assert process.place.line == 9


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("NoNewPrivileges=yes", "nnp_transition"),
        ("PrivateDevices=yes", "sets NoNewPrivileges too"),
        ("MemoryDenyWriteExecute=yes", "without any denial"),
        ("PrivateTmp=yes", "PrivateTmp"),
        ("SELinuxContext=system_u:system_r:x_t:s0", "overrides the domain"),
        ("KeyringMode=private", "keyring"),
        ("LimitNOFILE=9", "setrlimit"),
        ("ProtectSystem=strict", "EROFS"),
        ("User=", "runs as root"),
        ("ExecStart=\nExecStart=/opt/v/bin/python -m gunicorn a.wsgi", "starts python"),
        ("ExecStart=\nExecStart=/bin/sh -c 'exec gunicorn a.wsgi'", "starts sh"),
        ("ExecStart=\nExecStart=/home/me/v/bin/gunicorn a.wsgi", "home folders"),
    ],
)
def test_hazards_of_a_unit_are_said(host, line, words):
    base = "[Service]\nUser=notes\nExecStart=/usr/bin/gunicorn notes.wsgi\n"
    assert words not in notes(host(**{"a-dot-service": base}))
    assert words in notes(host(**{"b-dot-service": f"{base}{line}\n"}))


@pytest.mark.parametrize(
    ("line", "kind", "run"),
    [
        ("celery -A notes worker -l info --pidfile /run/c.pid", "worker", "celery -A notes worker -l info"),
        ("celery -A notes beat", "scheduler", "celery -A notes beat"),
        ("/opt/v/bin/python /opt/a/manage.py clearsessions", "command", "manage clearsessions"),
        ("/opt/v/bin/python -m uvicorn --uds /run/a/b.sock a.asgi:app", "web", "uvicorn a.asgi:app"),
    ],
)  # fmt: skip
def test_programs_of_units_become_processes(host, line, kind, run):
    (process,) = host(**{"a-dot-service": f"[Service]\nUser=a\nExecStart={line}\n"}).processes
    assert (process.kind, process.run) == (kind, run)


def test_a_unit_that_starts_something_else_says_nothing(host):
    found = host(**{"a-dot-service": "[Service]\nStateDirectory=x\nExecStart=/usr/sbin/nginx\n"})
    assert (found.findings, found.processes) == ([], [])


def test_gunicorn_is_configured_in_python_that_is_not_run(host, tmp_path):
    text = (
        "import os\nname = 'notes'\nbind = f'unix:/run/{name}/web.sock'\n"
        "errorlog = '/var/log/notes/error.log'\nworkers = os.cpu_count()\n"
        f"os.system('touch {tmp_path}/canary')\n"
    )
    assert findings(host(**{"gunicorn-dot-conf.py": text})) == {
        ("application", "upstream"): "unix:/run/notes/web.sock",
        ("path", "log"): "/var/log/notes",
    }
    assert not (tmp_path / "canary").exists()


def test_uwsgi(host):
    text = (
        "[uwsgi]\nchdir = /usr/share/notes\nmodule = notes.wsgi\nsocket = /run/notes/w.sock\n"
        "processes = 2\nlogto = /var/log/notes/uwsgi.log\nvirtualenv = %(chdir)/venv\n"
    )
    found = host(**{"uwsgi-dot-ini": text})
    assert findings(found) == {
        ("application", "wsgi"): "notes.wsgi:application",
        ("application", "upstream"): "unix:/run/notes/w.sock",
        ("path", "log"): "/var/log/notes",
    }
    assert found.root == "/usr/share/notes"
    assert found.processes[0].run == "uwsgi --module notes.wsgi --processes 2"


def test_containers_are_hints_and_no_facts(host):
    found = host(**{"docker-compose-dot-yml": "services:\n  db:\n    image: postgres:16\n"})
    assert findings(found) == {}
    assert "a hint: containers run postgres" in notes(found)


def test_templates_and_variables_are_not_taken_for_values(host):
    text = "Alias /static {{ static }}\nAlias /media ${MEDIA}\nWSGIScriptAlias / %(root)s/a.py\n"
    found = host(**{"a-dot-conf": text})
    assert (findings(found), found.root) == ({}, "")


def test_a_configuration_that_cannot_be_read_is_noted(host, tmp_path):
    (tmp_path / "a.conf").write_bytes(b"Alias /static \0\n")
    assert "null byte" in notes(read_host(Tree(tmp_path), ["a.conf"]))
