"""The inspection of a package of ours: what is said of it, exactly, and nothing to be found.

The module's sets are compared with the CIL of hll/pp, read line by line apart from the program.
"""

from __future__ import annotations

import bz2
import os
import shutil
import subprocess
import tarfile
from dataclasses import astuple
from pathlib import Path

import package_tools as tools
import pytest
from policy_tools import Statements, matches, rules, statements

from wsgi_sepkg.package.inspect import PP_TO_CIL, Inspection, PolicyContent, inspect
from wsgi_sepkg.report.inspection import as_text

HEADERS = Path("/usr/share/selinux/devel/Makefile")
TOOLS = ("rpmbuild", "rpm2archive", "semodule", "checkmodule", PP_TO_CIL)
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not HEADERS.is_file() or os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
        reason="needs rpmbuild, the policy headers and a policy store that can be read",
    ),
]

STATE = "/var/lib/rpm-state"
TYPE = "when the host's policy type is targeted"
ENABLED = "when SELinux is enabled"
HOST = "when the host's policy type is targeted or not known"
STORE = "when the host has a policy store"
ERASE = "when the package is removed, not on an upgrade"
PATHS = (
    "/etc/guestbook, /usr/share/guestbook, /var/cache/guestbook, /var/lib/guestbook/db,"
    " /var/lib/guestbook/media, /var/log/guestbook"
)
LATER = " of policy type targeted, not loaded into the kernel yet"
FAULTS = (
    "says so when a module is not in the policy store, is disabled, is not the one of the package"
    " or is in the policy store at another priority too"
)
WANTED: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "pre": [
        (
            f"keeps a copy of the host's file contexts in {STATE}/wsgi-sepkg.file_contexts.pre",
            (TYPE, ENABLED, "unless it exists"),
        ),
    ],
    "post": [
        (
            "removes policy modules that the scriptlet finds out while it runs, at priority 200"
            f" from the policy store{LATER}",
            (TYPE, STORE),
        ),
        (
            "puts policy module guestbook"
            " (/usr/share/selinux/packages/targeted/guestbook.pp.bz2) into the policy store at"
            f" priority 200{LATER}",
            (TYPE, STORE),
        ),
        ("loads the policy of the policy store into the kernel", (TYPE, STORE, ENABLED)),
        (
            "applies a list of local settings made by the scriptlet",
            (
                f"if {STATE}/guestbook-selinux.manifest has a line like ^boolean .* first-install$",
                TYPE,
                STORE,
                "if the scriptlet has found something to do",
            ),
        ),
    ],
    "postun": [
        (
            f"removes policy module guestbook at priority 200 from the policy store{LATER}",
            (ERASE, STORE, HOST, "if it is in the policy store"),
        ),
        (
            "loads the policy of the policy store into the kernel",
            (
                ERASE,
                STORE,
                HOST,
                "if module guestbook is in the policy store at priority 200",
                ENABLED,
            ),
        ),
        (
            "says so when a module is still in the policy store",
            (ERASE, STORE, HOST, "if module guestbook is in the policy store at priority 200"),
        ),
        (
            f"gives {PATHS} and everything below the label of the host's policy",
            (ERASE, TYPE, ENABLED, "those that exist"),
        ),
    ],
    "posttrans": [
        (
            "relabels the files whose file context differs from the copy in"
            f" {STATE}/wsgi-sepkg.file_contexts.pre (not below /home, /root and /tmp)",
            (
                TYPE,
                ENABLED,
                "if it exists",
                "if it differs from /etc/selinux/targeted/contexts/files/file_contexts",
            ),
        ),
        (FAULTS, (TYPE, STORE)),
        ("looks through the local file contexts of the host and says what it finds", (TYPE,)),
    ],
    "verify": [
        (f"{FAULTS}, and rpm -V fails then", ("when run by root", TYPE, STORE)),
        (
            "looks through the local file contexts of the host and says what it finds",
            ("when run by root", TYPE),
        ),
    ],
}


@pytest.fixture(scope="module")
def rpm() -> Path:
    (path,) = (tools.guestbook() / "out").glob("guestbook-selinux-*.rpm")
    return path


