"""Texts for people stay in comments: nothing in a reason or a summary becomes policy."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from wsgi_sepkg.policy import render
from wsgi_sepkg.policy.derive import derive
from wsgi_sepkg.project.load import load

DATA = Path(__file__).parent.parent / "data"
TEXTS: dict[str, str] = tomllib.loads((DATA / "hostile-texts.toml").read_text(encoding="utf-8"))
COMMENTS = {"te": "#", "fc": "#", "if": "#", "cil": ";"}


def rendered(text: str, folder: Path, target: str) -> dict[str, str]:
    file = folder / "wsgi-sepkg.toml"
    template = (DATA / "hostile.toml").read_text(encoding="utf-8")
    # rpm refuses a summary that begins like a directive, and so does the description.
    said = template.replace("@SUMMARY@", json.dumps(f"book {text}"))
    file.write_text(said.replace("@TEXT@", json.dumps(text)), encoding="utf-8")
    loaded = load(file, target)
    policy = derive(loaded.description, loaded.target)
    return {
        "te": render.te(policy, loaded.target),
        "fc": render.fc(policy, loaded.target),
        "if": render.interface_file(policy),
        "cil": render.ports_cil(policy),
    }


def statements(text: str, mark: str) -> list[str]:
    return [line for line in text.split("\n") if not line.lstrip().startswith(mark)]


def comments(text: str, mark: str) -> list[str]:
    return [line for line in text.split("\n") if line.lstrip().startswith(mark)]


@pytest.mark.parametrize("target", ["debian-12", "fedora"])
@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_text_changes_nothing_but_comments(name: str, target: str, tmp_path: Path) -> None:
    plain, hostile = (rendered(t, tmp_path, target) for t in ("plain", TEXTS[name]))
    for kind, mark in COMMENTS.items():
        assert statements(hostile[kind], mark) == statements(plain[kind], mark)
        assert len(comments(hostile[kind], mark)) == len(comments(plain[kind], mark))


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_comment_opens_or_closes_a_quote_of_m4(name: str, tmp_path: Path) -> None:
    plain, hostile = (rendered(t, tmp_path, "debian-12") for t in ("plain", TEXTS[name]))
    for kind in ("te", "fc", "if"):
        said = set(comments(hostile[kind], "#")) - set(comments(plain[kind], "#"))
        assert not [line for line in said if set(line) & set("`'$")]


def test_every_place_for_a_text_reaches_the_reviewer(tmp_path: Path) -> None:
    texts = rendered("findable", tmp_path, "debian-12")
    assert texts["te"].count("findable") >= 9
    assert texts["fc"].count("findable") >= 3
    assert texts["if"].count("findable") >= 1
    assert texts["cil"].count("findable") == 2


def test_the_documentation_of_interfaces_is_well_formed(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    for text in TEXTS.values():
        lines = comments(rendered(text, tmp_path, "debian-12")["if"], "## ")
        inner = "\n".join(line.removeprefix("##") for line in lines)
        ElementTree.fromstring(f"<module>{inner}</module>")


@pytest.mark.parametrize("word", ["include", "dnl", "define", "len", "interface", "template"])
def test_a_pattern_that_holds_a_word_of_m4_is_quoted(word: str) -> None:
    from wsgi_sepkg import targets

    target = targets.load("debian-12")
    assert render.fc_pattern(f"/srv/{word}(/.*)?", target) == f"`/srv/{word}(/.*)?'"
    assert render.fc_pattern(f"/srv/x{word}x(/.*)?", target) == f"/srv/x{word}x(/.*)?"
