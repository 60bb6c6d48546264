"""Real transactions of rpm and dnf into a scratch root; the host's packages are stubs of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import package_tools as tools
import pytest
from package_tools import Root
from shop import PATHS, PORT, boolean, description

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="rpm needs root for a scratch root"),
]

FULL = PATHS + (
    'log = "/var/log/shop"\nmedia = "/var/lib/shop-media"\nconfig = "/etc/shop"\n'
    'secret = { path = "/etc/shop/key", variable = "KEY" }\nruntime = "/run/shop"\n'
)
FILE = '\n[[file]]\nsource = "etc/shop.conf"\npath = "/etc/shop/shop.conf"\nconfig = true\n'
REST = FILE + PORT + boolean("httpd_can_sendmail")
USER = 'user = "shop"\n'
FIRST = description(REST, paths=FULL, application=USER)
SECOND = description(REST, version="1.1", paths=FULL, application=USER)
KEY = "/etc/shop/key"


def rpm(root: Root, *words: str | Path, good: bool = True) -> str:
    """Run rpm on the root; return all that was said, but for Debian's advice not to use rpm."""
    done = subprocess.run(
        ["rpm", "--root", root.path, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"LC_ALL": "C"},  # the root has no locales
    )
    said = "".join(
        line
        for line in (done.stdout + done.stderr).splitlines(keepends=True)
        if not line.startswith(("rpm: RPM should not", "rpm: However"))
    )
    assert (done.returncode == 0) == good, said
    return said


def files(root: Root) -> set[str]:
    """Return everything in the root but rpm's own database, and what the stand-ins wrote."""
    found = {str(p.relative_to(root.path)) for p in root.path.rglob("*") if not p.is_symlink()}
    return {p for p in found if "rpm/" not in p + "/" and p not in ("calls", "var/lib/rpm")}


def both(text: str) -> tuple[Path, ...]:
    return tools.package(text)


@pytest.fixture
def bare() -> Root:
    """A root without SELinux, systemd or a policy."""
    root = Root("dash", selinux=False)
    for name in tools.STAND_INS:
        if name not in ("groupadd", "useradd"):
            root.at(f"/usr/sbin/{name}").unlink()
    # What other packages own on a real host.
    for folder in (
        "etc/httpd/conf.d",
        "etc/logrotate.d",
        "usr/lib/tmpfiles.d",
        "usr/lib/sysusers.d",
        "usr/share/selinux/packages",
        "var/log",
        "var/tmp",  # rpm keeps scriptlets there while they run
        "var/lib/rpm-state",
        "var/lib/selinux/targeted/active/modules/200",
    ):
        root.at(folder).mkdir(parents=True, exist_ok=True)
    rpm(root, "--initdb")
    return root


@pytest.fixture
def enforcing() -> Root:
    """A root with SELinux, so far as the stand-ins are SELinux."""
    root = Root("bash")
    root.set_booleans(httpd_can_sendmail=0)
    rpm(root, "--initdb")
    return root


def test_installing_upgrading_reinstalling_and_erasing_fail_nowhere_without_selinux(
    bare: Root,
) -> None:
    said = rpm(bare, "--nodeps", "-i", *both(FIRST))
    said += rpm(bare, "--nodeps", "-U", *both(SECOND))
    said += rpm(bare, "--nodeps", "-U", "--replacepkgs", *both(SECOND))
    said += rpm(bare, "--nodeps", "-e", "shop", "shop-selinux")
    assert said == ""


def test_nothing_is_left_behind_by_an_erased_package(bare: Root) -> None:
    before = files(bare)
    rpm(bare, "--nodeps", "-i", *both(FIRST))
    assert bare.at(KEY).exists()
    rpm(bare, "--nodeps", "-U", *both(SECOND))
    rpm(bare, "--nodeps", "-e", "shop", "shop-selinux")
    assert files(bare) == before


def test_a_downgrade_works_like_an_upgrade(enforcing: Root) -> None:
    rpm(enforcing, "--nodeps", "-i", *both(SECOND))
    rpm(enforcing, "--nodeps", "-U", "--oldpackage", *both(FIRST))
    assert enforcing.modules() == {"200/shop", "200/shop_ports"}


