"""The wheel, installed alone, does what the checkout does."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", out, ROOT], check=True
    )
    (found,) = out.glob("*.whl")
    return found


def test_templates_specs_and_mock_roots_travel_inside(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("templates", "specs", "mock-configs"):
        wanted = {
            f"wsgi_sepkg/_data/{p.relative_to(ROOT).as_posix()}"
            for p in (ROOT / folder).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert wanted
        assert wanted <= names
    assert "wsgi_sepkg/targets/facts/debian-12/types.txt" in names


def test_installed_alone_it_generates_the_same_tree(wheel, tmp_path):
    environment = tmp_path / "env"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", environment, "install", "-q", "--no-compile"]
    subprocess.run([*pip, wheel], check=True)
    example = ROOT / "examples" / "guestbook"
    for program, out in (
        ([environment / "bin" / "wsgi-sepkg"], tmp_path / "a"),
        ([sys.executable, "-m", "wsgi_sepkg"], tmp_path / "b"),
    ):
        command = [*program, "generate", example, "--target", "debian-12", "--outdir", out, "-q"]
        subprocess.run(command, check=True, cwd=tmp_path)

    def tree(folder: Path) -> dict[str, bytes]:
        return {
            p.relative_to(folder).as_posix(): p.read_bytes()
            for p in folder.rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }

    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert len(tree(tmp_path / "a")) > 8
