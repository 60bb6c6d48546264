"""What a tree says of itself, and what a later reading changes in a description."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from wsgi_sepkg.discover.propose import Entry
from wsgi_sepkg.discover.source import Tree
from wsgi_sepkg.discover.survey import Survey, is_developers, survey
from wsgi_sepkg.discover.update import answers_of, read_record, record_of, updated
from wsgi_sepkg.errors import ConfigError, UsageError

ENTRY = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'notes.settings')\n"


@pytest.fixture
def tree(tmp_path: Path):
    """Return a function that writes files and surveys them."""

    def make(**files: str) -> Survey:
        for name, text in {"manage-py": ENTRY, **files}.items():
            path = tmp_path / "notes" / name.replace("__", "/").replace("-", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return survey(Tree(tmp_path / "notes"))

    return make


def facts(found: Survey) -> dict[str, str]:
    return {key.removeprefix("project."): fact.value for key, fact in found.facts.items()}


PROJECT = """\
[project]
name = "Our_Notes"
version = "1.2"
description = "Notes  of\\n the team"
license = { text = "MIT" }
authors = [{ name = "Ada" }, { name = "Ada", email = "ada@example.org" }]
urls = { Repository = "https://example.org/notes" }
dependencies = ["Django>=4", "psycopg2-binary", "python >= 3.11", "django"]
"""
POETRY = """\
[tool.poetry]
name = "notes"
version = "2.0"
license = "BSD-3-Clause"
homepage = "https://example.org/"
authors = ["Ada <ada@example.org>"]
[tool.poetry.dependencies]
python = "^3.11"
Django = "^4.2"
"""


@pytest.mark.parametrize(
    ("text", "wanted", "requires"),
    [
        (
            PROJECT,
            {
                "name": "our-notes",
                "version": "1.2",
                "summary": "Notes of the team",
                "license": "MIT",
                "url": "https://example.org/notes",
                "maintainer": "Ada <ada@example.org>",
            },
            ["django", "psycopg2-binary"],
        ),
        (
            POETRY,
            {
                "name": "notes",
                "version": "2.0",
                "license": "BSD-3-Clause",
                "url": "https://example.org/",
                "maintainer": "Ada <ada@example.org>",
            },
            ["django"],
        ),
        ("[project]\nname = 3\nversion = []\nurls = 'x'\nauthors = 'y'\n", {"name": "notes"}, []),
        ("no toml", {"name": "notes"}, []),
        ("[project]\nlicense = 'whatever, really!'\nname = '../x'\n", {"name": "notes"}, []),
    ],
)
def test_pyproject_says_who_the_package_is(tree, text, wanted, requires):
    found = tree(**{"pyproject-toml": text})
    assert facts(found) == wanted
    assert [r.value for r in found.requirements] == requires


def test_the_line_of_each_fact_is_kept(tree):
    found = tree(**{"pyproject-toml": PROJECT})
    place = found.facts["project.version"].place
    assert (place.file, place.line) == ("pyproject.toml", 3)


@pytest.mark.parametrize(
    ("words", "licence"),
    [
        ("MIT License\n\nCopyright", "MIT"),
        ("  Apache License\n Version 2.0", "Apache-2.0"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL-3.0-or-later"),
        ("All rights reserved", None),
    ],
)
def test_the_licence_is_known_by_its_head(tree, words, licence):
    assert facts(tree(LICENSE=words)).get("license") == licence


def test_requirements_are_followed_inside_the_tree(tree):
    found = tree(
        **{
            "requirements-txt": "-r more.txt\n-r /etc/passwd\n# no\nDjango==4.2  # yes\n-e .\n",
            "more-txt": "Pillow\n-r requirements.txt\n",
        }
    )
    assert [(r.value, str(r.place)) for r in found.requirements] == [
        ("pillow", "more.txt:1"),
        ("django", "requirements.txt:4"),
    ]


def test_without_requirements_the_imports_count(tree):
    found = tree(
        notes__views="import os", **{"notes__a-py": "import PIL.Image\nfrom redis import Redis\n"}
    )
    assert {"PIL", "redis"} <= {f.value for f in found.imports}


@pytest.mark.parametrize("manage", [True, False])
def test_the_code_may_lie_in_a_folder_of_the_tree(tmp_path, manage):
    (tmp_path / "src" / "notes").mkdir(parents=True)
    (tmp_path / "src" / "notes" / "wsgi.py").write_text(f"{ENTRY}app = 1\n")
    if manage:
        (tmp_path / "src" / "manage.py").write_text(ENTRY)
    found = survey(Tree(tmp_path))
    assert found.source == "src"
    assert found.facts["application.wsgi"].value == "notes.wsgi:app"


def test_settings_are_named_by_any_assignment_and_production_beside_them_is_seen(tree):
    found = tree(
        **{
            "notes__wsgi-py": "os.environ['DJANGO_SETTINGS_MODULE'] = 'notes.settings.dev'\n",
            "notes__settings__production-py": "",
            "notes__settings__dev-py": "",
        }
    )
    assert [s.value for s in found.settings] == [
        "notes.settings.dev",
        "notes.settings",
        "notes.settings.production",
    ]
    assert [is_developers(s.value) for s in found.settings] == [True, False, False]


def test_an_entry_point_that_is_no_python_is_passed_over(tree):
    assert tree(**{"notes__wsgi-py": "x = (\n"}).settings[0].value == "notes.settings"


def test_a_tree_without_django_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"neither manage\.py nor wsgi\.py"):
        survey(Tree(tmp_path))


# -- a later day -----------------------------------------------------------------------------------


def path(use: str, value: str) -> Entry:
    return Entry("path", {use: value}, (f"settings.py:1 {use}",), use)


def test_what_was_proposed_last_is_read_back_and_a_broken_record_is_none():
    entries = [path("media", "/srv/m"), Entry("connect", {"to": "redis"}, (), "redis")]
    assert read_record(record_of(entries)) == {
        "path.media": {"media": "/srv/m"},
        "connect.redis": {"to": "redis"},
    }
    for broken in ("", "[]", '{"a": 1}', "[" * 100_000):
        assert read_record(broken) == {}


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (path("media", "/srv/m"), {"path": {"media": "/srv/m"}}),
        (
            Entry("connect", {"to": "redis", "reason": "r"}, (), "redis"),
            {"connect": [{"to": "redis", "reason": "r"}]},
        ),
        (
            Entry("process.beat", {"kind": "scheduler", "run": "celery beat"}, (), "beat"),
            {"process": {"beat": {"kind": "scheduler", "run": "celery beat"}}},
        ),
    ],
)
def test_what_is_new_is_added_once_with_where_it_came_from(entry, wanted):
    change = updated("# mine\n", {}, [entry])
    assert tomllib.loads(change.text) == wanted
    assert change.text.startswith("# mine\n")
    assert (entry.comments[0] if entry.comments else "found by wsgi-sepkg init") in change.text
    assert change.changes[0].startswith(f"added {entry.name}: ")
    again = updated(change.text, {entry.name: entry.values}, [entry])
    assert (again.text, again.changes, again.kept) == (change.text, (), ())


def test_a_second_entry_of_a_list_goes_beside_the_first():
    text = '[[connect]]\nto = "smtp"\nreason = "r"\n'
    change = updated(text, {}, [Entry("connect", {"to": "redis", "reason": "r"}, (), "redis")])
    assert [c["to"] for c in tomllib.loads(change.text)["connect"]] == ["smtp", "redis"]


def test_a_changed_entry_loses_the_keys_that_are_no_longer_proposed():
    before = {"to": "redis", "reason": "r", "socket": True}
    text = '[[connect]]\nto = "redis"\nreason = "r"\nsocket = true\n'
    entry = Entry("connect", {"to": "redis", "reason": "new"}, (), "redis")
    change = updated(text, {"connect.redis": before}, [entry])
    assert tomllib.loads(change.text)["connect"] == [{"to": "redis", "reason": "new"}]
    assert change.changes == ("changed connect.redis: redis, r, true to redis, new",)


def test_what_is_no_longer_found_is_told_and_left():
    change = updated('[path]\nmedia = "/srv/m"\n', {"path.media": {"media": "/srv/m"}}, [])
    assert change.text == '[path]\nmedia = "/srv/m"\n'
    assert change.kept == ("path.media: no longer found; remove it where it is not needed",)


def test_a_description_that_is_no_toml_is_one_error():
    with pytest.raises(ConfigError, match="not valid TOML"):
        updated("[path", {}, [])


def test_what_a_description_says_answers_the_questions():
    text = '[project]\nname = "notes"\ntargets = ["el9", "fedora"]\n[application]\nthreads = 3\n'
    assert answers_of(text) == {
        "project.name": "notes",
        "project.targets": "el9,fedora",
        "application.shipped": "yes",
    }
    assert answers_of("[path]\n")["application.shipped"] == "no"
    assert answers_of('[application]\nexclude = ["*"]\n')["application.shipped"] == "no"
