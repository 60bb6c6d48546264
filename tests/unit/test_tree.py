"""The generated tree: what is in it, and how carefully it is written."""

from __future__ import annotations

import json
import os

import pytest

from wsgi_sepkg.errors import ForeignFile, WsgiSepkgError
from wsgi_sepkg.package import tree as trees
from wsgi_sepkg.project.load import load


def tree_of(folder, target="debian-12"):
    return trees.generate(load(folder, target))


def test_the_same_description_gives_the_same_bytes(project):
    folder = project()
    assert tree_of(folder).files == tree_of(folder).files


def test_the_tree_holds_policy_spec_and_what_serves_the_application(project):
    assert set(tree_of(project('log = "/var/log/shop"\n')).files) == {
        "shop.spec",
        "selinux/shop.te",
        "selinux/shop.fc",
        "selinux/shop.if",
        "packaging/manifest",
        "packaging/policy-check.py",
        "packaging/policy-check.json",
        "packaging/build-application.py",
        "packaging/shop.conf",
        "packaging/shop.logrotate",
        "packaging/shop.tmpfiles",
    }


def test_a_project_with_ports_has_a_cil_module_of_its_own(project):
    tree = tree_of(project("[[connect]]\nport = 9199\nreason = 'search'\n"))
    text = tree.files["selinux/shop_ports.cil"].decode()
    assert "(portcon tcp 9199 (system_u object_r shop_9199_port_t ((s0) (s0))))" in text


def test_a_policy_only_project_packages_no_application(project):
    base = (
        '[project]\nname = "site"\nversion = "1"\nsummary = "x"\nlicense = "MIT"\n'
        'maintainer = "A <a@b.example>"\n[[changelog]]\ndate = 2026-01-05\ntext = "x"\n'
        '[path]\nmedia = "/srv/site/media"\n'
    )
    tree = tree_of(project(base=base))
    assert tree.spec_name == "site-selinux.spec"
    assert "packaging/site.conf" not in tree.files
    assert "Requires:       (" not in tree.files["site-selinux.spec"].decode()


def test_writing_twice_changes_nothing_the_second_time(project, tmp_path):
    tree = tree_of(project())
    first = trees.write(tree, tmp_path / "out")
    second = trees.write(tree, tmp_path / "out")
    assert set(first.written) == set(tree.files)
    assert second.written == ()
    assert set(second.unchanged) == set(tree.files)


def test_an_edited_file_is_not_overwritten(project, tmp_path):
    out = tmp_path / "out"
    trees.write(tree_of(project()), out)
    (out / "selinux" / "shop.te").write_text("# mine\n")
    before = (out / "selinux" / "shop.fc").read_bytes()
    with pytest.raises(ForeignFile, match=r"shop\.te"):
        trees.write(tree_of(project('cache = "/var/cache/shop"\n')), out)
    assert (out / "selinux" / "shop.te").read_text() == "# mine\n"
    assert (out / "selinux" / "shop.fc").read_bytes() == before


def test_force_overwrites_it(project, tmp_path):
    out = tmp_path / "out"
    tree = tree_of(project())
    trees.write(tree, out)
    (out / "selinux" / "shop.te").write_text("# mine\n")
    trees.write(tree, out, force=True)
    assert (out / "selinux" / "shop.te").read_bytes() == tree.files["selinux/shop.te"]


def test_a_file_that_is_not_ours_is_not_overwritten(project, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "shop.spec").write_text("Name: mine\n")
    with pytest.raises(ForeignFile, match=r"shop\.spec"):
        trees.write(tree_of(project()), out)
    assert sorted(p.name for p in out.iterdir()) == ["shop.spec"]


def test_a_file_that_is_no_longer_wanted_goes_unless_it_was_edited(project, tmp_path):
    out = tmp_path / "out"
    trees.write(tree_of(project("[[connect]]\nport = 9199\nreason = 's'\n")), out)
    done = trees.write(tree_of(project()), out)
    assert done.removed == ("selinux/shop_ports.cil",)
    assert not (out / "selinux" / "shop_ports.cil").exists()


def test_a_dry_run_writes_nothing(project, tmp_path):
    done = trees.write(tree_of(project()), tmp_path / "out", dry_run=True)
    assert done.written
    assert not (tmp_path / "out").exists()


def test_hand_written_additions_are_sources_and_survive(project):
    folder = project()
    trees.write(tree_of(folder), folder)
    (folder / "selinux" / "local.te").write_text("# by hand\n")
    tree = tree_of(folder)
    assert tree.sources["local.te"] == b"# by hand\n"
    trees.write(tree, folder)
    assert (folder / "selinux" / "local.te").read_text() == "# by hand\n"
    assert "cat local.te >>shop.te" in tree.files["shop.spec"].decode()


def test_a_failing_write_leaves_the_folder_as_it_was(project, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "keep").write_text("x")
    calls = []
    real = os.fdopen

    def full(handle, *args, **kwargs):
        calls.append(handle)
        if len(calls) == 4:
            os.close(handle)
            raise OSError(28, "No space left on device")
        return real(handle, *args, **kwargs)

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(WsgiSepkgError, match="No space left"):
        trees.write(tree_of(project()), out)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*")) == ["keep"]


def test_the_archive_leaves_out_the_description_and_what_is_generated(project):
    folder = project()
    trees.write(tree_of(folder), folder)
    members = {p.as_posix() for p in tree_of(folder).archive_members()}
    assert members >= {"manage.py", "shop/wsgi.py", "shop/settings.py"}
    assert not any(m.startswith(("selinux/", "packaging/")) for m in members)
    assert not members & {"wsgi-sepkg.toml", "shop.spec", ".wsgi-sepkg.json"}


def test_the_check_file_carries_every_promise_with_its_key(project):
    tree = tree_of(project())
    data = json.loads(tree.files["packaging/policy-check.json"])
    assert data["module"] == {"name": "shop", "priority": 200}
    assert {e["key"] for e in data["expect"]} == {"application.root", "path.media"}
    assert all(e["reason"] for e in data["expect"])


def test_the_version_of_a_pipeline_overrides_the_description(project):
    loaded = load(project(), "debian-12", ["project.version=2.5rc1"])
    assert "Version:        2.5~rc1" in trees.generate(loaded).files["shop.spec"].decode()
