"""Each broken description of tests/data/bad is told what is wrong with it, and where.

The table expected.toml gives line, key and a telling part of the message or its hint; in the files
the wrong lines are marked with the comment ``# wrong``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from wsgi_sepkg.errors import ConfigError
from wsgi_sepkg.project.load import load

BAD = Path(__file__).parent.parent / "data" / "bad"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads(
    (BAD / "expected.toml").read_text(encoding="utf-8")
)


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def told(name: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(BAD / f"{name}.toml", target=EXPECTED[name].get("target", "debian-12"))
    return caught.value


def test_the_table_and_the_files_are_the_same_cases() -> None:
    assert set(EXPECTED) == {p.stem for p in BAD.glob("*.toml")} - {"expected"}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_mistake_is_told_with_its_place(name: str) -> None:
    error = told(name)
    assert error.exit_status == 2
    wanted = EXPECTED[name]["problems"]
    file = BAD / f"{name}.toml"
    assert [(p.place.file, p.place.line, p.place.key) for p in error.problems] == [
        (str(file), w["line"], w["key"]) for w in wanted
    ]
    for problem, row in zip(error.problems, wanted, strict=True):
        assert row["says"] in f"{problem.message}\n{problem.hint}"
    lines = file.read_bytes().decode("utf-8", errors="replace").split("\n")
    marked = {number for number, line in enumerate(lines, start=1) if "wrong" in line}
    assert not marked or marked == {w["line"] for w in wanted}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_is_shown_is_plain_text(name: str) -> None:
    assert all(c.isprintable() or c == "\n" for c in str(told(name)))


def test_nothing_is_written_and_the_same_is_told_again() -> None:
    before = listing(BAD)
    first = {name: str(told(name)) for name in EXPECTED}
    assert first == {name: str(told(name)) for name in EXPECTED}
    assert listing(BAD) == before