def test_rpm_runs_the_scriptlets_in_the_order_that_the_tests_assume(enforcing: Root) -> None:
    old, new = (tools.selinux_package(both(text)) for text in (FIRST, SECOND))
    rpm(enforcing, "--nodeps", "-i", old)
    rpm(enforcing, "--nodeps", "-U", new)
    by_rpm = enforcing.calls()
    other = Root("bash")
    other.set_booleans(httpd_can_sendmail=0)
    calls = other.install(old), other.upgrade(old, new)
    assert by_rpm == [call for step in calls for call in tools.flat(step)]


def test_a_reinstallation_keeps_the_module_and_the_boolean(enforcing: Root) -> None:
    rpm(enforcing, "--nodeps", "-i", *both(FIRST))
    rpm(enforcing, "--nodeps", "-U", "--replacepkgs", *both(FIRST))
    assert enforcing.modules() == {"200/shop", "200/shop_ports"}
    assert enforcing.boolean("httpd_can_sendmail") == 1
    assert len(enforcing.record()) == 1
    rpm(enforcing, "--nodeps", "-e", "shop", "shop-selinux")
    assert enforcing.modules() == set()
    assert enforcing.boolean("httpd_can_sendmail") == 0
    assert enforcing.record() == []


def test_erasing_says_nothing_of_the_ghost_folder_of_the_module(enforcing: Root) -> None:
    rpm(enforcing, "--nodeps", "-i", *both(FIRST))
    assert rpm(enforcing, "--nodeps", "-e", "shop", "shop-selinux") == ""
    assert not list(enforcing.at("/var/lib/selinux/targeted/active/modules/200").glob("*"))


def test_the_policy_is_loaded_before_the_application_is_unpacked(enforcing: Root) -> None:
    """Then the files are labelled right at unpacking, in whatever order they are named."""
    application, policy = both(FIRST)
    done = subprocess.run(
        ["rpm", "--root", enforcing.path, "--nodeps", "-ivv", application, policy],
        capture_output=True,
        text=True,
    )
    added = [line for line in done.stderr.splitlines() if ": install: " in line and "%" not in line]
    loaded = done.stderr.find("%post(shop-selinux")
    unpacked = done.stderr.find("%post(shop-1.0")
    assert -1 < loaded < unpacked, added


def test_rpm_verify_finds_nothing_to_say_of_a_good_installation(enforcing: Root) -> None:
    for name, uid in (("shop", 990),):
        with enforcing.at("/etc/passwd").open("a") as stream:
            stream.write(f"{name}:x:{uid}:{uid}::/:/sbin/nologin\n")
        with enforcing.at("/etc/group").open("a") as stream:
            stream.write(f"{name}:x:{uid}:\n")
    rpm(enforcing, "--nodeps", "-i", *both(FIRST))
    assert rpm(enforcing, "--nodeps", "-V", "shop-selinux") == ""


def test_rpm_verify_fails_when_the_module_is_not_active(enforcing: Root) -> None:
    rpm(enforcing, "--nodeps", "-i", *both(FIRST))
    shutil.rmtree(enforcing.at("/var/lib/selinux/targeted/active/modules/200/shop"))
    assert "NOT active" in rpm(enforcing, "--nodeps", "-V", "shop-selinux", good=False)


# -- the secret and the configuration --------------------------------------------------------------


def test_the_secret_is_made_at_the_first_installation(enforcing: Root) -> None:
    rpm(enforcing, "--nodeps", "-i", *both(FIRST))
    name, _, key = enforcing.at(KEY).read_text().strip().partition("=")
    assert (name, len(key)) == ("KEY", 64)


def test_two_hosts_have_two_secrets(enforcing: Root, bare: Root) -> None:
    if not enforcing.at("/dev/urandom").is_char_device():
        pytest.skip("no device files in this container")
    for root in (enforcing, bare):
        rpm(root, "--nodeps", "-i", *both(FIRST))
    assert enforcing.at(KEY).read_text() != bare.at(KEY).read_text()


