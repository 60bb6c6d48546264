"""Whole generated trees, kept for review: a change of them is read before it is kept.

``WSGI_SEPKG_UPDATE_GOLDEN=1 pytest tests/unit/test_golden.py`` writes them anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.package.tree import generate
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


@pytest.mark.parametrize("case", DESCRIPTIONS)
@pytest.mark.parametrize("name", targets.names())
def test_the_tree_of_the_example_is_the_reviewed_one(name, case):
    tree = generate(load(ROOT / "examples" / "guestbook" / DESCRIPTIONS[case], name))
    made = {path: data for path, data in tree.files.items() if path not in COPIES}
    folder = GOLDEN / f"{case}-{FAMILY[name]}"
    if os.environ.get("WSGI_SEPKG_UPDATE_GOLDEN") and name in ("debian-12", "el9"):
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
