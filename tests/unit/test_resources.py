"""Folders of the program: what it keeps, and where."""

from __future__ import annotations

import pytest

from wsgi_sepkg import resources
from wsgi_sepkg.policy import render


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Return an empty XDG cache folder that is this user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "wsgi-sepkg"


def test_compiled_templates_have_a_folder_of_their_own(home):
    render.environment.__wrapped__("templates").get_template("policy/module.fc.j2")
    assert {p.name for p in home.iterdir()} == {"templates"}
    assert list((home / "templates").glob("__jinja2_*.cache"))


@pytest.mark.parametrize("opened", ["", "templates"])
def test_a_folder_that_others_may_write_is_not_used(home, opened):
    assert resources.cache_folder("templates") == str(home / "templates")
    (home / opened).chmod(0o770)
    assert resources.cache_folder("templates") == ""


def test_no_home_is_no_folder(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "")
    assert resources.cache_folder() == ""
