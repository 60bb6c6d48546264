"""What rpm makes of the rendered spec: headers, files, texts, and twice the same bytes."""

from __future__ import annotations

import json
import marshal
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import package_tools as tools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import PATHS, PORT, boolean, description, source

from wsgi_sepkg.errors import ConfigError
from wsgi_sepkg.package.build import lay_out
from wsgi_sepkg.package.inspect import payload_files
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.project.load import load

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is not installed"),
]
ROOT = Path(__file__).parents[2]
needs_policy = pytest.mark.skipif(
    not Path("/usr/share/selinux/devel/Makefile").exists() or not shutil.which("checkmodule"),
    reason="the headers of the policy, or its compiler, are not installed",
)
SECRET = PATHS + 'config = "/etc/shop"\nsecret = "/etc/shop/key"\nlog = "/var/log/shop"\n'


def lines(package: Path, form: str) -> list[str]:
    return tools.query(package, form).splitlines()


def requirements(package: Path) -> list[str]:
    form = "[%{REQUIRENAME}|%{REQUIREFLAGS:depflags}|%{REQUIREVERSION}\n]"
    return [line.replace("|", " ").strip() for line in lines(package, form)]


def required_for(package: Path, step: str) -> set[str]:
    """Return the requirements of a scriptlet; rpm writes (post) and its like as flag bits."""
    form = "[%{REQUIRENAME} %{REQUIREFLAGS:deptype}\n]"
    return {line.split()[0] for line in lines(package, form) if step in line.split()[-1].split(",")}


@pytest.fixture(scope="module")
def plain() -> tuple[Path, ...]:
    return tools.package(description())


@pytest.fixture(scope="module")
def application(plain: tuple[Path, ...]) -> Path:
    return tools.application_package(plain)


@pytest.fixture(scope="module")
def policy(plain: tuple[Path, ...]) -> Path:
    return tools.selinux_package(plain)


# -- dependencies ----------------------------------------------------------------------------------


def test_the_application_needs_its_policy_in_step_where_selinux_policy_is(
    application: Path,
) -> None:
    assert "(shop-selinux = 1.0-1.el9 if selinux-policy-targeted)" in requirements(application)


def test_the_epoch_is_part_of_what_keeps_both_in_step() -> None:
    package = tools.application_package(tools.package(description(project="epoch = 2")))
    assert "(shop-selinux = 2:1.0-1.el9 if selinux-policy-targeted)" in requirements(package)


def test_the_application_needs_no_tool_of_selinux(application: Path) -> None:
    names = " ".join(r for r in requirements(application) if not r.startswith("("))
    assert not re.search("selinux|policycoreutils", names)


def test_the_policy_is_ordered_before_the_application(application: Path) -> None:
    assert "shop-selinux" in lines(application, "[%{ORDERNAME}\n]")


def test_the_policy_needs_the_base_policy_of_its_type_also_while_it_is_installed(
    policy: Path,
) -> None:
    assert "selinux-policy-targeted" in requirements(policy)
    assert "selinux-policy-targeted" in required_for(policy, "post")


def test_the_policy_does_not_need_the_application(policy: Path) -> None:
    assert not [r for r in requirements(policy) if re.match(r"shop\b", r)]


@pytest.mark.parametrize(
    ("step", "tools_"),
    [
        ("pre", "coreutils libselinux-utils sed"),
        ("post", "coreutils grep libselinux-utils policycoreutils sed"),
        ("postun", "coreutils libselinux-utils policycoreutils sed"),
        ("posttrans", "bzip2 coreutils diffutils grep libselinux-utils policycoreutils sed"),
    ],
)
def test_each_scriptlet_has_the_tools_that_it_calls(policy: Path, step: str, tools_: str) -> None:
    assert set(tools_.split()) <= required_for(policy, step)


def test_semanage_is_needed_only_where_booleans_are_set(policy: Path) -> None:
    with_boolean = tools.selinux_package(tools.package(description(boolean("httpd_can_sendmail"))))
    name = "policycoreutils-python-utils"
    assert name not in requirements(policy)
    for step in ("post", "postun"):
        assert {name, "gawk"} <= required_for(with_boolean, step)


@pytest.mark.parametrize(
    ("family", "version", "python"),
    [("el8", "3.14.3", True), ("el9", "38.1.23", True), ("fedora", "42.1.18", False)],
)
def test_the_distributions_own_requirements_are_taken_where_it_has_them(
    family: str, version: str, python: bool
) -> None:
    package = tools.selinux_package(tools.package(description(), family))
    found = requirements(package)
    assert f"selinux-policy >= {version}" in found
    assert ("policycoreutils-python-utils" in found) == python


