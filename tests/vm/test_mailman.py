"""Debian's mailman3-web, which none of us wrote, with the policy of its example.

The machine has no network: the program and what it needs of Python are carried in from this host,
where tools/setup.sh has installed them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from vm_tools import JOBS, ROOT, build_example, job_files

from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.machine.trial import refusals

STATE = ("/etc/mailman3", "/var/lib/mailman3", "/var/log/mailman3")
pytestmark = [
    pytest.mark.skipif(not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"),
    pytest.mark.skipif(
        not Path("/usr/share/mailman3-web/wsgi.py").is_file(), reason="mailman3-web is not here"
    ),
    pytest.mark.cell("mailman3-web", "a foreign application: signed in, searched; nothing denied"),
]


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


def carried(folder: Path) -> Path:
    """Return an archive of those packages' files and of the site's state."""
    said = subprocess.run(
        ["dpkg", "-L", *sorted(needed())], text=True, capture_output=True, check=True
    ).stdout
    files = {
        name
        for name in said.splitlines()
        if name.startswith(("/usr/lib/python3/", "/usr/share/mailman3-web/"))
        and (Path(name).is_file() or Path(name).is_symlink())
    }
    # Compiled already: under emulation that takes minutes.
    files |= {name for name in map(cache_from_source, files) if Path(name).is_file()}
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
    packages = build_example(folder / "made", ROOT / "examples" / "mailman3-web")
    script = (JOBS / "mailman.sh").read_text(encoding="utf-8")
    return machine.run(script, job_files(carried(folder), *packages), limit=1800)


def did(life: Outcome, step: str) -> dict[str, int]:
    """Return the HTTP statuses of a step."""
    found: dict[str, int] = json.loads(life.text(f"{step}.json"))
    return found


def denied(life: Outcome, step: str) -> set[tuple[str, str, str]]:
    """Return (source, target, class) of what was denied to the web server in a step."""
    found = refusals(life.text(f"{step}.avc"))
    return {(r.source, r.target, r.tclass) for r in found if r.source == "httpd_t"}


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
        "/var/lib/mailman3/web/static": "mailman_data_t",
        "/var/log/mailman3/web": "mailman_log_t",
        "/usr/share/mailman3-web/settings.py": "usr_t",
    }


def test_pages_a_sign_in_and_a_search_work_and_nothing_is_denied(life: Outcome) -> None:
    """302: signed in, the session written; 503: the list of lists wants Mailman itself."""
    print(life.text("domains"))
    assert {line.split()[1].split(":")[2] for line in life.text("domains").splitlines()} == {
        "httpd_t"
    }
    assert did(life, "use") == {
        "page": 200,
        "static": 200,
        "sign-in": 302,
        "search": 200,
        "lists": 503,
    }, life.text("error.log")
    assert denied(life, "serve") == set()
    assert denied(life, "use") == set()


def test_without_its_label_the_database_is_not_written(life: Outcome) -> None:
    assert did(life, "label-gone") == {"page": 200, "sign-in": 500}
    assert ("httpd_t", "mailman_data_t", "dir") in denied(life, "label-gone") or (
        "httpd_t",
        "mailman_data_t",
        "file",
    ) in denied(life, "label-gone")
    assert did(life, "label-back") == {"sign-in": 302}
    assert denied(life, "label-back") == set()


def test_erased_the_database_has_the_label_of_the_base_policy(life: Outcome) -> None:
    assert life.text("erase.status").strip() == "0", life.text("erase.log")
    assert "mailman_data_t" in life.text("left")
