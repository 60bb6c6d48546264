"""Description and policy become a plan: names, owners, what is relabelled and what is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wsgi_sepkg.package.model import Plan
from wsgi_sepkg.package.plan import payload_name
from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.project.load import load

DESCRIPTION = """
[project]
name = "shop"
version = "{version}"
summary = "A shop"
license = "MIT"
maintainer = "Example Ltd <packages@example.org>"
targets = ["el9"]
{project}
{changelog}
{application}
[path]
{path}
{rest}
"""
APPLICATION = """
[application]
root = "/usr/share/shop"
wsgi = "shop.wsgi:application"
settings = "shop.settings"
static = "none"
"""
CHANGELOG = '[[changelog]]\ndate = 2026-11-20\ntext = "x"\n'
DATA = 'data = "/var/lib/shop"\n'


@pytest.fixture
def tree(tmp_path: Path):
    """Return a maker of trees from the parts of a description."""

    def make(
        path: str = DATA,
        project: str = "",
        rest: str = "",
        application: str = APPLICATION,
        changelog: str = CHANGELOG,
        version: str = "1.0",
    ) -> Tree:
        (tmp_path / "shop").mkdir(exist_ok=True)
        for name in ("shop/__init__.py", "shop/wsgi.py", "shop/settings.py", "shop.conf"):
            (tmp_path / name).touch()
        (tmp_path / "wsgi-sepkg.toml").write_text(
            DESCRIPTION.format(
                path=path,
                project=project,
                rest=rest,
                application=application,
                changelog=changelog,
                version=version,
            )
        )
        return generate(load(tmp_path, target="el9"))

    return make


def entries(plan: Plan) -> dict[str, str]:
    assert plan.application is not None
    return {entry.path: entry.directives for entry in plan.application.files}


def test_own_folders_are_relabelled_when_the_module_goes(tree) -> None:
    assert tree().plan.relabel_paths == ("/usr/share/shop", "/var/lib/shop")


def test_a_folder_inside_another_is_not_relabelled_twice(tree) -> None:
    path = 'data = "/var/lib/shop"\nmedia = "/var/lib/shop/media"\n'
    assert tree(path).plan.relabel_paths == ("/usr/share/shop", "/var/lib/shop")


@pytest.mark.parametrize("folder", ["/mnt/shop", "/var/tmp/shop"])
def test_what_fixfiles_leaves_out_is_known(folder: str, tree) -> None:
    plan = tree(f'data = "{folder}/data"\n').plan
    assert plan.skipped_paths == (f"{folder}/data",)


def test_what_fixfiles_finds_is_not_relabelled_by_name(tree) -> None:
    assert tree().plan.skipped_paths == ()


def test_a_policy_alone_is_named_selinux(tree) -> None:
    plan = tree(application="").plan
    assert (plan.name, plan.selinux_name) == ("shop-selinux", "shop-selinux")


def test_the_policy_of_an_application_is_named_after_it(tree) -> None:
    assert tree().plan.selinux_name == "shop-selinux"


def test_logs_bring_logrotate_and_nothing_else_does(tree) -> None:
    with_logs = tree('log = "/var/log/shop"\n').plan.application
    without = tree().plan.application
    assert "logrotate" in with_logs.requires
    assert "logrotate" not in without.requires


def test_folders_in_run_are_made_by_tmpfiles_and_never_owned(tree) -> None:
    made = tree(DATA + 'runtime = "/run/shop"\n')
    assert "/run/shop" not in entries(made.plan)
    assert b"d /run/shop 0750 apache apache -" in made.files["packaging/shop.tmpfiles"]


def test_a_secret_keeps_the_mode_that_was_asked_for(tree) -> None:
    plan = tree('secret = { path = "/etc/shop/key", mode = "0440" }\n').plan
    (secret,) = plan.application.secrets
    assert (secret.mode, secret.owner, secret.group) == ("0440", "root", "apache")
    assert entries(plan)["/etc/shop/key"] == "%ghost %attr(0440,root,apache)"


def test_each_boolean_says_when_it_is_set(tree) -> None:
    rest = '[[boolean]]\nname = "httpd_can_sendmail"\nvalue = true\nreason = "mails"\n'
    made = tree(rest=rest)
    assert [b.word for b in made.plan.booleans] == ["httpd_can_sendmail=1:first-install"]
    manifest = made.files["packaging/manifest"].decode().splitlines()
    assert "boolean httpd_can_sendmail 1 first-install" in manifest


def test_the_manifest_changes_when_a_context_does(tree) -> None:
    one, same, other = tree(), tree(version="1.1"), tree('data = "/var/lib/shop2"\n')
    manifests = [made.files["packaging/manifest"] for made in (one, same, other)]
    assert manifests[0] == manifests[1] != manifests[2]


def test_the_first_changelog_entry_has_the_version_of_the_package(tree) -> None:
    plan = tree(project="epoch = 1\nrelease = 4", version="2.0rc1").plan
    assert plan.changelog[0].version == "1:2.0~rc1-4"


def test_without_a_changelog_the_newest_source_decides_the_day(
    tree,
    tmp_path: Path,
) -> None:
    tree(changelog="")
    for file in tmp_path.rglob("*"):
        os.utime(file, (0, 1_000_000_000))
    os.utime(tmp_path / "shop/wsgi.py", (0, 1_500_000_000))
    plan = generate(load(tmp_path, target="el9")).plan
    assert plan.changelog[0].date.isoformat() == "2017-07-14"


def test_the_same_description_gives_the_same_spec(tree) -> None:
    assert tree().files == tree().files


def test_two_payloads_of_one_name_stay_apart() -> None:
    assert payload_name("/etc/shop/a.conf") != payload_name("/usr/share/shop/a.conf")
