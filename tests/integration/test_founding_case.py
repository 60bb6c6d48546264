"""The by-hand recipe for Django under mod_wsgi: each step of it has its counterpart in a package.

The steps, and what became of each, stand in docs/founding-case.md. The package is built once; what
its %check linked is kept and asked.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wsgi_sepkg import cli
from wsgi_sepkg.engines.base import Built, Request
from wsgi_sepkg.engines.rpmbuild import Rpmbuild
from wsgi_sepkg.package import build as builder
from wsgi_sepkg.package.inspect import Inspection, inspect, payload_files
from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.policy import buildcheck, check
from wsgi_sepkg.project.load import load

CASE = Path(__file__).parents[1] / "data" / "founding-case"
TOOLS = ("rpmbuild", "semodule", "checkmodule", "matchpathcon")
HOST = Path("/usr/share/selinux/devel/Makefile").is_file() and os.geteuid() == 0
PYTHON = "/usr/bin/python3"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not HOST or not all(map(shutil.which, TOOLS)),
        reason="needs rpmbuild, the policy headers and a policy store that can be read",
    ),
]

EXECMEM = """
[[allow]]
source = "httpd_t"
target = "self"
class = "process"
permissions = ["execmem"]
reason = "ctypes callbacks of an old libffi"
"""
WAIVER = """
[[waiver]]
grant = "httpd_t self:process execmem"
reason = "until libffi is updated on the old hosts"
until = {}
"""


class Keeping(Rpmbuild):
    """rpmbuild, but the policy that %check linked stays."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept

    def build(self, request: Request) -> Built:
        built = super().build(request)
        assert built.check is not None
        shutil.copytree(built.check, self.kept, symlinks=True)
        return built


@dataclass
class Package:
    """The built case: its tree, RPMs, the report of the check, and the linked policy."""

    tree: Tree
    application: Inspection
    selinux: Inspection
    files: dict[str, str]
    report: check.CheckReport
    linked: buildcheck.Store

    def access(self, kind: str, target: str, class_: str, *permissions: str) -> str:
        """Ask for what httpd_t may do; '' when the answer is as wanted, else why not."""
        return ask(buildcheck.linked_policy(self.linked), kind, target, class_, *permissions)

    def label(self, path: str, file_type: str = "file") -> str:
        return label(self.linked, path, file_type)


def ask(policy: str, kind: str, target: str, class_: str, *permissions: str) -> str:
    item = buildcheck.Expectation(kind, "httpd_t", target, class_, permissions, *[""] * 5)
    (outcome,) = buildcheck.check_access(policy, [item])
    return "" if outcome.ok else outcome.why


