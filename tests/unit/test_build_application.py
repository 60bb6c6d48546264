"""Steps of the script that travels in the source package: what an environment keeps and loses."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from wsgi_sepkg import resources


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module: its name has a hyphen."""
    file = resources.folder("specs") / "build-application.py"
    spec = importlib.util.spec_from_file_location("build_application", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with bin, and one package that has a program."""
    info = tmp_path / "lib" / "python3" / "site-packages" / "tool-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (info / "RECORD").write_text("../../../bin/tool,sha256=old,3\ntool.py,sha256=kept,1\n")
    return tmp_path


@pytest.mark.parametrize(
    "start",
    [
        "#!{tree}/bin/python3\n",
        "#!/bin/sh\n'''exec' {tree}/bin/python3 \"$0\" \"$@\"\n' '''\n",
        "#!/bin/sh\n'''exec' \"{tree}/bin/python3\" \"$0\" \"$@\"\n' '''\n",
    ],
)
def test_a_program_begins_with_the_final_interpreter_however_long_the_build_s_was(
    script: ModuleType, tree: Path, start: str
) -> None:
    program = tree / "bin" / "tool"
    program.write_text(start.format(tree=tree) + "import tool\n")
    changed = script.name_environment(str(tree), "/usr/lib/shop/venv")
    assert program.read_text() == "#!/usr/lib/shop/venv/bin/python3\nimport tool\n"
    info = next(tree.rglob("*.dist-info"))
    script.record_again(str(info), changed)
    lines = (info / "RECORD").read_text().splitlines()
    assert lines[1] == "tool.py,sha256=kept,1"
    assert lines[0].startswith("../../../bin/tool,sha256=")
    assert lines[0].endswith(f",{program.stat().st_size}")
    assert "old" not in lines[0]


def test_another_program_is_left_alone(script: ModuleType, tree: Path) -> None:
    (tree / "bin" / "tool").write_bytes(b"#!/bin/sh\necho\n")
    assert script.name_environment(str(tree), "/usr/lib/shop/venv") == set()


def test_a_file_that_tells_where_it_was_built_is_found(
    script: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "bin" / "good").write_text("/usr/lib/shop/venv")
    assert script.tells_place(str(tree), (str(tree), "")) == 0
    (tree / "bin" / "bad").write_bytes(b"\0" + str(tree).encode() + b"\0")
    assert script.tells_place(str(tree), (str(tree), "")) == 1
    assert "bin/bad holds a path" in capsys.readouterr().err


def test_modes_follow_from_the_files_alone(script: ModuleType, tree: Path) -> None:
    wanted = {"lib.so": 0o755, "plain.py": 0o644, "program": 0o755, "text": 0o644}
    (tree / "lib.so").write_bytes(b"\x7fELF")
    (tree / "plain.py").write_text("#!/usr/bin/python3\n")
    (tree / "program").write_text("#!/bin/sh\n")
    (tree / "text").write_text("x")
    for name, mode in {"lib.so": 0o600, "plain.py": 0o640, "program": 0o700, "text": 0o777}.items():
        (tree / name).chmod(mode)
    script.set_modes(str(tree))
    assert {name: (tree / name).stat().st_mode & 0o777 for name in wanted} == wanted


def test_licences_are_collected_wherever_a_package_keeps_them(
    script: ModuleType, tree: Path, tmp_path: Path
) -> None:
    info = next(tree.rglob("*.dist-info"))
    (info / "METADATA").write_text(
        "Name: tool\nLicense-Expression: BSD-3-Clause\nLicense-File: legal/terms.txt\n\nText\n"
    )
    for name in ("licenses/vendor/LICENSE", "LICENSE.txt", "legal/terms.txt", "top_level.txt"):
        (info / name).parent.mkdir(parents=True, exist_ok=True)
        (info / name).write_text(name)
    out = tmp_path / "licenses"
    script.collect_licenses(str(info), str(out))
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert found == [
        f"tool-1.0/{name}"
        for name in (
            "LICENSE.txt",
            "METADATA.license",
            "legal/terms.txt",
            "licenses/vendor/LICENSE",
        )
    ]
    assert (out / "tool-1.0" / "METADATA.license").read_text() == "BSD-3-Clause\n"