def test_an_upgrade_keeps_the_secret_and_an_edited_configuration(enforcing: Root) -> None:
    rpm(enforcing, "--nodeps", "-i", *both(FIRST))
    enforcing.write("/etc/shop/shop.conf", "colour = blue\n")
    before = enforcing.at(KEY).read_text()
    rpm(enforcing, "--nodeps", "-U", *both(SECOND))
    assert enforcing.at(KEY).read_text() == before
    assert enforcing.at("/etc/shop/shop.conf").read_text() == "colour = blue\n"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_the_secret_is_the_groups_to_read_and_nobody_elses_under_any_umask(umask: int) -> None:
    root = Root("dash")
    root.at("/etc/shop").mkdir()
    script = tools.scriptlets(tools.application_package(both(FIRST)))["POSTIN"]
    assert root.run(f"umask {umask:04o}\n{script}", 1).returncode == 0
    assert root.at(KEY).stat().st_mode & 0o7777 == 0o640
    assert not root.at(f"{KEY}.new").exists()


def test_the_secret_can_be_read_by_nobody_else_while_it_is_made() -> None:
    root = Root("dash")
    root.at("/etc/shop").mkdir()
    root.at("/usr/bin/chmod").unlink()
    root.at("/usr/bin/chown").unlink()
    script = tools.scriptlets(tools.application_package(both(FIRST)))["POSTIN"]
    root.run(f"umask 000\n{script}", 1)
    assert root.at(KEY).stat().st_mode & 0o077 == 0


def test_without_random_numbers_no_secret_is_made_and_that_is_said() -> None:
    root = Root("dash")
    root.at("/etc/shop").mkdir()
    root.at("/dev/urandom").unlink()
    script = tools.scriptlets(tools.application_package(both(FIRST)))["POSTIN"]
    done = root.run(script, 1)
    assert done.returncode == 0
    assert "/etc/shop/key could not be made" in done.stderr
    assert list(root.at("/etc/shop").iterdir()) == []


def test_the_key_is_in_no_trace_of_the_scriptlet() -> None:
    root = Root("dash")
    root.at("/etc/shop").mkdir()
    script = tools.scriptlets(tools.application_package(both(FIRST)))["POSTIN"]
    done = root.run(f"set -x\n{script}", 1)
    key = root.at(KEY).read_text().strip().partition("=")[2] or root.at(KEY).read_text().strip()
    assert len(key) >= 64
    assert key not in done.stderr


def test_a_first_installation_labels_the_files_whoever_came_first() -> None:
    """The policy may be there from an earlier transaction, and rpm without its SELinux plugin."""
    root = Root("dash")
    root.at("/etc/shop").mkdir()
    package = tools.application_package(both(FIRST))
    root.step(package, "POSTIN", 1)
    calls = root.step(package, "POSTTRANS", 1)
    assert any(c.startswith("restorecon -R -i ") and "/usr/share/shop" in c for c in calls)
    assert root.at("/var/lib/rpm-state").exists()
    assert list(root.at("/var/lib/rpm-state").iterdir()) == []


def test_an_upgrade_does_not_label_the_files_again() -> None:
    root = Root("dash")
    root.at("/etc/shop").mkdir()
    package = tools.application_package(both(FIRST))
    root.step(package, "POSTIN", 2)
    calls = root.step(package, "POSTTRANS", 1)
    assert not any("/usr/share/shop" in c for c in calls)


def test_without_selinux_a_first_installation_leaves_no_mark() -> None:
    root = Root("dash", selinux=False)
    root.at("/etc/shop").mkdir()
    package = tools.application_package(both(FIRST))
    root.step(package, "POSTIN", 1)
    assert not root.at("/var/lib/rpm-state").exists()


def test_the_account_is_made_once(enforcing: Root) -> None:
    rpm(enforcing, "--nodeps", "-i", *both(FIRST))
    rpm(enforcing, "--nodeps", "-U", *both(SECOND))
    calls = [c for c in enforcing.calls() if c.startswith(("useradd", "groupadd"))]
    assert calls == [
        "groupadd -r shop",
        "useradd -r -g shop -d /usr/share/shop -s /sbin/nologin shop",
    ]


# -- dependencies ----------------------------------------------------------------------------------

STUBS = {
    # name: what it provides beside itself
    "stub-host": "/bin/sh /usr/bin/python3 coreutils grep sed diffutils gawk bzip2 shadow-utils"
    " logrotate httpd python3 python3-mod_wsgi systemd group(apache) user(apache)",
    "stub-selinux": "policycoreutils libselinux-utils policycoreutils-python-utils",
    "selinux-policy-targeted": "selinux-policy selinux-policy-base",
}


