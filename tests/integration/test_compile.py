"""The generated sources compile the same way by the devel Makefile and by hand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from wsgi_sepkg.errors import BuildFailed, WrongHost
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.policy import buildcheck
from wsgi_sepkg.policy.compile import compile_modules, headers_for
from wsgi_sepkg.project.load import load

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook"
INCLUDE = Path("/usr/share/selinux/devel/include")


@pytest.fixture(scope="module")
def tree():
    return generate(load(EXAMPLE, "debian-12"))


@pytest.fixture(scope="module")
def compiled(tree, tmp_path_factory) -> Path:
    target = tree.loaded.target
    work = tmp_path_factory.mktemp("make")
    (file,) = compile_modules(tree.policy, tree.sources, target, headers_for(target, None), work)
    return file


def m4(*files: Path, sync: bool = False) -> str:
    options = ["-D", "enable_mcs", "-D", "distro_debian", "-D", "init_systemd", "-D", "enable_ubac"]
    options += ["-D", "mls_num_sens=16", "-D", "mls_num_cats=1024", "-D", "mcs_num_cats=1024"]
    command = ["m4", *options, *(["-s"] if sync else []), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_by_hand_through_m4_checkmodule_and_semodule_package_gives_the_same_cil(
    tree, compiled, tmp_path
):
    for suffix in ("te", "fc", "if"):
        (tmp_path / f"guestbook.{suffix}").write_bytes(tree.sources[f"guestbook.{suffix}"])
    support = sorted((INCLUDE / "support").glob("*.spt"))
    headers = sorted(p for p in INCLUDE.glob("*/*.if"))
    interfaces = tmp_path / "all_interfaces.conf"
    text = m4(*support, *headers, tmp_path / "guestbook.if").replace("dollarsstar", "$*")
    interfaces.write_text(f"divert(-1)\n{text}divert\n")
    (tmp_path / "guestbook.tmp").write_text(m4(*support, interfaces, tmp_path / "guestbook.te"))
    (tmp_path / "guestbook.mod.fc").write_text(m4(*support, tmp_path / "guestbook.fc"))
    subprocess.run(
        ["checkmodule", "-M", "-m", "guestbook.tmp", "-o", "guestbook.mod"],
        cwd=tmp_path,
        check=True,
    )
    package = ["semodule_package", "-o", "guestbook.pp", "-m", "guestbook.mod"]
    subprocess.run([*package, "-f", "guestbook.mod.fc"], cwd=tmp_path, check=True)

    def statements(path: Path) -> set[str]:
        text = buildcheck.module_cil(str(path))
        return {re.sub(r"\s+", " ", line).strip() for line in text.splitlines()}

    assert statements(tmp_path / "guestbook.pp") == statements(compiled)


def test_the_module_format_is_pinned_to_the_oldest_minor_of_the_target(compiled):
    from wsgi_sepkg.package.inspect import pp_identity

    name, version = pp_identity(compiled.read_bytes())
    assert (name, version) == ("guestbook", 21)


def test_selint_finds_nothing(tree, tmp_path):
    for name in ("guestbook.te", "guestbook.fc", "guestbook.if"):
        (tmp_path / name).write_bytes(tree.sources[name])
    done = subprocess.run(
        ["selint", "--source", f"--context={INCLUDE}", *sorted(p.name for p in tmp_path.iterdir())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if re.search(r"\([CSWEF]-\d+\)", line)]
    assert found == []


def test_headers_of_another_family_are_refused(tree):
    el9 = load(EXAMPLE, "el9").target
    with pytest.raises(WrongHost, match="not the headers of el9"):
        headers_for(el9, INCLUDE, Path("/"))


def test_a_foreign_target_needs_its_policy_to_link_with(tree, tmp_path):
    el9 = load(EXAMPLE, "el9").target
    (tmp_path / "kernel").mkdir()
    (tmp_path / "system").mkdir()
    (tmp_path / "Makefile").write_text("")
    for name, module in (("files_pid_file", "kernel/files"), ("files_search_pids", "kernel/files")):
        with (tmp_path / f"{module}.if").open("a") as stream:
            stream.write(f"interface(`{name}',`')\n")
    (tmp_path / "system" / "systemd.if").write_text("interface(`systemd_unit_file',`')\n")
    with pytest.raises(WrongHost, match="--policy-root"):
        headers_for(el9, tmp_path)
    assert headers_for(el9, tmp_path, Path("/")).folder == tmp_path.resolve()


def test_an_error_in_a_hand_written_addition_is_placed_there(tree, tmp_path):
    target = tree.loaded.target
    sources = {**tree.sources, "local.te": b"\n\nallow nosuch_t httpd_t:file read;\n"}
    with pytest.raises(BuildFailed) as caught:
        compile_modules(tree.policy, sources, target, headers_for(target, None), tmp_path)
    assert "local.te:3" in caught.value.hint
    log = re.search(r"the whole log: (\S+)", caught.value.hint)
    assert log is not None
    assert "nosuch_t" in Path(log.group(1)).read_text()
    Path(log.group(1)).unlink()