def label(store: buildcheck.Store, path: str, file_type: str = "file") -> str:
    return buildcheck.lookup(buildcheck.linked_contexts(store), [(path, file_type)])[0]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project") / "djangosite"
    shutil.copytree(CASE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def package(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    kept = tmp_path_factory.mktemp("kept") / "check"
    tree = generate(load(project))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "Rpmbuild", lambda: Keeping(kept))
        result = builder.build(tree, kept.parent / "out")
    assert result.report is not None
    rpms = {p.name.split("-1.0-")[0]: p for p in result.packages if ".src." not in p.name}
    application = inspect(rpms["djangosite"])
    wanted = [file.path for file in application.files if file.path.endswith(".conf")]
    files = payload_files(rpms["djangosite"], wanted)
    return Package(
        tree,
        application,
        inspect(rpms["djangosite-selinux"]),
        {path: content.decode() for path, content in files.items()},
        result.report,
        buildcheck.find_store(str(kept / "root")),
    )


@pytest.fixture(scope="module")
def removed(package: Package, tmp_path_factory: pytest.TempPathFactory) -> buildcheck.Store:
    """The linked store after what %postun runs: semodule -X 200 -r."""
    store = buildcheck.scratch_copy(package.linked, str(tmp_path_factory.mktemp("removed")))
    command = ["semodule", "-p", store.root, "-S", store.store_root, "-s", store.policy_type]
    command += ["-n", "-N", "-X", "200", "-r", "djangosite"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return store


def scriptlet(package: Inspection, name: str) -> list[str]:
    return [e.text for s in package.scriptlets if s.name == name for e in s.effects]


# -- the site itself --------------------------------------------------------------------------


def test_the_site_is_a_django_project_that_stores_what_is_sent_to_it(tmp_path: Path) -> None:
    if subprocess.run([PYTHON, "-c", "import django, psycopg2"], capture_output=True).returncode:
        pytest.skip("python3-django or python3-psycopg2 is not installed")
    program = """
from django.core.files.uploadedfile import SimpleUploadedFile
from djangosite.wsgi import application
from django.test import Client
sent = SimpleUploadedFile("photo.jpg", b"jpeg")
print(Client().post("/", {"photo": sent}).content.decode())
"""
    environment = {
        "PYTHONPATH": str(CASE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "djangosite.settings",
        "DJANGOSITE_MEDIA": str(tmp_path),
    }
    done = subprocess.run(
        [PYTHON, "-c", program], env=environment, text=True, capture_output=True, timeout=60
    )
    assert done.stdout == "photo.jpg\n", done.stderr
    assert (tmp_path / "photo.jpg").read_bytes() == b"jpeg"


# -- a project outside of /var/www, labelled with semanage fcontext and restorecon --------------


def test_the_check_of_the_case_finds_nothing(package: Package) -> None:
    assert [f for f in package.report.findings if f.status == "failed"] == []
    assert package.report.mode == "link"


def test_the_project_is_readable_where_it_lies_and_not_writable(package: Package) -> None:
    type_ = package.label("/srv/djangosite/djangosite/wsgi.py")
    assert type_ == "djangosite_content_t"
    assert package.access("allow", type_, "file", "read", "open", "getattr") == ""
    assert package.access("deny", type_, "file", "write", "append", "create", "unlink") == ""


def test_the_media_tree_is_written_and_never_run(package: Package) -> None:
    type_ = package.label("/srv/djangosite-media/2026/photo.jpg")
    assert type_ == "djangosite_media_t"
    assert package.access("allow", type_, "file", "create", "write", "rename", "unlink") == ""
    assert package.access("deny", type_, "file", "execute", "execmod") == ""


@pytest.mark.parametrize("file_type", ["file", "dir", "link", "socket", "pipe"])
def test_one_context_labels_what_took_a_call_for_files_and_a_call_for_folders(
    file_type: str, package: Package
) -> None:
    (context,) = [
        c
        for module in package.selinux.modules
        for c in module.content.file_contexts
        if c.pattern == "/srv/djangosite-media(/.*)?"
    ]
    assert (context.file_type, context.type) == ("any", "djangosite_media_t")
    assert package.label("/srv/djangosite-media/x", file_type) == "djangosite_media_t"


def test_a_neighbour_with_the_same_beginning_keeps_its_label(package: Package) -> None:
    assert package.label("/srv/djangosite-old/x") == "var_t"


def test_posttrans_relabels_what_changed_and_nothing_relabels_all(package: Package) -> None:
    (relabel,) = [t for t in scriptlet(package.selinux, "posttrans") if t.startswith("relabels")]
    assert "relabels the files whose file context differs" in relabel
    assert any(t.startswith("keeps a copy of the") for t in scriptlet(package.selinux, "pre"))
    for part in package.selinux.scriptlets:
        assert not re.search(r"restorecon .*\s/(srv)?\s|fixfiles (?!-C)", part.body)


def test_under_home_a_module_cannot_label_what_semanage_could(
    package: Package, tmp_path: Path
) -> None:
    """Contexts are read modules first, then homedirs, then local: the last one wins, hence /srv."""
    line = "/home/deploy/site(/.*)?\tsystem_u:object_r:djangosite_content_t:s0\n"
    contexts = tmp_path / "file_contexts"
    for ending in ("", ".homedirs"):
        shutil.copyfile(f"{package.linked.contexts}{ending}", f"{contexts}{ending}")
    with contexts.open("a") as file:
        file.write(line)
    asked = [("/home/deploy/site/wsgi.py", "file")]
    assert buildcheck.lookup(str(contexts), asked) == ["user_home_t"]
    Path(f"{contexts}.local").write_text(line)
    assert buildcheck.lookup(str(contexts), asked) == ["djangosite_content_t"]


# -- setsebool -P httpd_can_network_connect on --------------------------------------------------


def test_the_connection_to_the_database_is_granted(package: Package) -> None:
    assert package.access("allow", "postgresql_port_t", "tcp_socket", "name_connect") == ""


def test_the_connection_hangs_on_a_boolean_of_the_package(package: Package) -> None:
    rules = [
        (r.target, r.boolean)
        for module in package.selinux.modules
        for r in module.content.rules
        if "name_connect" in r.permissions
    ]
    assert rules == [("postgresql_port_t", "[ djangosite_connect_postgresql ]:True")]


@pytest.mark.parametrize(
    "port",
    ["port_t", "unreserved_port_t", "smtp_port_t", "ssh_port_t", "mysqld_port_t", "redis_port_t"],
)
def test_no_other_port_is_opened(port: str, package: Package) -> None:
    assert package.access("deny", port, "tcp_socket", "name_connect") == ""


def test_the_wide_boolean_stays_off(package: Package) -> None:
    assert package.selinux.booleans == ()
    assert not any("setsebool" in s.body for s in package.selinux.scriptlets)
    why = package.access("allow", "unreserved_port_t", "tcp_socket", "name_connect")
    assert "only with httpd_can_network_connect=on" in why


def test_what_a_boolean_opens_is_counted_as_the_packages_own(project: Path) -> None:
    text = (CASE / "wsgi-sepkg.toml").read_text() + (
        '\n[[boolean]]\nname = "httpd_can_network_connect"\nvalue = true\nreason = "as before"\n'
    )
    policy = generate(load(described(project, "wide.toml", text))).policy
    asked = [
        buildcheck.Expectation("deny", "httpd_t", target, class_, (permission,), *[""] * 5)
        for target, class_, permission in (
            ("unreserved_port_t", "tcp_socket", "name_connect"),
            ("httpd_t", "process", "execmem"),
        )
    ]
    found = check.granted_by_booleans(policy, buildcheck.find_store("/"), asked)
    assert [(item.target, setting.why.key) for item, setting in found.items()] == [
        ("unreserved_port_t", "boolean[0]")
    ]


# -- checkmodule -M -m, semodule_package, semodule -i -------------------------------------------


def test_the_module_is_installed_at_the_priority_of_packages(package: Package) -> None:
    assert buildcheck.active_modules(package.linked)["djangosite"] == 200
    installed = [t for t in scriptlet(package.selinux, "post") if t.startswith("puts policy")]
    assert len(installed) == 1
    assert "at priority 200 of policy type targeted" in installed[0]


def test_the_module_has_the_format_that_the_target_reads(package: Package) -> None:
    (module,) = package.selinux.modules
    assert module.name == "djangosite"
    assert module.format <= package.tree.loaded.target.module_format


def test_the_module_says_no_more_than_the_description(package: Package) -> None:
    (module,) = package.selinux.modules
    content = module.content
    assert content.types == ("djangosite_content_t", "djangosite_media_t")
    assert {r.source for r in content.rules if r.kind == "allow"} == {"httpd_t"}
    assert {(r.target, r.cls) for r in content.rules if r.kind == "allow"} == {
        ("djangosite_content_t", "dir"),
        ("djangosite_content_t", "file"),
        ("djangosite_content_t", "lnk_file"),
        ("djangosite_media_t", "dir"),
        ("djangosite_media_t", "file"),
        ("postgresql_port_t", "tcp_socket"),
        ("var_t", "dir"),
    }


# -- WSGISocketPrefix run/wsgi ------------------------------------------------------------------


def test_the_configuration_of_the_package_sets_the_socket_prefix(package: Package) -> None:
    (text,) = [t for path, t in package.files.items() if "tmpfiles" not in path]
    (prefix,) = re.findall(r"(?m)^WSGISocketPrefix (\S+)$", text)
    assert prefix == "/run/apache2/wsgi"
    type_ = package.label(f"{prefix}.1.0.1.sock", "socket")
    assert package.access("allow", type_, "sock_file", "create", "write", "unlink") == ""


@pytest.mark.parametrize("target", ["el9", "el10", "fedora"])
def test_on_the_targets_of_the_red_hat_family_the_prefix_lies_in_run_httpd(
    target: str, project: Path
) -> None:
    tree = generate(load(project, target=target))
    assert "WSGISocketPrefix /run/httpd/wsgi\n" in tree.sources["djangosite.conf"].decode()


def test_server_and_daemon_talk_inside_one_domain(package: Package) -> None:
    assert package.access("allow", "self", "unix_stream_socket", "connectto") == ""


# -- allow httpd_t self:process execmem ---------------------------------------------------------


def described(project: Path, name: str, text: str) -> Path:
    (project / name).write_text(text)
    return project / name


def with_execmem(project: Path, name: str, more: str = "") -> Path:
    """Write the case with the recipe's rule, and without the expectation that speaks against it."""
    text = (CASE / "wsgi-sepkg.toml").read_text()
    text, count = re.subn(r'\[\[expect\]\]\n[^\[]*"self"(?:.|\n)*?\n\n', "", text)
    assert count == 1
    return described(project, name, text + EXECMEM + more)


@dataclass
class Refused:
    status: Any
    output: str
    kept: Path


@pytest.fixture(scope="module")
def refused(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Refused:
    """``wsgi-sepkg check`` of the case with the rule; the linked policy is kept."""
    file = with_execmem(project, "execmem.toml")
    kept = tmp_path_factory.mktemp("execmem")
    whole, shown = check.check, []

    def keeping(tree: Tree, headers: Any, root: Path) -> check.CheckReport:
        return whole(tree, headers, root, keep=kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "check", keeping)
        patch.setattr(sys, "argv", ["wsgi-sepkg", "check", str(file)])
        patch.setattr(sys.stdout, "write", shown.append)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return Refused(ended.value.code, "".join(shown), kept)


def test_the_recipes_own_module_is_refused_with_its_key(refused: Refused) -> None:
    assert refused.status == 1
    (line,) = [row for row in refused.output.splitlines() if row.startswith("FAILED")]
    assert "the module grants httpd_t self:process execmem: memory that is written" in line
    assert line.endswith("[allow[0]]")


def examined(refused: Refused, file: Path) -> check.CheckReport:
    """Return the report on the policy of ``refused``, which a waiver does not change."""
    texts = [buildcheck.module_cil(str(refused.kept / "modules" / "djangosite.pp"))]
    result = {"mode": "link", "results": []}
    return check.examine(generate(load(file)), result, texts, refused.kept / "root", Path("/"))


def test_a_waiver_with_reason_and_day_lets_it_pass_and_is_shown(
    project: Path, refused: Refused
) -> None:
    day = datetime.date.today() + datetime.timedelta(days=30)
    report = examined(refused, with_execmem(project, "waived.toml", WAIVER.format(day)))
    assert report.ok
    (warning,) = [f for f in report.findings if f.status == "warning"]
    assert warning.text == (
        f"waived until {day}: httpd_t self:process execmem: until libffi is updated on the old "
        "hosts"
    )
    assert warning.key == "waiver[0]"


def test_after_its_day_the_waiver_fails_the_check(project: Path, refused: Refused) -> None:
    report = examined(refused, with_execmem(project, "past.toml", WAIVER.format("2026-01-31")))
    assert not report.ok
    (failed,) = [f for f in report.findings if f.status == "failed"]
    assert failed.text == "the waiver for 'httpd_t self:process execmem' ended on 2026-01-31"
    assert failed.key == "waiver[0]"


def test_a_waiver_that_nothing_needs_is_reported(project: Path, refused: Refused) -> None:
    day = datetime.date.today() + datetime.timedelta(days=30)
    other = WAIVER.format(day).replace("execmem", "execheap")
    report = examined(refused, with_execmem(project, "other.toml", other))
    texts = [f.text for f in report.findings if f.status == "warning"]
    assert "nothing needs the waiver for 'httpd_t self:process execheap': leave it out" in texts
    assert not report.ok


def test_the_package_does_not_grant_execmem(package: Package) -> None:
    assert package.access("deny", "self", "process", "execmem", "execstack", "execheap") == ""


# -- and back -----------------------------------------------------------------------------------


def test_removal_takes_the_module_and_relabels_its_own_paths_only(package: Package) -> None:
    done = scriptlet(package.selinux, "postun")
    assert any("removes policy module djangosite at priority 200" in text for text in done)
    (relabel,) = [text for text in done if text.startswith("gives ")]
    assert "gives /srv/djangosite, /srv/djangosite-media and everything below" in relabel


def test_removal_restores_labels_and_access_of_the_base_policy(
    removed: buildcheck.Store,
) -> None:
    base = buildcheck.find_store("/")
    assert buildcheck.active_modules(removed) == buildcheck.active_modules(base)
    for path in ("/srv/djangosite/djangosite/wsgi.py", "/srv/djangosite-media/2026/photo.jpg"):
        assert label(removed, path) == label(base, path) == "var_t"
    policy = buildcheck.linked_policy(removed)
    assert ask(policy, "deny", "postgresql_port_t", "tcp_socket", "name_connect") == ""
    why = ask(policy, "allow", "djangosite_media_t", "file", "read")
    assert why == "the type djangosite_media_t is not in the policy"
