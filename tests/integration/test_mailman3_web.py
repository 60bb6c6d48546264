"""A Django application that none of us wrote: Debian's mailman3-web, served and confined.

The installed program and its settings are used as they are; what it writes goes to a temporary
folder, by a settings module of our own over the real one. The host's files are only read.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.policy import buildcheck, check
from wsgi_sepkg.policy.compile import headers_for
from wsgi_sepkg.project.load import load
from wsgi_sepkg.report.derived import as_text

EXAMPLE = Path(__file__).parents[2] / "examples" / "mailman3-web" / "wsgi-sepkg.toml"
PROGRAM = Path("/usr/share/mailman3-web")
STATIC = Path("/var/lib/mailman3/web/static")
DATABASE = Path("/var/lib/mailman3/web/mailman3web.db")
MODULES = Path("/usr/lib/apache2/modules")
HOST = Path("/usr/share/selinux/devel/Makefile").is_file() and os.geteuid() == 0


def missing() -> str:
    """Say what is not there, '' when the application can be served."""
    if not shutil.which("dpkg"):
        return "mailman3-web is a Debian package, and this host has no dpkg"
    said = subprocess.run(["dpkg", "-s", "mailman3-web"], text=True, capture_output=True).stdout
    if "Status: install ok installed" not in said:
        return "mailman3-web is not installed (apt-get install --no-install-recommends)"
    for file in (Path("/usr/sbin/apache2"), MODULES / "mod_wsgi.so", DATABASE):
        if not file.is_file():
            return f"{file} is not there"
    return "" if os.geteuid() == 0 else "Apache takes the account www-data only from root"


MISSING = missing()
pytestmark = pytest.mark.integration
served = pytest.mark.skipif(bool(MISSING), reason=MISSING)
linked = pytest.mark.skipif(
    not HOST or not shutil.which("semodule"),
    reason="needs the policy headers and a policy store that can be read",
)


# -- the application, served --------------------------------------------------------------------

SETTINGS = """
import os
import sys

