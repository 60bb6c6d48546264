"""Real packages by rpmbuild, a real module by the policy's Makefile, compared with rpm and CIL."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import pytest
from policy_tools import Statements, matches, rules, statements

from wsgi_sepkg.errors import NotAnRpm, ToolMissing
from wsgi_sepkg.package import inspect as room
from wsgi_sepkg.package.inspect import PP_TO_CIL, PolicyContent, inspect
from wsgi_sepkg.report.inspection import as_json, as_text

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is not installed"),
]
MAKEFILE = Path("/usr/share/selinux/devel/Makefile")
FOLDER = "/usr/share/selinux/packages/targeted"

TE = """policy_module(shop, 1.0)
gen_require(`
    type var_t;
    type mysqld_t;
')
attribute shop_domain;
type shop_t, shop_domain;
type shop_exec_t;
init_daemon_domain(shop_t, shop_exec_t)
type shop_var_t;
files_type(shop_var_t)
gen_tunable(shop_network, true)
tunable_policy(`shop_network',`
    allow shop_t self:tcp_socket { create connect };
',`
    dontaudit shop_t self:udp_socket create;
')
optional_policy(`
    gen_require(`
        type postgresql_t;
    ')
    allow shop_t postgresql_t:unix_stream_socket connectto;
')
allow shop_t mysqld_t:fd use;
filetrans_pattern(shop_t, var_t, shop_var_t, file, "shop.db")
permissive shop_t;
"""
FC = """/srv/shop(/.*)?\tgen_context(system_u:object_r:shop_var_t,s0)
/usr/bin/shop\t--\tgen_context(system_u:object_r:shop_exec_t,s0)
/srv/shop/tmp(/.*)?\t<<none>>
"""

Build = Callable[..., Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build a package from the lines of a spec file; ``payload`` is rpm's name of it."""

    def make(preamble: str, install: str, rest: str, payload: str = "w9.gzdio") -> Path:
        top = tmp_path_factory.mktemp("rpm")
        spec = top / "a.spec"
        spec.write_text(
            f"Name: a\nVersion: 1\nRelease: 2\nSummary: Sümmary\nLicense: MIT\n{preamble}\n"
            f"%description\nx\n%prep\n%build\n%install\nmkdir -p %{{buildroot}}\n{install}\n{rest}",
            encoding="utf-8",
        )
        command = ["rpmbuild", "-bb", "--nodeps", "-D", f"_topdir {top}"]
        command += ["-D", f"_binary_payload {payload}", str(spec)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        (path,) = (top / "RPMS").rglob("*.rpm")
        return path

    return make


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled module, shop.pp."""
    if not MAKEFILE.exists() or not Path(PP_TO_CIL).exists():
        pytest.skip("the policy's Makefile or hll/pp is not installed")
    folder = tmp_path_factory.mktemp("policy")
    (folder / "shop.te").write_text(TE)
    (folder / "shop.fc").write_text(FC)
    done = subprocess.run(
        ["make", "-f", str(MAKEFILE), "NAME=default", "shop.pp"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "shop.pp"


@pytest.fixture(scope="module")
def linked(build: Build, module: Path) -> Callable[[str], Path]:
    """Packages with the module as .pp, as a hard link to it, and as .pp.bz2, by payload."""
    made: dict[str, Path] = {}
    install = f"""mkdir -p %{{buildroot}}{FOLDER}
cp {module} %{{buildroot}}{FOLDER}/shop.pp
ln %{{buildroot}}{FOLDER}/shop.pp %{{buildroot}}{FOLDER}/again.pp
bzip2 -9c {module} > %{{buildroot}}{FOLDER}/other.pp.bz2"""

    def get(payload: str) -> Path:
        if payload not in made:
            made[payload] = build("BuildArch: noarch", install, f"%files\n{FOLDER}\n", payload)
        return made[payload]

    return get


@pytest.fixture(scope="module")
def content(linked: Callable[[str], Path]) -> PolicyContent:
    found = inspect(linked("w9.gzdio")).modules[0].content
    assert found is not None
    return found


@pytest.fixture(scope="module")
def cil(module: Path) -> Statements:
    return statements(module)


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ("w9.gzdio", "gzip"),
        ("w7.xzdio", "xz"),
        ("w19.zstdio", "zstd"),
        ("w9.bzdio", "bzip2"),
        ("w.ufdio", "none"),
        ("w9.lzdio", "lzma"),
    ],
)
def test_every_payload_gives_the_same_modules(
    linked: Callable[[str], Path], content: PolicyContent, payload: str, name: str
) -> None:
    found = inspect(linked(payload))
    assert (found.payload, found.notes) == (name, ())
    assert [(Path(m.path).name, m.name, m.note) for m in found.modules] == [
        ("again.pp", "shop", ""),
        ("other.pp.bz2", "shop", ""),
        ("shop.pp", "shop", ""),
    ]
    assert all(m.content == content for m in found.modules)


@pytest.mark.parametrize("hidden", [[], ["rpm2archive"]])
def test_a_payload_that_is_not_walked_here_is_read_by_a_tool(
    linked: Callable[[str], Path],
    content: PolicyContent,
    monkeypatch: pytest.MonkeyPatch,
    hidden: list[str],
) -> None:
    """The refusal stands in for format 6, which rpm 4 cannot build; the tools are real."""
    find = room.process.find

    def refuse(*_: object) -> None:
        raise room._UnwalkableError("a test")

    def hide(tool: str, why: str = "") -> str:
        if tool in hidden:
            raise ToolMissing(tool)
        return find(tool, why)

    monkeypatch.setattr(room, "_opened", refuse)
    monkeypatch.setattr(room.process, "find", hide)
    path = linked("w9.lzdio")
    before = sorted(path.parent.iterdir())
    found = inspect(path)
    assert ("rpm2cpio" if hidden else "rpm2archive") in found.notes[0]
    assert [m.content == content for m in found.modules] == [True, True, True]
    assert sorted(path.parent.iterdir()) == before


def test_declarations_are_those_of_the_cil(content: PolicyContent, cil) -> None:
    assert set(content.types) == {n for (n,) in matches(cil, r"\(type (\S+)\)")}
    attributes = {n for (n,) in matches(cil, r"\(typeattribute (\S+)\)")} - {"cil_gen_require"}
    assert set(content.attributes) == attributes
    assert set(content.types) == {"shop_t", "shop_exec_t", "shop_var_t"}
    booleans = {(n, v == "true") for n, v in matches(cil, r"\(boolean (\S+) (\S+)\)")}
    assert set(content.booleans) == booleans == {("shop_network", True)}
    assert set(content.permissive) == {n for (n,) in matches(cil, r"\(typepermissive (\S+)\)")}


def test_rules_are_those_of_the_cil(content: PolicyContent, cil) -> None:
    expected = rules(cil)
    assert len(expected) > 50
    assert set(map(astuple, content.rules)) == expected


def test_transitions_and_file_contexts_are_those_of_the_cil(content: PolicyContent, cil) -> None:
    plain = matches(cil, r"\(typetransition (\S+) (\S+) (\S+) (\S+)\)")
    named = matches(cil, r'\(typetransition (\S+) (\S+) (\S+) "(\S+)" (\S+)\)')
    expected = {(a, b, c, d, "") for a, b, c, d in plain}
    expected |= {(a, b, c, d, name) for a, b, c, name, d in named}
    assert {
        (t.source, t.target, t.cls, t.default, t.file_name) for t in content.transitions
    } == expected
    assert ("shop_t", "var_t", "file", "shop_var_t", "shop.db") in expected
    labelled = matches(cil, r'\(filecon "(\S+)" (\S+) \(\S+ \S+ (\S+) .*\)\)')
    empty = matches(cil, r'\(filecon "(\S+)" (\S+) \(\)\)')
    contexts = {(f.pattern, f.file_type, f.type) for f in content.file_contexts}
    assert contexts == {*labelled, *((p, t, "<<none>>") for p, t in empty)}
    assert len(contexts) == 3


def test_what_the_module_needs_is_known(content: PolicyContent) -> None:
    required, optional = dict(content.required), dict(content.required_optional)
    assert {"var_t", "mysqld_t", "init_t"} <= set(required["type"])
    assert "postgresql_t" in optional["type"]
    assert "shop_t" not in required["type"]


def test_headers_agree_with_rpm(build: Build) -> None:
    install = """mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
echo a > %{buildroot}/usr/bin/x; echo b > %{buildroot}/etc/x.conf; ln -s x %{buildroot}/usr/bin/y"""
    rest = """%files
%attr(6755,root,daemon) /usr/bin/x
/usr/bin/y
%config(noreplace) /etc/x.conf
%ghost /var/lib/x
"""
    preamble = """Epoch: 3
Requires(post): policycoreutils >= 2.9
Requires(preun,posttrans): sed
Requires: (b-selinux if selinux-policy-targeted)
Conflicts: old < 1
Obsoletes: older <= 2
Recommends: c
OrderWithRequires: d"""
    path = build(
        preamble, install + "\nmkdir -p %{buildroot}/var/lib; touch %{buildroot}/var/lib/x", rest
    )
    found = inspect(path)

    def ask(form: str) -> list[str]:
        command = ["rpm", "-qp", "--qf", form, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )

    (nevra,) = ask("%{NAME}-%{EPOCH}:%{VERSION}-%{RELEASE}.%{ARCH}")
    assert (str(found.nevra), found.summary) == (nevra, "Sümmary")
    requires = {str(d) for d in (*found.dependencies.requires, *found.dependencies.rpmlib)}
    told = ask("[%{REQUIRENAME} %{REQUIREFLAGS:depflags} %{REQUIREVERSION}\n]")
    assert requires == {" ".join(line.split()) for line in told if line}
    flagged = {d.name: d.when for d in found.dependencies.requires}
    assert flagged["sed"] == ("posttrans", "preun")
    assert flagged["policycoreutils"] == ("post",)
    assert [str(d) for d in found.dependencies.conflicts] == ["old < 1"]
    assert [str(d) for d in found.dependencies.obsoletes] == ["older <= 2"]
    assert [str(d) for d in found.dependencies.recommends] == ["c"]
    assert [str(d) for d in found.dependencies.order_with] == ["d"]
    listed = ask(
        "[%{FILENAMES}|%{FILEMODES:octal}|%{FILEUSERNAME}|%{FILEGROUPNAME}|%{FILEDIGESTS}\n]"
    )
    assert [
        f"{f.path}|{f.mode & 0o177777:o}|{f.user}|{f.group}|{f.digest}" for f in found.files
    ] == sorted(line for line in listed if line)
    by_path = {f.path: f for f in found.files}
    assert by_path["/usr/bin/x"].special_bits == ("setuid", "setgid")
    assert by_path["/usr/bin/y"].link == "x"
    assert by_path["/etc/x.conf"].flags == ("config", "noreplace")
    assert by_path["/var/lib/x"].flags == ("ghost",)
    assert found.modules == ()


def test_the_pattern_of_sepolicy_generate_is_blamed(build: Build, module: Path) -> None:
    """Priority 400, restorecon on every run, nothing kept: what ``sepolicy generate`` writes."""
    install = f"install -D -m 600 {module} %{{buildroot}}/usr/share/selinux/packages/shop.pp"
    rest = """%post
semodule -n -i /usr/share/selinux/packages/shop.pp
if /usr/sbin/selinuxenabled ; then
    /usr/sbin/load_policy
    restorecon -R /usr/bin/shop
    restorecon -R /var/lib
fi
exit 0
%postun
if [ $1 -eq 0 ]; then
    semodule -n -r shop
    if /usr/sbin/selinuxenabled ; then
       /usr/sbin/load_policy
    fi
fi
exit 0
%preun -p /sbin/ldconfig
%posttrans -p <lua>
print("x")
%triggerin -- selinux-policy, httpd
setsebool -P httpd_use_nfs 1
%files
%attr(0600,root,root) /usr/share/selinux/packages/shop.pp
"""
    found = inspect(build("BuildArch: noarch", install, rest))
    codes = [f.code for f in found.findings]
    assert set(codes) == {
        "boolean-no-way-back",
        "may-fail",
        "not-shell",
        "permissive",
        "priority-400",
        "relabel-whole-tree",
        "trigger-on-policy",
    }
    assert codes.count("relabel-whole-tree") == 1
    assert [s.name for s in found.scriptlets] == [
        "post",
        "preun",
        "postun",
        "posttrans",
        "triggerin -- httpd, selinux-policy",
    ]
    assert [(b.name, b.value) for b in found.booleans] == [("httpd_use_nfs", "1")]
    page = as_text(found)
    assert "puts policy module shop" in page
    assert as_json(found) == as_json(found)


def test_a_package_without_policy_says_none(build: Build) -> None:
    found = inspect(build("", "touch %{buildroot}/x", "%files\n/x\n"))
    assert (found.modules, found.findings, found.scriptlets) == ((), (), ())
    assert "Policy modules\n==============\nnone\n" in as_text(found)


@pytest.mark.parametrize("payload", ["w9.gzdio", "w19.zstdio", "w.ufdio"])
def test_a_cut_or_changed_package_is_refused(
    linked: Callable[[str], Path], tmp_path: Path, payload: str
) -> None:
    data = linked(payload).read_bytes()
    path = tmp_path / "x.rpm"
    for place in (10, 97, 500, 3000, len(data) // 2, len(data) - 10):
        path.write_bytes(data[:place])
        with pytest.raises(NotAnRpm):
            inspect(path)
    header = data.index(b"\x8e\xad\xe8", 200)  # the second one: the first, of signatures, is open
    for place in (header + 500, len(data) // 2, len(data) - 10):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(NotAnRpm):
            inspect(path)