def test_both_packages_are_noarch(plain: tuple[Path, ...]) -> None:
    assert {tools.query(package, "%{ARCH}") for package in plain} == {"noarch"}


# -- files -----------------------------------------------------------------------------------------


def listing(package: Path) -> dict[str, str]:
    """Return path: 'MODE OWNER GROUP FLAGS' of the files of a package."""
    form = (
        "[%{FILENAMES}\t%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILEFLAGS:fflags}\n]"
    )
    return {
        name: rest.strip() for name, rest in (line.split("\t") for line in lines(package, form))
    }


def test_the_modules_are_shipped_compressed_and_readable() -> None:
    found = listing(tools.selinux_package(tools.package(description(PORT))))
    for name in ("shop.pp.bz2", "shop_ports.cil.bz2"):
        path = f"/usr/share/selinux/packages/targeted/{name}"
        assert found[path].startswith("-rw-r--r-- root root")
    assert not [path for path in found if path.endswith((".te", ".fc", ".pp", ".cil"))]


def test_the_store_of_each_module_is_a_ghost_that_only_its_owner_is_verified_of() -> None:
    package = tools.selinux_package(tools.package(description(PORT)))
    found = listing(package)
    store = "/var/lib/selinux/targeted/active/modules/200"
    for name in ("shop", "shop_ports"):
        assert found[f"{store}/{name}"].endswith("root root g")
    form = "[%{FILENAMES} %{FILEVERIFYFLAGS:hex}\n]"
    flags = {line.split()[0]: int(line.split()[1], 16) for line in lines(package, form)}
    digest, size, mtime, mode = 1 << 0, 1 << 1, 1 << 5, 1 << 6
    assert not flags[f"{store}/shop"] & (digest | size | mtime | mode)


def test_each_policy_type_has_modules_and_ghosts_of_its_own() -> None:
    project = 'policy-types = ["targeted", "mls"]'
    found = listing(tools.selinux_package(tools.package(description(project=project))))
    for type_ in ("targeted", "mls"):
        assert f"/usr/share/selinux/packages/{type_}/shop.pp.bz2" in found
        assert f"/var/lib/selinux/{type_}/active/modules/200/shop" in found


def test_the_secret_is_an_empty_ghost_readable_by_its_group_alone() -> None:
    package = tools.application_package(tools.package(description(paths=SECRET)))
    assert listing(package)["/etc/shop/key"] == "-rw-r----- root apache g"
    sizes = dict(line.split() for line in lines(package, "[%{FILENAMES} %{FILESIZES}\n]"))
    assert sizes["/etc/shop/key"] == "0"
    assert payload_files(package, ["/etc/shop/key"]).get("/etc/shop/key", b"") == b""


def test_a_secret_of_another_mode_has_it_in_the_header_and_in_the_scriptlet() -> None:
    paths = PATHS + 'secret = { path = "/etc/shop/key", mode = "0440", owner = "apache" }\n'
    package = tools.application_package(tools.package(description(paths=paths)))
    assert listing(package)["/etc/shop/key"] == "-r--r----- apache apache g"
    assert "chmod 0440 /etc/shop/key.new" in tools.scriptlets(package)["POSTIN"]


def test_a_secret_that_is_not_to_be_made_is_owned_all_the_same() -> None:
    paths = PATHS + 'secret = { path = "/etc/shop/key", generate = false }\n'
    package = tools.application_package(tools.package(description(paths=paths)))
    assert listing(package)["/etc/shop/key"].endswith("root apache g")
    assert "urandom" not in str(tools.scriptlets(package))


def test_folders_have_the_owners_and_modes_of_their_use() -> None:
    paths = SECRET + 'media = "/var/lib/shop-media"\n'
    text = description(paths=paths, application='user = "shop"')
    found = listing(tools.application_package(tools.package(text)))
    assert found["/var/lib/shop"] == "drwxr-x--- shop shop"
    assert found["/var/log/shop"] == "drwxr-x--- shop shop"
    assert found["/etc/shop"] == "drwxr-x--- root shop"
    assert found["/var/lib/shop-media"] == "drwxr-s--- shop apache"
    assert found["/usr/share/shop/shop/wsgi.py"] == "-rw-r--r-- root root"


def test_configuration_is_kept_when_it_was_edited() -> None:
    file = '\n[[file]]\nsource = "etc/shop.conf"\npath = "/etc/shop/shop.conf"\nconfig = true\n'
    package = tools.application_package(tools.package(description(file, paths=SECRET)))
    found = listing(package)
    flags = "cn"
    assert found["/etc/shop/shop.conf"] == f"-rw-r----- root apache {flags}"
    for path in ("/etc/httpd/conf.d/shop.conf", "/etc/logrotate.d/shop"):
        assert found[path] == f"-rw-r--r-- root root {flags}"