_log = os.open("{1}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _seen(event, arguments):
    # What Python itself opens to write, and what it connects to.
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & 3:
        os.write(_log, f"write {{arguments[0]}}\\n".encode())
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        os.write(_log, f"connect {{arguments[1][1]}}\\n".encode())


sys.addaudithook(_seen)

from settings import *

SECRET_KEY = "only-for-this-test"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{0}/web.db"}}}}
HAYSTACK_CONNECTIONS["default"]["PATH"] = "{0}/index"
LOGGING["handlers"]["file"]["filename"] = "{0}/mailman-web.log"
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
"""

APACHE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
DefaultRuntimeDir {folder}
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
User www-data
Group www-data
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {folder}/wsgi
WSGIDaemonProcess mailman3-web processes=1 threads=2 python-path={folder}:{program}
WSGIScriptAlias / {program}/wsgi.py process-group=mailman3-web application-group=%{{GLOBAL}}
Alias /mailman3/static/ {static}/
<Directory {static}>
    Require all granted
</Directory>
<Directory {program}>
    <Files wsgi.py>
        Require all granted
    </Files>
</Directory>
"""


@dataclass
class Site:
    """``state`` is the folder that the application writes; ``log`` tells what it did."""

    address: str
    state: Path
    log: Path

    def seen(self, what: str) -> set[str]:
        rows = (row.partition(" ") for row in self.log.read_text().splitlines())
        return {rest for word, _, rest in rows if word == what}

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.address + path, timeout=30) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode(errors="replace")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The site, as its own Apache on this host; stopped at the end."""
    # pytest's folders are closed to all accounts but root's, and the daemon is www-data.
    with tempfile.TemporaryDirectory(prefix="mailman3-web-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        state, log = folder / "state", folder / "seen.log"
        state.mkdir()
        log.touch()
        shutil.copyfile(DATABASE, state / "web.db")
        for path in (state, state / "web.db", log):
            shutil.chown(path, "www-data", "www-data")
        (folder / "test_settings.py").write_text(SETTINGS.format(state, log))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        text = APACHE.format(
            folder=folder, port=port, modules=MODULES, program=PROGRAM, static=STATIC
        )
        (folder / "httpd.conf").write_text(text)
        environment = {
            "PATH": "/usr/sbin:/usr/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": "test_settings",
        }
        apache = subprocess.Popen(
            ["/usr/sbin/apache2", "-f", str(folder / "httpd.conf"), "-D", "FOREGROUND"],
            env=environment,
        )
        try:
            wait_for(port, apache, folder / "error.log")
            yield Site(f"http://127.0.0.1:{port}", state, log)
        finally:
            apache.send_signal(signal.SIGTERM)
            apache.wait(timeout=30)


def wait_for(port: int, apache: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and apache.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"Apache does not answer: {log.read_text() if log.exists() else ''}")


@served
def test_the_login_page_is_served_by_mod_wsgi(site: Site) -> None:
    status, page = site.get("/accounts/login/")
    assert status == 200
    assert "<title>Sign In</title>" in page
    assert "csrfmiddlewaretoken" in page


@served
def test_static_files_are_served_from_where_the_package_keeps_them(site: Site) -> None:
    assert site.get("/mailman3/static/postorius/img/favicon.ico")[0] == 200


@served
def test_a_search_writes_the_index_and_every_page_the_log(site: Site) -> None:
    """What the description calls data and log: nothing else is written."""
    site.get("/hyperkitty/search?q=policy")
    written = {p.relative_to(site.state).parts[0] for p in site.state.rglob("*") if p.is_file()}
    assert written == {"web.db", "index", "mailman-web.log"}
    others = {w for w in site.seen("write") if not w.startswith(f"{site.state}/")}
    assert {w for w in others if not w.startswith("/dev/shm/pym-")} <= {"/dev/null"}


@served
def test_locks_and_values_shared_by_processes_are_made_in_dev_shm(site: Site) -> None:
    """What the description allows on httpd_tmpfs_t: they are mapped, which the base denies."""
    site.get("/accounts/login/")
    assert any(w.startswith("/dev/shm/pym-") for w in site.seen("write"))


@served
def test_the_lists_need_the_port_of_mailmans_rest_api(site: Site) -> None:
    status, _ = site.get("/postorius/lists/")
    assert site.seen("connect") == {"8001"}
    log = (site.state / "mailman-web.log").read_text()
    if status != 200:  # 200 only where Mailman itself runs here
        assert status == 503
        assert "Mailman REST API not available" in log
    assert "localhost:8001" in (PROGRAM / "settings.py").read_text()


# -- its policy ---------------------------------------------------------------------------------


def description(folder: Path, text: str) -> Tree:
    file = folder / "wsgi-sepkg.toml"
    file.write_text(text)
    return generate(load(file))


def without_override() -> str:
    """Return the example with all of the data under the label that it has without us."""
    text = EXAMPLE.read_text()
    text, count = re.subn(r'(?m)^override = ".*"\n', "", text)
    assert count == 1
    text = re.sub(r"(?m)^static = \{.*", f'static = "{STATIC}"', text)
    text = re.sub(r"\[\[call\]\]\n(?:.+\n)+", "", text)
    return text.replace("mailman3_web_data_t", "mailman_data_t")


@dataclass
class Checked:
    tree: Tree
    report: check.CheckReport
    store: buildcheck.Store
    cil: buildcheck.Cil

    def failed(self) -> set[tuple[str, str]]:
        return {(f.text, f.key) for f in self.report.findings if f.status == "failed"}

    def label(self, path: str, file_type: str = "file") -> str:
        return buildcheck.lookup(self.store.contexts, [(path, file_type)])[0]


def checked(tree: Tree, folder: Path) -> Checked:
    report = check.check(tree, headers_for(tree.loaded.target, None), keep=folder)
    cil = buildcheck.read_cil(buildcheck.module_cil(str(folder / "modules" / "mailman3_web.pp")))
    return Checked(tree, report, buildcheck.find_store(str(folder / "root")), cil)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    folder = tmp_path_factory.mktemp("example")
    return checked(description(folder, EXAMPLE.read_text()), folder / "work")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    folder = tmp_path_factory.mktemp("kept")
    return checked(description(folder, without_override()), folder / "work")


FILE = ("read", "map", "append", "create", "write", "rename", "unlink", "setattr", "execute")
FOLDER = ("search", "read", "add_name", "remove_name", "create", "rmdir")
TYPES = ("data", "log", "archive", "lock", "runtime", "queue_exec", "mail_exec", "cgi_exec")


def reach(policy: str) -> dict[str, str]:
    """Return what httpd_t may do on Mailman's types, as audit2why answers."""
    asked = [
        buildcheck.Expectation("allow", "httpd_t", f"mailman_{name}_t", class_, (p,), *[""] * 5)
        for name in TYPES
        for class_, permissions in (("file", FILE), ("dir", FOLDER))
        for p in permissions
    ]
    found: dict[str, list[str]] = {}
    for outcome in buildcheck.check_access(policy, asked):
        if outcome.ok:
            item = outcome.expectation
            found.setdefault(f"{item.target}:{item.cls}", []).append(item.permissions[0])
    return {key: " ".join(words) for key, words in found.items()}


def gained(after: Checked) -> dict[str, str]:
    """Return what httpd_t may do on Mailman's own types with the module only."""
    before = reach(buildcheck.find_store("/").policy)
    found = {}
    for key, words in reach(buildcheck.linked_policy(after.store)).items():
        more = [word for word in words.split() if word not in before.get(key, "").split()]
        if more:
            found[key] = " ".join(more)
    return found


@linked
def test_the_example_passes_the_check(example: Checked) -> None:
    assert example.failed() == set()
    assert example.report.mode == "link"


@linked
def test_of_mailmans_own_types_httpd_gains_the_log_alone(example: Checked) -> None:
    assert gained(example) == {
        "mailman_log_t:file": "append create",
        "mailman_log_t:dir": "search read add_name",
    }