@pytest.fixture(scope="module")
def stubs() -> dict[str, Path]:
    """Packages that stand for those of a distribution."""
    found = {}
    for name, provides in STUBS.items():
        folder = tools.work() / "stubs" / name
        folder.mkdir(parents=True)
        lines = "\n".join(f"Provides: {word}" for word in provides.split())
        spec = folder / "a.spec"
        spec.write_text(
            f"Name: {name}\nVersion: 1\nRelease: 1\nSummary: A stub\nLicense: MIT\n"
            f"BuildArch: noarch\n{lines}\n%description\nA stub.\n%files\n"
        )
        (found[name],) = tools.rpmbuild(spec, folder)
    return found


def installed(root: Root) -> set[str]:
    return set(rpm(root, "-qa", "--qf", "%{NAME} %{VERSION}\n").splitlines())


def dnf(root: Root, repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["dnf", "-y", f"--installroot={root.path}", "--releasever=9", "--disablerepo=*"]
    command += [f"--repofrompath=test,{repository}", "--enablerepo=test", "--nogpgcheck"]
    command += ["--setopt=install_weak_deps=0", f"--setopt=cachedir={root.path}/var/cache/dnf"]
    command += ["--setopt=reposdir=/nonexistent", "--setopt=pluginpath=/nonexistent"]
    return subprocess.run(
        [*command, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"LC_ALL": "C"},
    )


@pytest.fixture(scope="module")
def repository(stubs: dict[str, Path]) -> Path:
    if not shutil.which("dnf") or not shutil.which("createrepo_c"):
        pytest.skip("dnf or createrepo_c is not installed")
    folder = tools.work() / "repository"
    folder.mkdir()
    for path in [*stubs.values(), *both(FIRST), *both(SECOND)]:
        shutil.copy2(path, folder)
    subprocess.run(["createrepo_c", "-q", folder], check=True, capture_output=True)
    return folder


def _install_by_dnf(root: Root, repository: Path, *names: str) -> None:
    done = dnf(root, repository, "install", *names)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dnf_brings_the_policy_along_where_selinux_policy_is(
    enforcing: Root, repository: Path
) -> None:
    _install_by_dnf(enforcing, repository, "selinux-policy-targeted")
    _install_by_dnf(enforcing, repository, "shop")
    assert {"shop 1.1", "shop-selinux 1.1"} <= installed(enforcing)
    assert enforcing.modules() == {"200/shop", "200/shop_ports"}


def test_dnf_brings_no_policy_to_a_host_without_selinux(bare: Root, repository: Path) -> None:
    _install_by_dnf(bare, repository, "shop")
    assert installed(bare) == {"shop 1.1", "stub-host 1"}


def test_dnf_upgrades_both_packages_together(enforcing: Root, repository: Path) -> None:
    _install_by_dnf(enforcing, repository, "selinux-policy-targeted", "shop-1.0")
    assert {"shop 1.0", "shop-selinux 1.0"} <= installed(enforcing)
    done = dnf(enforcing, repository, "upgrade", "shop-selinux")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"shop 1.1", "shop-selinux 1.1"} <= installed(enforcing)


def test_a_new_policy_beside_an_old_application_is_refused(
    enforcing: Root, stubs: dict[str, Path]
) -> None:
    rpm(enforcing, "-i", *stubs.values(), *both(FIRST))
    said = rpm(enforcing, "-U", tools.selinux_package(both(SECOND)), good=False)
    assert "shop-selinux = 1.0-1.el9 if selinux-policy-targeted" in said


def test_the_policy_can_be_erased_only_where_selinux_policy_goes_too(
    enforcing: Root, stubs: dict[str, Path]
) -> None:
    rpm(enforcing, "-i", *stubs.values(), *both(FIRST))
    rpm(enforcing, "-e", "shop-selinux", good=False)
    rpm(enforcing, "-e", "shop-selinux", "selinux-policy-targeted")
    assert "shop 1.0" in installed(enforcing)


def test_each_folder_of_the_policy_package_is_owned(enforcing: Root) -> None:
    """Those that selinux-policy-targeted, a requirement, owns on every release are left out."""
    package = tools.selinux_package(both(FIRST))
    names = tools.query(package, "[%{FILENAMES}\n]").split()
    given = {"/usr/share", "/usr/share/selinux", "/usr/share/selinux/packages"}
    for name in names:
        folder = str(Path(name).parent)
        if not folder.startswith("/var/lib/selinux"):
            assert folder in given | set(names), name