def test_byte_code_is_checked_by_hash_and_names_the_final_path(application: Path) -> None:
    name = next(n for n in listing(application) if re.search(r"/wsgi\.[^/]*\.pyc$", n))
    code = payload_files(application, [name])[name]
    assert int.from_bytes(code[4:8], "little") == 0b11
    if f"cpython-3{sys.version_info.minor}" in name:
        assert marshal.loads(code[16:]).co_filename == "/usr/share/shop/shop/wsgi.py"


def test_programs_name_their_interpreter(application: Path) -> None:
    path = "/usr/share/shop/manage.py"
    assert payload_files(application, [path])[path].startswith(b"#!/usr/bin/python3\n")


def test_a_policy_alone_makes_one_package_without_a_rich_dependency() -> None:
    (package,) = tools.package(description(application=None))
    assert tools.query(package, "%{NAME}") == "shop-selinux"
    assert not [r for r in requirements(package) if r.startswith("(") or "RichDep" in r]
    assert "selinux-policy-targeted" in requirements(package)


def test_the_application_can_be_built_without_the_policy() -> None:
    folder = tools.work() / "without"
    tree = generate(load(source(folder / "source", description()), target="el9"))
    spec = lay_out(tree, folder / "sources")
    (package,) = tools.rpmbuild(spec, folder, ["--without", "selinux"])
    assert tools.query(package, "%{NAME}") == "shop"
    assert "selinux" not in str(requirements(package))


def test_no_path_of_the_build_gets_into_the_packages(plain: tuple[Path, ...]) -> None:
    for package in plain:
        texts = payload_files(package, listing(package))
        for name, content in texts.items():
            assert str(tools.shared()).encode() not in content, name


# -- rpmlint ---------------------------------------------------------------------------------------


ADDRESS = 'url = "https://www.example.org/shop"'
RPMLINT = Path(sys.executable).parent / "rpmlint"


def complaints(*packages: Path) -> list[str]:
    done = subprocess.run(
        [RPMLINT, "-c", ROOT / "rpmlint.toml", *packages],
        capture_output=True,
        text=True,
    )
    assert "packages and" in done.stdout, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if re.search(r": [EW]: ", line)]


needs_rpmlint = pytest.mark.skipif(not RPMLINT.exists(), reason="rpmlint is not installed")


@needs_rpmlint
@pytest.mark.parametrize("family", tools.FAMILIES)
def test_rpmlint_has_nothing_to_say_of_an_application_with_its_policy(family: str) -> None:
    rest = PORT + boolean("httpd_can_sendmail")
    text = description(rest, paths=SECRET, project=ADDRESS).replace("A shop", "Sells things")
    assert complaints(*tools.package(text, family)) == []


@needs_rpmlint
def test_rpmlint_has_nothing_to_say_of_a_policy_alone() -> None:
    assert complaints(*tools.package(description(PORT, project=ADDRESS, application=None))) == []


# -- hostile texts ---------------------------------------------------------------------------------

CANARY = "/tmp/wsgi-sepkg-canary"
FRAGMENTS = [
    "%",
    "%%",
    "%%%",
    "%{name}",
    "%{lua:os.exit(1)}",
    "%{",
    "%(",
    "%[",
    "%if 1",
    "%endif",
    "%post",
    "%%post",
    "%files",
    "%include /etc/passwd",
    "%define name x",
    "#",
    "# x",
    "${HOME}",
    "`id`",
    f"%(touch {CANARY})",
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    "'",
    '"',
    "\\",
    "\\n",
    "{",
    "}",
    "{{ plan }}",
    "{% if %}",
    "{#",
    "word",
    "ä",
    "* Mon Jan 01 2024",
    "- ",
    ";",
    "&&",
    "<x>",
    "a" * 90,
]
hostile = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=14).map(" ".join)


