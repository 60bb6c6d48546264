"""The subpackage in specs of somebody else: put in, brought up to date, taken out, built, lived."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import tarfile
from functools import cache, partial
from pathlib import Path

import package_tools as tools
import pytest
import shop

from wsgi_sepkg.errors import BuildFailed, ForeignFile, UsageError
from wsgi_sepkg.package import graft
from wsgi_sepkg.project.load import Loaded, load
from wsgi_sepkg.simulate.run import simulate

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is not installed"),
]

SPECS = Path(__file__).parents[1] / "data" / "specs"
NAMES = sorted(p.stem for p in SPECS.glob("*.spec"))
# Those whose macros this distribution has too. The policy of the stub cannot be checked: the one
# whose %check depends on a condition checks it in %install.
BUILT = [
    n
    for n in NAMES
    if n not in ("pyproject-macros", "py3-build", "autospec", "conditions-around-files")
]
TEXT = shop.description(shop.PORT + shop.boolean("httpd_can_sendmail"))


@cache
def loaded() -> Loaded:
    folder = shop.source(tools.work() / "graft", TEXT)
    return load(folder, target="el9")


def text(name: str) -> str:
    return (SPECS / f"{name}.spec").read_bytes().decode()


def lines_put_in(before: str, after: str) -> list[str]:
    """Return the lines of ``after`` that are new; fail when any line was taken out or changed."""
    found = []
    rows = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    for row in rows:
        assert not row.startswith("- "), row
        if row.startswith("+ "):
            found.append(row[2:])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_taking_it_out_gives_back_every_byte(name):
    before = text(name)
    added = graft.add(before, loaded())
    assert added.text != before
    after, files = graft.remove(added.text)
    assert after == before
    assert set(files) == set(added.sources)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_is_touched(name):
    new = lines_put_in(text(name), graft.add(text(name), loaded()).text)
    for section in ("%package selinux", "%description selinux", "%post selinux", "%files selinux"):
        assert f"{section}\n" in new


@pytest.mark.parametrize("name", NAMES)
def test_rpm_reads_the_result_with_and_without_the_policy(name, tmp_path):
    spec = tmp_path / "shop.spec"
    spec.write_text(graft.add(text(name), loaded()).text)
    for option, wanted in ((), True), (("--without", "selinux"), False):
        done = subprocess.run(
            ["rpmspec", "-q", "--qf", "%{NAME} %{ARCH}\n%{DESCRIPTION}\n", *option, spec],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert ("shop-selinux noarch" in done.stdout.splitlines()) is wanted
        assert "wsgisepkg_block" not in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_update_with_the_same_description_changes_nothing(name):
    added = graft.add(text(name), loaded())
    again = graft.add(graft.remove(added.text)[0], loaded())
    assert again == added


def test_adding_twice_is_refused():
    added = graft.add(text("no-build"), loaded())
    with pytest.raises(UsageError, match="already"):
        graft.add(added.text, loaded())


def test_the_rich_dependency_goes_to_the_package_that_has_the_files():
    lines = graft.add(text("several-packages"), loaded()).text.splitlines()
    at = lines.index("%package -n python3-shop")
    assert any("if selinux-policy-targeted)" in row for row in lines[at : at + 8])
    assert not any("if selinux-policy-targeted)" in row for row in lines[:at])
    other = graft.add(text("several-packages"), loaded(), "doc").text.splitlines()
    at = other.index("%package doc")
    assert any("if selinux-policy-targeted)" in row for row in other[at : at + 8])


def test_scriptlets_that_are_there_keep_their_lines_and_get_ours_before_them():
    result = graft.add(text("scriptlets"), loaded()).text
    post = result.partition("\n%post\n")[2].partition("\n%preun")[0]
    assert post.index("shop-selinux.first") < post.index("cat >/dev/null")
    assert post.rstrip().endswith("exit 0")
    assert result.count("\n%post\n") == 1


def test_a_scriptlet_that_is_no_shell_is_left_alone():
    result = graft.add(text("compiled"), loaded()).text
    assert "%post -p /sbin/ldconfig\n" in result
    assert "\n%pre\n" in result


def test_numbers_of_sources_go_on_where_the_spec_ends():
    result = graft.add(text("several-packages"), loaded()).text
    assert "\nSource12:" in result
    assert result.index("Source11:") < result.index("Source12:")


def test_a_bcond_of_the_spec_is_used():
    assert graft.add(text("epoch-and-bcond"), loaded()).text.count("%bcond_without selinux") == 1


def test_the_changelog_is_left_to_its_owner():
    for name in ("autospec", "no-build", "scriptlets"):
        before, after = text(name), graft.add(text(name), loaded()).text
        assert before.partition("\n%changelog")[2] == after.partition("\n%changelog")[2]


def test_an_edit_in_a_block_is_noticed():
    added = graft.add(text("no-build"), loaded()).text
    edited = added.replace("Summary:        SELinux policy", "Summary:        My policy")
    with pytest.raises(ForeignFile, match="package"):
        graft.remove(edited)
    assert graft.remove(edited, force=True)[0] == text("no-build")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Name: shop", "Name: boutique", "the spec is for boutique"),
        ("%install", "%if 0\n%install\necho\n%endif\n%dnl", "condition|no %install|parse"),
        ("Name: shop", "Name: shop\n%if 1", "parse"),
        (
            "%files",
            "%package selinux\nSummary: mine\n%description selinux\n%files selinux\n%files",
            "of its own",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_reason(old, new, words):
    before = text("no-build").replace(old, new, 1)
    with pytest.raises((UsageError, BuildFailed), match=words):
        graft.add(before, loaded())


# -- built, and lived through ----------------------------------------------------------------------


@cache
def built(name: str) -> tuple[Path, ...]:
    """Return the RPMs of a spec with the subpackage, built by rpmbuild."""
    folder = tools.work() / f"graft-{name}"
    sources = folder / "sources"
    inner = sources / "shop-1.0" / "shop"
    inner.mkdir(parents=True)
    (inner / "wsgi.py").write_text("application = print\n")
    added = graft.add(text(name), loaded())
    for file, content in added.sources.items():
        (sources / file).write_bytes(content)
    if name == "compiled":
        (sources / "shop-1.0" / "setup.py").write_text("pass\n")
    if name == "several-packages":
        (sources / "shop-1.0" / "docs").mkdir()
        (sources / "shop-1.0" / "docs" / "a.txt").touch()
        (sources / "shop-1.0" / "Makefile").write_text(
            "docs:\n\ttrue\ninstall:\n\tmkdir -p $(DESTDIR)/usr/share\n"
            "\tcp -a shop $(DESTDIR)/usr/share/\n.PHONY: docs\n"
        )
        (sources / "shop.service").touch()
    for archive in ("shop-1.0", "shop-docs-1.0"):
        with tarfile.open(sources / f"{archive}.tar.gz", "w:gz") as tar:
            tar.add(sources / "shop-1.0", "shop-1.0")
    for other in ("shop-tmpfiles.conf", "LICENSE"):
        (sources / other).touch()
    spec = sources / "shop.spec"
    spec.write_text(added.text)
    defines = ["--define", "_unitdir /usr/lib/systemd/system"]
    for macro in ("systemd_post", "systemd_preun"):
        defines += ["--define", f"{macro} :"]
    return tools.rpmbuild(spec, folder, defines)


@pytest.mark.parametrize("name", BUILT)
def test_it_builds_with_the_scriptlets_of_a_package_of_our_own(name):
    ours = tools.scriptlets(tools.selinux_package(tools.package(TEXT)))
    theirs = tools.scriptlets(tools.selinux_package(built(name)))
    for step in ("PREIN", "POSTIN", "POSTUN", "POSTTRANS", "VERIFYSCRIPT"):
        assert theirs[step].split() == ours[step].split(), step
    files = tools.query(tools.selinux_package(built(name)), "[%{FILENAMES}\n]").split()
    wanted = tools.query(tools.selinux_package(tools.package(TEXT)), "[%{FILENAMES}\n]").split()
    assert sorted(files) == sorted(wanted)


@pytest.mark.parametrize("scenario", ["install-both", "erase-both"])
def test_the_packages_live_through_a_transaction(scenario):
    (outcome,) = simulate(built("several-packages"), scenario)
    assert outcome.skipped == ""
    assert [check for check in outcome.checks if not check.held] == []
    assert outcome.failing == ()


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def run(run):
    return partial(run, "spec")


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a description and a spec beside it."""
    shop.source(tmp_path, TEXT)
    (tmp_path / "shop.spec").write_text(text("no-build"))
    return tmp_path