@linked
def test_with_the_label_kept_httpd_would_write_mailmans_configuration(kept: Checked) -> None:
    """Why the example overrides: a type is granted, and it is on more than the one path."""
    gain = gained(kept)
    assert gain["mailman_data_t:file"] == "append create write rename unlink setattr"
    refused = {text.partition(":file ")[2].partition(":")[0] for text, _ in kept.failed()}
    assert {"write", "append", "create", "unlink"} <= refused
    assert all("path.data" in key for text, key in kept.failed() if text.startswith("the module"))


@linked
def test_a_kept_label_that_is_written_is_reported_with_all_that_shares_it(kept: Checked) -> None:
    (warning,) = [f for f in kept.report.findings if f.status == "warning" and f.key == "path.data"]
    assert "/var/lib/mailman3/web keeps the label mailman_data_t" in warning.text
    assert "/etc/mailman.*, /var/lib/mailman.*, /var/spool/mailman.*" in warning.text


@linked
@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/etc/mailman3", "mailman_data_t"),
        ("/var/log/mailman3/web", "mailman_log_t"),
    ],
)
def test_the_check_names_the_module_that_keeps_a_label(
    path: str, type_: str, example: Checked
) -> None:
    said = f"{path} keeps the label {type_} of the base policy's module mailman, like "
    assert [f.status for f in example.report.findings if f.text.startswith(said)] == ["ok"]
    assert example.label(f"{path}/x") == type_


def test_explain_shows_which_labels_are_kept(tmp_path: Path) -> None:
    tree = description(tmp_path, EXAMPLE.read_text())
    rows = [" ".join(row.split()) for row in as_text(tree.policy, tree.plan).splitlines()]
    assert "/etc/mailman3 mailman_data_t path.config (label of module mailman kept)" in rows
    assert "/var/log/mailman3/web mailman_log_t path.log (label of module mailman kept)" in rows
    assert "/var/lib/mailman3/web mailman3_web_data_t path.data" in rows


@linked
def test_an_override_with_its_reason_changes_the_label(example: Checked) -> None:
    assert example.label(str(DATABASE)) == "mailman3_web_data_t"
    assert example.label("/var/lib/mailman3/queue/in/1.pck") == "mailman_data_t"
    assert example.label(f"{STATIC}/CACHE/manifest.json") == "mailman_data_t"


@linked
def test_without_a_reason_the_label_stays(kept: Checked) -> None:
    assert kept.label(str(DATABASE)) == "mailman_data_t"
    assert kept.cil.filecons == []


def test_below_an_overridden_folder_each_use_has_its_own_label(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^static = \{.*", f'static = "{STATIC}"', EXAMPLE.read_text())
    policy = description(tmp_path, text).policy
    labels = {p.path: (p.type, p.kept_by) for p in policy.paths}
    assert labels[str(STATIC)] == ("mailman3_web_static_t", "")
    assert labels["/etc/mailman3"] == ("mailman_data_t", "mailman")


@linked
@pytest.mark.parametrize("name", ["manage.py", "wsgi.py", "settings.py"])
def test_the_program_keeps_its_labels(name: str, example: Checked) -> None:
    base = buildcheck.lookup(buildcheck.find_store("/").contexts, [(str(PROGRAM / name), "file")])
    assert [example.label(str(PROGRAM / name))] == base


@linked
def test_cron_loses_nothing_by_the_new_labels(example: Checked) -> None:
    """mailman_queue_t (manage.py from cron, Mailman itself) had the data, and the port."""
    policy = buildcheck.linked_policy(example.store)
    wanted = [
        ("mailman3_web_data_t", "file", ("create", "write", "map", "rename", "unlink")),
        ("mailman3_web_data_t", "dir", ("add_name", "remove_name", "create")),
        ("mailman3_web_port_t", "tcp_socket", ("name_bind", "name_connect")),
        ("mailman_data_t", "file", ("read", "map")),
    ]
    asked = [buildcheck.Expectation("allow", "mailman_queue_t", *row, *[""] * 5) for row in wanted]
    assert [o.why for o in buildcheck.check_access(policy, asked)] == ["granted"] * 4


@linked
def test_each_rule_for_httpd_is_about_what_the_site_was_seen_to_use(example: Checked) -> None:
    rules = [r for r in example.cil.rules if r.kind == "allow" and r.source == "httpd_t"]
    assert {r.target for r in rules if r.cls == "tcp_socket"} == {
        "mailman3_web_port_t",
        "smtp_port_t",
    }
    assert [r.perms for r in rules if r.target == "httpd_tmpfs_t"] == [{"map"}]
    written = {r.target for r in rules if r.cls == "file" and r.perms & {"write", "append"}}
    assert written == {"mailman3_web_data_t", "mailman_log_t"}
    assert not {r.target for r in rules if r.perms & {"execute", "entrypoint", "relabelto"}}
