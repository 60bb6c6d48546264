"""Debian's mailman3-web, which none of us wrote, with policy that follows from what ``init`` reads.

Twice: under mod_wsgi with the policy alone, and as uWSGI's service in a domain of its own. The
machine has no network: the program and what it needs are carried in from this host, where
tools/setup.sh has installed them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from vm_tools import JOBS, build_example, job_files, statuses

from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.machine.image import HERE
from wsgi_sepkg.machine.trial import refusals

PROGRAM = Path("/usr/share/mailman3-web")
STATE = ("/etc/mailman3", "/var/lib/mailman3", "/var/log/mailman3")
# uWSGI and what the machine lacks of its libraries.
UWSGI = ("uwsgi-core", "uwsgi-plugin-python3", "libpcre3", "libyajl2", "libyaml-0-2")
# What nobody but its administrator knows: who packages it, that Debian installs the code, and that
# its jobs of cron work beside the site.
ANSWERS = (
    "project.license=GPL-3.0-or-later",
    "project.maintainer=Example Ltd <packages@example.org>",
    "application.shipped=no",
    "path.data.also-written-by=mailman_queue_t",
    "connect.http-8001.also-used-by=mailman_queue_t",
)
FROM = {
    "shared": ("mailman-web.py", "apache.conf"),
    "service": ("mailman-web.py", "uwsgi.ini"),
}
pytestmark = [
    pytest.mark.skipif(not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"),
    pytest.mark.skipif(not (PROGRAM / "wsgi.py").is_file(), reason="mailman3-web is not here"),
    pytest.mark.cell(
        "mailman3-web", "a foreign application by init: signed in, searched; nothing denied"
    ),
]


def described(folder: Path, confinement: str, version: str) -> Path:
    """Return a copy of the program with the description that ``init`` writes; no hand touches it.

    The copy stands for the folder itself, where nobody should write beside Debian's files.
    """
    source = folder / confinement / "mailman3-web"
    shutil.copytree(PROGRAM, source, symlinks=True)
    answers = (*ANSWERS, f"application.confinement={confinement}", f"project.version={version}")
    command = [str(Path(sys.executable).parent / "wsgi-sepkg"), "init", str(source), "--no-input"]
    command += ["--root", str(PROGRAM)]
    command += [word for answer in answers for word in ("--answer", answer)]
    command += [word for name in FROM[confinement] for word in ("--from", f"/etc/mailman3/{name}")]
    subprocess.run(command, check=True)
    return source


def needed() -> set[str]:
    """Return mailman3-web and the packages of Python that it depends on, as installed here."""
    form = "${Package}\t${Depends}\n"
    said = subprocess.run(["dpkg-query", "-W", "-f", form], text=True, capture_output=True).stdout
    depends = dict(line.split("\t") for line in said.splitlines())
    found: set[str] = set()
    waiting = ["mailman3-web"]
    while waiting:
        name = waiting.pop()
        if name in depends and name not in found:
            found.add(name)
            words = re.findall(r"python3-[a-z0-9.+-]+", depends[name])
            waiting += [word for word in words if word != "python3-minimal"]
    return found


def uwsgi(files: Iterable[str]) -> set[str]:
    """Return the program, its plugin and libraries, with the links that lead to them."""
    wanted = re.compile(r".*/(uwsgi-core|python3\w*_plugin\.so|lib(pcre|yajl|yaml-0)\.so[.\d]*)")
    found = {name for name in files if wanted.fullmatch(name)}
    return found | {
        "/usr/bin/uwsgi",
        "/etc/alternatives/uwsgi",
        "/usr/lib/uwsgi/plugins/python3_plugin.so",
        "/etc/alternatives/uwsgi-plugin-python3",
    }


def carried(folder: Path) -> Path:
    """Return an archive of those packages' files and of the site's state."""
    present = tomllib.loads((HERE / "image.toml").read_text(encoding="utf-8"))["packages"]
    packages = needed() - set(present)
    said = subprocess.run(
        ["dpkg", "-L", *sorted(packages), *UWSGI], text=True, capture_output=True, check=True
    ).stdout.splitlines()
    files = {
        name
        for name in said
        if name.startswith(("/usr/lib/python3/", "/usr/share/mailman3-web/"))
        and not re.search(r"/(locale|static)/", name)  # collected static files are the site's state
        and (Path(name).is_file() or Path(name).is_symlink())
    }
    # Compiled already: under emulation that takes minutes.
    files |= {name for name in map(cache_from_source, files) if Path(name).is_file()}
    files |= uwsgi(said)
    listed = folder / "files"
    listed.write_text("\n".join([*sorted(files), *STATE]), encoding="utf-8")
    made = folder / "mailman.tar"
    command = ["tar", "--numeric-owner", "-P", "-C", "/", "-cf", made, "-T", listed]
    subprocess.run(command, check=True)
    return made


@pytest.fixture(scope="module")
def life(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What the job left."""
    folder = tmp_path_factory.mktemp("mailman")
    packages = [
        package
        for confinement, version in (("shared", "1.0"), ("service", "2.0"))
        for package in build_example(
            folder / confinement / "made", described(folder, confinement, version)
        )
    ]
    script = (JOBS / "mailman.sh").read_text(encoding="utf-8")
    return machine.run(script, job_files(carried(folder), *packages), limit=2400)


