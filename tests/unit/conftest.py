"""What the unit tests share: a small project in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MINIMAL = """\
[project]
name = "shop"
version = "1.0"
summary = "A shop"
license = "MIT"
maintainer = "Example Ltd <packages@example.org>"

[[changelog]]
date = 2026-01-05
text = "First package"

[application]
root = "/usr/share/shop"
wsgi = "shop.wsgi:application"
settings = "shop.settings"
static = "none"

[path]
media = "/var/lib/shop/media"
"""


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a project: a description (the minimal one plus ``more``)."""

    def make(more: str = "", base: str = MINIMAL, name: str = "shop") -> Path:
        folder = tmp_path / name
        (folder / "shop").mkdir(parents=True, exist_ok=True)
        (folder / "shop" / "wsgi.py").write_text("application = None\n")
        (folder / "shop" / "settings.py").write_text("SECRET_KEY = 'x'\n")
        (folder / "manage.py").write_text("print('manage')\n")
        (folder / "wsgi-sepkg.toml").write_text(base + more)
        return folder

    return make
