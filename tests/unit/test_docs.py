"""What the documentation says is so: links lead somewhere, examples load, commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pages import Block, blocks, first_missing

from wsgi_sepkg import targets
from wsgi_sepkg.cli import app
from wsgi_sepkg.project.load import load

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]

# What an example leaves out, because its page is about something else.
PROJECT = """
[project]
name = "notes"
version = "1.0"
summary = "Notes of the team"
license = "MIT"
maintainer = "Example Ltd <packages@example.org>"
"""
APPLICATION = """
[application]
root = "/usr/share/notes"
wsgi = "notes.wsgi:application"
settings = "notes.settings"
static = "none"
"""


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


# -- links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [p.relative_to(DOCS).as_posix() for p in sorted(DOCS.rglob("*.md"))]
    assert [p for p in pages if p != "README.md" and f"({p})" not in index] == []


def test_pictures_hold_no_path_of_the_machine_that_made_them() -> None:
    for picture in (DOCS / "images").iterdir():
        assert not re.search(r"/(tmp|home|root|work|build)/", picture.read_text(encoding="utf-8"))


# -- descriptions ----------------------------------------------------------------------------------


def described() -> list[Any]:
    return [
        pytest.param(block, id=f"{name}:{block.line}")
        for name, page in zip(NAMES, PAGES, strict=True)
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.language == "toml"
    ]


def write_project(folder: Path, text: str) -> Path:
    """Write a description and the files of the application that it names."""
    said = tomllib.loads(text)
    for item in [*said.get("file", []), *said.get("unit", [])]:
        (folder / item["source"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / item["source"]).touch()
    entry = said.get("application", {}).get("wsgi", "notes.wsgi:").partition(":")[0]
    module = folder.joinpath(*entry.split(".")).with_suffix(".py")
    module.parent.mkdir(exist_ok=True)
    module.touch()
    file = folder / "wsgi-sepkg.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("block", described())
def test_descriptions_load(block: Block, tmp_path: Path) -> None:
    text, whole = block.text, "[project]" in block.text
    if not whole:
        text = PROJECT + ("" if "[application]" in text else APPLICATION) + text
    file = write_project(tmp_path, text)
    # A whole description is good on every target that it lists, or on all of them.
    listed = tomllib.loads(text)["project"].get("targets") or targets.names()
    for target in listed if whole else ["debian-12"]:
        load(file, target=target)


# -- commands --------------------------------------------------------------------------------------


OPERATORS = {"|", ">", "&&", ";"}


def commands(page: Path) -> list[list[str]]:
    """Return the words of every call of the program on a page, up to an operator of the shell."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line
        for block in blocks(text)
        if block.language in ("sh", "text")
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"`([^`\n]+)`", prose(page))
    calls = [shlex.split(line) for line in lines if line.startswith("wsgi-sepkg ")]
    ends = [next((i for i, word in enumerate(c) if word in OPERATORS), len(c)) for c in calls]
    found = [call[1:end] for call, end in zip(calls, ends, strict=True)]
    return [words for words in found if "[OPTIONS]" not in words]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_exist_with_their_options(page: Path) -> None:
    tree: Any = typer.main.get_command(app)
    wrong = []
    for words in commands(page):
        if words[0].startswith("-"):
            command = tree
        elif words[0] in tree.commands:
            command = tree.commands[words[0]]
        else:
            wrong.append(words)
            continue
        if hasattr(command, "commands"):  # a group of commands
            command = command.commands[words[1]]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"-h", "--help"}
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        if not used <= known:
            wrong.append(words)
    assert wrong == []


def test_every_command_is_in_the_pages() -> None:
    tree: Any = typer.main.get_command(app)
    written = {words[0] for page in PAGES for words in commands(page)}
    assert set(tree.commands) - written == set()


def test_the_reference_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "reference.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- the reader of pages ---------------------------------------------------------------------------


def test_a_comment_gives_the_next_block_its_role() -> None:
    page = "# One\n\n<!-- file: a.toml -->\n```toml\nx = 1\n```\n\n## Two\n\n```sh\nls\n```\n"
    first, second = blocks(page)
    assert (first.role, first.name, first.text, first.section) == (
        "file",
        "a.toml",
        "x = 1\n",
        "One",
    )
    assert (second.role, second.language, second.line, second.section) == ("", "sh", 10, "Two")


def test_dots_stand_for_any_lines_of_output() -> None:
    printed = "a\nb\nc\nd\n"
    assert first_missing("a\n...\nd\n", printed) is None
    assert first_missing("b\nc\n", printed) is None
    assert first_missing("a\nd\n", printed) == "d"
    assert first_missing("...\nc\na\n", printed) == "a"