@pytest.fixture(scope="module")
def found(rpm: Path) -> Inspection:
    return inspect(rpm)


@pytest.fixture(scope="module")
def content(found: Inspection) -> PolicyContent:
    (module,) = found.modules
    assert (module.name, module.note) == ("guestbook", "")
    assert module.content is not None
    return module.content


@pytest.fixture(scope="module")
def cil(rpm: Path, tmp_path_factory: pytest.TempPathFactory) -> Statements:
    """The CIL of the module, taken out by rpm's own tool: (open blocks, statement)."""
    folder = tmp_path_factory.mktemp("cil")
    copy = shutil.copy(rpm, folder / "x.rpm")
    subprocess.run(["rpm2archive", copy], check=True, capture_output=True)
    with tarfile.open(folder / "x.rpm.tgz") as archive:
        (name,) = [n for n in archive.getnames() if n.endswith(".pp.bz2")]
        member = archive.extractfile(name)
        assert member is not None
        (folder / "guestbook.pp").write_bytes(bz2.decompress(member.read()))
    return statements(folder / "guestbook.pp")


def test_each_scriptlet_is_told_exactly(found: Inspection) -> None:
    told = {s.name: [(e.text, e.when) for e in s.effects] for s in found.scriptlets}
    assert told == WANTED


def test_the_functions_of_a_scriptlet_are_no_commands_of_it(found: Inspection) -> None:
    assert {s.name: s.other_commands for s in found.scriptlets} == {
        "pre": ("cp", "mkdir", "rm"),
        "post": ("mv",),
        "postun": (),
        "posttrans": ("bzip2", "rm"),
        "verify": ("bzip2",),
    }


def test_a_package_of_ours_has_no_finding(found: Inspection) -> None:
    assert (found.findings, found.notes) == ((), ())


def test_the_module_brings_no_role_port_or_permissive_domain(content: PolicyContent) -> None:
    assert (content.roles, content.ports, content.permissive) == ((), (), ())


def test_the_declarations_are_those_of_the_cil(content: PolicyContent, cil) -> None:
    assert set(content.types) == {n for (n,) in matches(cil, r"\(type (\S+)\)")}
    attributes = {n for (n,) in matches(cil, r"\(typeattribute (\S+)\)")} - {"cil_gen_require"}
    assert set(content.attributes) == attributes
    booleans = {(n, v == "true") for n, v in matches(cil, r"\(boolean (\S+) (\S+)\)")}
    assert set(content.booleans) == booleans
    assert (len(content.types), len(booleans)) == (8, 2)
    members = {
        (attribute, name)
        for attribute, names in matches(cil, r"\(typeattributeset (\S+) \((.*)\)\)")
        if attribute != "cil_gen_require"
        for name in names.strip("() ").split()
    }
    assert {(a, name) for a, names in content.attribute_members for name in names} == members


def test_the_rules_are_those_of_the_cil(content: PolicyContent, cil) -> None:
    expected = rules(cil)
    assert len(expected) > 25
    assert set(map(astuple, content.rules)) == expected


def test_labels_and_transitions_are_those_of_the_cil(content: PolicyContent, cil) -> None:
    labels = matches(cil, r'\(filecon "(\S+)" (\S+) \(\S+ \S+ (\S+) .*\)\)')
    assert len(labels) == sum(line.startswith("(filecon ") for _, line in cil) > 0
    assert {(f.pattern, f.file_type, f.type) for f in content.file_contexts} == set(labels)
    assert len(content.transitions) == sum(line.startswith("(typetransition ") for _, line in cil)


def test_the_page_is_for_a_person_and_the_long_one_for_an_auditor(found: Inspection) -> None:
    page, whole = as_text(found), as_text(found, verbose=True)
    for text in ("needs (", "uses when present (", "ws_", "$"):
        assert text not in page.partition("File contexts")[0].replace("first-install$", "")
    assert "  adds to attributes: configfile file_type logfile" in page
    assert "      -> guestbook_cache_t:file manage_file_perms\n" in page
    assert "_perms" not in whole
    assert "  needs (type): configfile" in whole
    assert len(page.splitlines()) < len(whole.splitlines())