def parsed(text: str) -> tuple[list[str], list[str], list[str]] | None:
    """Return summaries, descriptions and the changelog as rpm reads them.

    None when the description was refused.
    """
    folder = tools.work() / "hostile"
    try:
        tree = generate(load(source(folder, text), target="el9"))
    except ConfigError:
        return None
    spec = folder / "shop.spec"
    spec.write_bytes(tree.files["shop.spec"])
    form = "%{SUMMARY}\x1e%{DESCRIPTION}\x1e[%{CHANGELOGTEXT}\x1d]\x1e%{NAME}\x1f"
    done = subprocess.run(
        ["rpmspec", "-q", "--qf", form, spec], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert not Path(CANARY).exists()
    records = [record.split("\x1e") for record in done.stdout.split("\x1f") if record]
    assert [record[3] for record in records] == ["shop", "shop-selinux"]
    return (
        [r[0] for r in records],
        [" ".join(r[1].split()) for r in records],
        records[0][2].split("\x1d")[:-1],
    )


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(summary=hostile, paragraph=hostile, reason=hostile, change=hostile)
def test_a_text_is_refused_or_literal_whatever_it_holds(
    summary: str, paragraph: str, reason: str, change: str
) -> None:
    text = description(
        boolean("httpd_can_sendmail").replace('"the shop asks its stock"', quoted(reason)),
        project=f"description = {quoted(paragraph)}",
    )
    text = text.replace('"A shop"', quoted(summary)).replace(
        'text = "1.0"', f"text = {quoted(change)}"
    )
    found = parsed(text)
    if found is None:
        return
    summaries, descriptions, changes = found
    assert summaries[0] == summary
    assert descriptions[0].removeprefix("- ") == " ".join(paragraph.split()).removeprefix("- ")
    assert descriptions[1].endswith(" ".join(reason.split()))
    assert changes == [f"- {change}"]


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_hostile_fragment_is_refused_or_literal_in_each_place(fragment: str) -> None:
    fragment = fragment.strip()
    paragraph = quoted("x " + " ".join([fragment] * 9))
    text = description(project=f"description = {paragraph}")
    text = text.replace('text = "1.0"', f"text = {quoted(fragment)}")
    text = text.replace('"A shop"', quoted(f"A {fragment}"))
    found = parsed(text)
    if found is not None:
        assert found[0][0] == f"A {fragment}"
        assert found[2] == [f"- {fragment}"]


def test_the_environment_of_collectstatic_is_taken_literally() -> None:
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import django"], capture_output=True).returncode:
        pytest.skip("Django is not installed")
    value = f"%(touch {CANARY}) $(touch {CANARY}) `id` %{{name}} 100% '\"\\"
    app = f'static = "collect"\nbuild-environment = {{ HOSTILE = {quoted(value)} }}'
    text = description(application=app, paths=PATHS + 'static = "/usr/share/shop/static"\n')
    text = text.replace('static = "none"\n', "", 1)
    folder = tools.work() / "environment"
    source(folder / "source", text)
    (folder / "source/shop/settings.py").write_text(
        "import os, pathlib\n"
        "here = pathlib.Path(__file__).parent / 'assets'\n"
        "here.mkdir(exist_ok=True)\n"
        "(here / 'value.txt').write_text(os.environ['HOSTILE'])\n"
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['django.contrib.staticfiles']\n"
        "STATIC_URL = '/static/'\nSTATICFILES_DIRS = [str(here)]\n"
    )
    tree = generate(load(folder / "source", target="el9"))
    packages = tools.rpmbuild(lay_out(tree, folder / "sources"), folder)
    path = "/usr/share/shop/static/value.txt"
    assert payload_files(tools.application_package(packages), [path])[path].decode() == value
    assert not Path(CANARY).exists()


# -- real builds -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one() -> dict[str, Path]:
    """The guest book built by the command."""
    return {path.name: path for path in (tools.guestbook() / "out").glob("*.rpm")}


@pytest.fixture(scope="module")
def another() -> dict[str, Path]:
    """The same, built in another place, time, language and home, under another umask."""

    def make(folder: Path) -> None:
        place = folder / "deep" / "elsewhere"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(tools.EXAMPLE, place, ignore=ignore, copy_function=shutil.copyfile)
        (place / "manage.py").chmod(0o755)
        command = [sys.executable, "-m", "wsgi_sepkg", "build", place, "-t", "debian-12"]
        more = {"LANG": "de_DE.UTF-8", "HOME": "/nonexistent", "TZ": "Pacific/Apia"}
        done = subprocess.run(
            [*command, "-o", folder / "out"],
            env=os.environ | more,
            umask=0o077,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    folder = tools.made("guestbook-elsewhere", make)
    return {path.name: path for path in (folder / "out").glob("*.rpm")}


@needs_policy
def test_two_builds_of_one_application_are_the_same_bytes(
    one: dict[str, Path], another: dict[str, Path]
) -> None:
    assert len(one) == 3
    assert {n: p.read_bytes() for n, p in one.items()} == {
        n: p.read_bytes() for n, p in another.items()
    }


@needs_policy
@needs_rpmlint
def test_rpmlint_has_nothing_to_say_of_the_guest_book(one: dict[str, Path]) -> None:
    assert complaints(*one.values()) == []


APACHE = shutil.which("apache2", path="/usr/sbin:/usr/bin") or shutil.which(
    "httpd", path="/usr/sbin"
)
MODULES = next(
    (p for p in map(Path, ("/usr/lib/apache2/modules", "/etc/httpd/modules")) if p.is_dir()), None
)


def snippets(text: str, target: str = "el9") -> dict[str, bytes]:
    """Return the generated files of a description by their names."""
    tree = generate(load(source(tools.work() / "snippets", text), target=target))
    return {name.rpartition("/")[2]: content for name, content in tree.files.items()}


@pytest.mark.skipif(
    not APACHE or MODULES is None or not (MODULES / "mod_wsgi.so").exists(),
    reason="Apache with mod_wsgi is not installed",
)
@pytest.mark.parametrize("more", ["", 'url = "/shop"\nmedia-url = ""\n', 'user = "daemon"\n'])
def test_apache_accepts_the_configuration_that_is_shipped(more: str, tmp_path: Path) -> None:
    assert MODULES is not None
    paths = PATHS + 'static = "/usr/share/shop/static"\nmedia = "/var/lib/shop.media+1"\n'
    app = description(application=more, paths=paths).replace('"none"', '"prebuilt"')
    conf = tmp_path / "shop.conf"
    target = "debian-12" if "apache2" in str(APACHE) else "el9"
    conf.write_bytes(snippets(app, target)["shop.conf"])
    wanted = ("mpm_event", "unixd", "authz_core", "alias", "mime", "dir", "wsgi")
    load = [
        f"LoadModule {m}_module {MODULES}/mod_{m}.so\n"
        for m in wanted
        if (MODULES / f"mod_{m}.so").exists()
    ]
    base = tmp_path / "httpd.conf"
    base.write_text(
        f"ServerRoot {tmp_path}\nServerName localhost\nListen 127.0.0.1:18999\nErrorLog /dev/null\n"
        f"PidFile {tmp_path}/pid\n{''.join(load)}TypesConfig /dev/null\nInclude {conf}\n"
    )
    done = subprocess.run([APACHE, "-t", "-f", base], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Syntax OK" in done.stdout + done.stderr


NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
@pytest.mark.parametrize("upstream", ["unix:/run/shop/web.sock", "127.0.0.1:8801"])
def test_nginx_accepts_the_configuration_that_is_shipped(upstream: str, tmp_path: Path) -> None:
    app = f'server = "nginx"\nupstream = "{upstream}"'
    conf = tmp_path / "shop.conf"
    conf.write_bytes(snippets(description(application=app))["shop.conf"])
    base = tmp_path / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    base.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}include {conf};\n}}\n"
    )
    done = subprocess.run([NGINX, "-t", "-p", tmp_path, "-c", base], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


LOGROTATE = shutil.which("logrotate", path="/usr/sbin:/usr/bin")


@pytest.mark.skipif(not LOGROTATE, reason="logrotate is not installed")
def test_logrotate_accepts_what_is_shipped(tmp_path: Path) -> None:
    text = snippets(description(paths=SECRET))["shop.logrotate"].decode()
    conf = tmp_path / "shop"
    conf.write_text(text.replace("apache", "root"))
    done = subprocess.run([LOGROTATE, "-d", conf], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "error:" not in done.stderr


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="systemd is not installed")
def test_systemd_makes_the_folders_that_are_shipped(tmp_path: Path) -> None:
    paths = SECRET + 'runtime = "/run/shop"\n'
    text = snippets(description(paths=paths))["shop.tmpfiles"].decode()
    conf = tmp_path / "etc" / "shop.conf"
    conf.parent.mkdir()
    conf.write_text(text.replace("apache", "root"))
    done = subprocess.run(
        ["systemd-tmpfiles", f"--root={tmp_path}", "--create", conf],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for folder in ("run/shop", "var/lib/shop", "var/log/shop"):
        assert (tmp_path / folder).stat().st_mode & 0o7777 == 0o750


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="systemd is not installed")
def test_systemd_makes_the_account_that_is_shipped(tmp_path: Path) -> None:
    text = snippets(description(application='user = "shop"'))["shop.sysusers"]
    (tmp_path / "etc").mkdir()
    conf = tmp_path / "shop.conf"
    conf.write_bytes(text)
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", conf], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^shop:x:\d+:\d+:shop:/usr/share/shop:/s?bin/nologin$|^shop:.*nologin$",
        (tmp_path / "etc/passwd").read_text(),
        re.MULTILINE,
    )