def listing(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_the_command_adds_updates_and_removes(run, folder):
    before = listing(folder)
    spec = str(folder / "shop.spec")
    assert run("add", spec, "-n")[0] == 0
    assert listing(folder) == before
    assert run("add", spec)[0] == 0
    added = listing(folder)
    assert {"shop.te", "shop.fc", "shop.if", "manifest"} <= set(added)
    assert run("update", spec)[0] == 0
    assert listing(folder) == added
    toml = folder / "wsgi-sepkg.toml"
    toml.write_text(toml.read_text() + '[[connect]]\nto = "smtp"\nreason = "mails"\n')
    assert run("update", spec)[0] == 0
    assert listing(folder)["shop.te"] != added["shop.te"]
    assert run("remove", spec)[0] == 0
    toml.write_bytes(before["wsgi-sepkg.toml"])
    assert listing(folder) == before
    assert run("remove", spec)[0] == 2


def test_a_file_of_the_users_own_is_not_overwritten(run, folder):
    (folder / "shop.te").write_text("mine")
    before = listing(folder)
    status, _, err = run("add", str(folder / "shop.spec"))
    assert status == 2
    assert "shop.te" in err
    assert listing(folder) == before


def test_an_edited_source_is_kept_when_the_subpackage_goes(run, folder):
    spec = str(folder / "shop.spec")
    run("add", spec)
    (folder / "shop.te").write_text("mine")
    assert run("update", spec)[0] == 2
    status, _, err = run("remove", spec)
    assert status == 0
    assert "kept" in err
    assert (folder / "shop.te").read_text() == "mine"
