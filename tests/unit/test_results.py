"""Nothing half-written: results appear whole or not at all; failures say what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wsgi_sepkg import process
from wsgi_sepkg.engines.rpmbuild import move_results
from wsgi_sepkg.errors import BuildFailed, ToolFailed, ToolMissing, WsgiSepkgError
from wsgi_sepkg.package import build as builder
from wsgi_sepkg.package import tree as trees
from wsgi_sepkg.policy.compile import compile_failure
from wsgi_sepkg.project.load import load


def test_a_full_disk_leaves_no_package_behind(tmp_path, monkeypatch):
    packages = []
    for name in ("a.rpm", "b.rpm"):
        (tmp_path / name).write_bytes(b"x")
        packages.append(tmp_path / name)
    real = shutil.copyfile

    def copy(source, destination):
        if Path(source).name == "b.rpm":
            Path(destination).write_bytes(b"")
            raise OSError(28, "No space left on device")
        return real(source, destination)

    monkeypatch.setattr(shutil, "copyfile", copy)
    with pytest.raises(OSError, match="No space"):
        move_results(tuple(packages), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_build_keeps_its_log_and_names_it(project, tmp_path, monkeypatch):
    tree = trees.generate(load(project(), "debian-12"))

    class Broken:
        name = "rpmbuild"

        def build(self, request):
            log = request.work / "rpmbuild.log"
            log.write_text("the whole story\n")
            raise BuildFailed("it broke", f"the whole log: {log}")

    monkeypatch.setattr(builder, "Rpmbuild", Broken)
    monkeypatch.setattr(builder, "headers_for", lambda *_: type("H", (), {"folder": None}))
    with pytest.raises(BuildFailed) as caught:
        builder.build(tree, tmp_path / "out")
    assert caught.value.exit_status == 4
    assert str(tmp_path / "out" / "rpmbuild.log") in caught.value.hint
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["rpmbuild.log"]


def test_a_disk_error_in_a_build_is_one_clear_error(project, tmp_path, monkeypatch):
    tree = trees.generate(load(project(), "debian-12"))

    class Full:
        name = "rpmbuild"

        def build(self, request):
            raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(builder, "Rpmbuild", Full)
    monkeypatch.setattr(builder, "headers_for", lambda *_: type("H", (), {"folder": None}))
    with pytest.raises(WsgiSepkgError, match="No space left"):
        builder.build(tree, tmp_path / "out")


def test_a_missing_tool_names_its_packages_for_apt_and_dnf(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(process.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ToolMissing) as caught:
        process.run(["checkmodule", "-V"], why="compiling the policy")
    assert caught.value.exit_status == 3
    assert "apt-get install checkpolicy" in str(caught.value)
    assert "dnf install checkpolicy" in str(caught.value)


def test_a_failing_tool_shows_its_last_lines_and_its_log(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(ToolFailed) as caught:
        process.run(["sh", "-c", "echo before; echo why >&2; exit 7"], log=log)
    assert caught.value.status == 7
    assert "why" in caught.value.decisive
    assert "why" in log.read_text()
    assert str(log) in str(caught.value)


def test_a_tool_that_never_ends_is_stopped():
    with pytest.raises(ToolFailed, match="no end after"):
        process.run(["sleep", "60"], timeout=0.1)


def test_a_compile_error_is_mapped_back_to_the_key():
    te = (
        "policy_module(shop, 1.0.0)\n"
        "optional_policy(`\n"
        "\t# allow[3]: the reason\n"
        "\tallow httpd_t missing_t:file read;\n"
        "')\n"
    )
    output = "shop.te\":4:ERROR 'unknown type missing_t' at token ';' on line 4:\n"
    error = compile_failure(ToolFailed(["make"], 2, output), "shop", te)
    assert "asked for by allow[3]" in error.hint
    assert "missing_t" in str(error)


def test_what_looks_like_a_secret_is_not_shipped_and_is_told(project):
    folder = project()
    (folder / ".env").write_text("SECRET=1\n")
    (folder / "tls.key").write_text("x")
    tree = trees.generate(load(folder, "debian-12"))
    assert not {".env", "tls.key"} & {p.as_posix() for p in tree.archive_members()}
    told = "\n".join(trees.remarks(tree))
    assert ".env is not shipped" in told
    assert "tls.key is not shipped" in told


def test_an_edit_of_a_generated_file_is_told(project):
    folder = project()
    tree = trees.generate(load(folder, "debian-12"))
    trees.write(tree, folder)
    assert trees.remarks(tree) == []
    with (folder / "selinux" / "shop.te").open("a") as stream:
        stream.write("# mine\n")
    (told,) = trees.remarks(trees.generate(load(folder, "debian-12")))
    assert "selinux/shop.te was edited" in told
