"""Whole generated trees, kept for review: a change of them is read before it is kept.

``WSGI_SEPKG_UPDATE_GOLDEN=1 pytest tests/unit/test_golden.py`` writes them anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.package.model import Bundle, Wheel
from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.package.wheels import Gathered
from wsgi_sepkg.project.load import load

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden"
# Copies of files that stand in the repository already.
COPIES = {"packaging/policy-check.py", "packaging/build-application.py"}


# One tree serves all releases of a policy family: the example asks for nothing that differs.
FAMILY = {name: targets.load(name).family for name in targets.names()}


DESCRIPTIONS = {
    "guestbook": "wsgi-sepkg.toml",
    "guestbook-service": "service.toml",
    "guestbook-daemon": "daemon.toml",
}


# Stands for what pip would fetch: one wheel for each machine, and one for all.
MACHINES = ("x86_64", "aarch64")
WHEELS = (
    Wheel("django-4.2.16-py3-none-any.whl", "django", "4.2.16", "d" * 64, MACHINES),
    *(
        Wheel(f"pillow-10.4.0-cp39-cp39-manylinux_2_28_{m}.whl", "pillow", "10.4.0", h * 64, (m,))
        for m, h in zip(MACHINES, "ef", strict=True)
    ),
)
BUNDLE = Bundle("/usr/lib/guestbook/venv", WHEELS, MACHINES, ("libjpeg-4b7c3f2a.so.62.4.0",))


def compared(tree: Tree, folder: Path, *, anew: bool) -> None:
    """Fail where the tree is another one than ``folder`` keeps; write it first if ``anew``."""
    made = {path: data for path, data in tree.files.items() if path not in COPIES}
    if os.environ.get("WSGI_SEPKG_UPDATE_GOLDEN") and anew:
        shutil.rmtree(folder, ignore_errors=True)
        for path, data in made.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    kept = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    assert sorted(made) == sorted(kept)
    for path, data in made.items():
        assert data.decode() == kept[path].decode(), path


@pytest.mark.parametrize("case", DESCRIPTIONS)
@pytest.mark.parametrize("name", targets.names())
def test_the_tree_of_the_example_is_the_reviewed_one(name, case):
    tree = generate(load(ROOT / "examples" / "guestbook" / DESCRIPTIONS[case], name))
    compared(tree, GOLDEN / f"{case}-{FAMILY[name]}", anew=name in ("debian-12", "el9"))


@pytest.mark.parametrize("name", ["debian-12", "el9"])
def test_the_tree_with_bundled_dependencies_is_the_reviewed_one(name, monkeypatch):
    """Each release has another Python: so one tree each, of one release of each policy family."""
    monkeypatch.setattr(
        "wsgi_sepkg.package.wheels.gather", lambda loaded, folder: Gathered(BUNDLE, {})
    )
    tree = generate(load(ROOT / "examples" / "guestbook" / "bundled.toml", name))
    compared(tree, GOLDEN / f"guestbook-bundled-{name}", anew=True)