def denied(life: Outcome, step: str) -> set[tuple[str, str, str]]:
    """Return (source, target, class) of what was denied to the web server and to the site."""
    found = refusals(life.text(f"{step}.avc"))
    ours = ("httpd_t", "mailman3_web_")
    return {(r.source, r.target, r.tclass) for r in found if r.source.startswith(ours)}


def domains(life: Outcome, name: str) -> set[tuple[str, str]]:
    """Return (domain, command) of what ran."""
    rows = [line.split() for line in life.text(name).splitlines()]
    return {(row[1].split(":")[2], row[2]) for row in rows}


def test_the_policy_is_installed_and_verified(life: Outcome) -> None:
    print(f"{life.enforcing}; to the job {life.booted:.0f} s, in all {life.lasted:.0f} s")
    assert life.enforcing == "Enforcing"
    assert life.text("install.status").strip() == "0", life.text("install.log")
    assert life.text("verify") == ""


def test_only_what_is_the_web_interface_s_own_is_relabelled(life: Outcome) -> None:
    lines = [line.split() for line in life.text("labels").splitlines()]
    assert {line[1]: line[0].split(":")[2] for line in lines if line[0].count(":") > 2} == {
        "/etc/mailman3/mailman-web.py": "mailman_data_t",
        "/var/lib/mailman3/web/mailman3web.db": "mailman3_web_data_t",
        "/var/lib/mailman3/web/static": "mailman3_web_static_t",
        "/var/lib/mailman3/web/fulltext_index": "mailman3_web_data_t",
        "/var/log/mailman3/web": "mailman_log_t",
        "/usr/share/mailman3-web/settings.py": "usr_t",
    }


def test_pages_a_sign_in_and_a_search_work_and_nothing_is_denied(life: Outcome) -> None:
    """302: signed in, the session written; 503: the list of lists wants Mailman itself."""
    print(life.text("domains"))
    assert domains(life, "domains") == {("httpd_t", "apache2")}
    assert statuses(life, "use") == {
        "page": 200,
        "static": 200,
        "sign-in": 302,
        "search": 200,
        "lists": 503,
    }, life.text("error.log")
    assert denied(life, "serve") == set()
    assert denied(life, "use") == set()


def test_without_its_label_the_database_is_not_written(life: Outcome) -> None:
    assert statuses(life, "label-gone") == {"page": 200, "sign-in": 500}
    assert ("httpd_t", "mailman_data_t", "dir") in denied(life, "label-gone") or (
        "httpd_t",
        "mailman_data_t",
        "file",
    ) in denied(life, "label-gone")
    assert statuses(life, "label-back") == {"sign-in": 302}
    assert denied(life, "label-back") == set()


def test_erased_the_database_has_the_label_of_the_base_policy(life: Outcome) -> None:
    assert life.text("erase.status").strip() == "0", life.text("erase.log")
    assert "mailman_data_t" in life.text("left")


def test_as_a_service_the_same_works_in_a_domain_of_its_own(life: Outcome) -> None:
    assert life.text("service.status").strip() == "0", life.text("service.log")
    assert ("mailman3_web_t", "uwsgi") in domains(life, "service-domains"), life.text("journal")
    assert ("mailman3_web_qcluster_t", "mailman3-web-qc") in domains(life, "service-domains")
    assert statuses(life, "service-use") == {
        "page": 200,
        "static": 200,
        "sign-in": 302,
        "search": 200,
        "lists": 503,
    }, life.text("journal")
    assert denied(life, "service-start") == set()
    assert denied(life, "service-use") == set()


def test_in_its_domain_it_cannot_write_without_its_label_either(life: Outcome) -> None:
    assert statuses(life, "service-label-gone") == {"page": 200, "sign-in": 500}
    assert {source for source, _, _ in denied(life, "service-label-gone")} >= {"mailman3_web_t"}
