"""Lines of keys, for every way in which TOML can write one."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgi_sepkg.project.place import joined, line_of, lines_of_keys, part

DOCUMENT = '''\
# "a = [ not a key
top = "#[" # = "
dotted.name = 1
[project] # [x]
name = "x\\"#" # " [[
"quo.ted" = 'a'
text = """
fake = 3
\\"""
[fake]
""""
raw = \'\'\'
it's = """
\'\'\'\'
list = [
  1, # ]
  { k = 2, "l m" = [ "]", 1.5 ] },
  [ [ 2 ],
    3 ],
]
[[port]]
number = 1
[port.sub]
x = 2
[[port]]
y = { }
[[ port . nested ]]
z = 2026-11-20T10:00:00.5Z
[[port.nested]]
z.w = 1
[target.debian-12."a b"]
c = [ ]
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("top", 2),
        ("dotted", 3),
        ("dotted.name", 3),
        ("project", 4),
        ("project.name", 5),
        ('project."quo.ted"', 6),
        ("project.text", 7),
        ("project.raw", 12),
        ("project.list", 15),
        ("project.list[0]", 16),
        ("project.list[1]", 17),
        ("project.list[1].k", 17),
        ('project.list[1]."l m"[1]', 17),
        ("project.list[2]", 18),
        ("project.list[2][0][0]", 18),
        ("project.list[2][1]", 19),
        ("port", 21),
        ("port[0]", 21),
        ("port[0].number", 22),
        ("port[0].sub", 23),
        ("port[0].sub.x", 24),
        ("port[1]", 25),
        ("port[1].y", 26),
        ("port[1].nested[0]", 27),
        ("port[1].nested[0].z", 28),
        ("port[1].nested[1]", 29),
        ("port[1].nested[1].z.w", 30),
        ("target.debian-12", 31),
        ('target.debian-12."a b".c', 32),
    ],
)
def test_each_way_of_writing_a_key(key: str, line: int) -> None:
    tomllib.loads(DOCUMENT)
    assert lines_of_keys(DOCUMENT)[key] == line


def test_what_stands_in_strings_and_comments_is_no_key() -> None:
    assert not [key for key in lines_of_keys(DOCUMENT) if "fake" in key or "not" in key]


def test_line_ends_of_windows_and_other_separators_do_not_count_twice() -> None:
    text = 'a = 1\r\nb = "\u2028\u0085"\r\nc = 3\r\n'
    assert lines_of_keys(text) == {"a": 1, "b": 2, "c": 3}


def test_a_missing_key_has_the_line_of_what_encloses_it() -> None:
    places = lines_of_keys(DOCUMENT)
    assert line_of(places, "project.version") == 4
    assert line_of(places, "port[1].number") == 25
    assert line_of(places, "port[7].number") == 21
    assert line_of(places, 'project."a.b".c') == 4
    assert line_of(places, "nothing.here") == 0
    assert line_of(places, "") == 0


def test_parts_that_are_no_bare_keys_are_quoted() -> None:
    assert part("file-context") == "file-context"
    assert part("a.b") == '"a.b"'
    assert joined("project", "\x1b") == r'project."\u001b"'
    assert joined("", "x") == "x"


def test_depth_without_end_costs_no_memory() -> None:
    for text in ("a = " + "[" * 50_000, "a = {b=" * 20_000, ".".join("a" * 50_000) + " = 1"):
        assert len(lines_of_keys(text)) <= 64


@given(st.text(alphabet="ab.=[]{},\"'#\\\n \r\t1", max_size=60))
def test_no_text_makes_it_fail(text: str) -> None:
    lines = text.count("\n") + 1
    assert all(1 <= line <= lines for line in lines_of_keys(text).values())


# -- documents by chance, compared with the standard library's parser ------------------------------

NAMES = st.sampled_from(["a", "b-c", "d_1", "e.f", "g h", "1", "\u00e9", 'q"q', "="])


class Numbers:
    """Each value is a number of its own, so that its line can be found in the text."""

    def __init__(self) -> None:
        self.last = 1000

    def next(self) -> str:
        self.last += 1
        return str(self.last)


@st.composite
def values(draw: st.DrawFn, numbers: Numbers, depth: int = 0) -> str:
    kind = draw(st.integers(0, 4 if depth < 2 else 1))
    if kind == 1:
        text = draw(st.sampled_from(['"""\n[x]\n""" # {', "'''a\n= ['''", r'"\"#\\"', "'#'", '""']))
        return f"[ {text.partition(' # ')[0]}, {numbers.next()} ]"
    if kind == 2:
        inner = [draw(values(numbers, depth + 1)) for _ in range(draw(st.integers(0, 3)))]
        gap = draw(st.sampled_from([", ", ",\n  ", ', # ] "\n', "\n,"]))
        return "[" + draw(st.sampled_from(["", "\n", " # [\n"])) + gap.join(inner) + "\n]"
    if kind == 3:
        keys = draw(st.lists(NAMES, unique=True, max_size=3))
        parts = [f"{quoted(k)} = {draw(values(numbers, depth + 1))}" for k in keys]
        return "{ " + ", ".join(parts) + " }"
    return numbers.next()


def quoted(name: str) -> str:
    bare = name.isascii() and all(c.isalnum() or c in "-_" for c in name)
    return name if bare else json.dumps(name, ensure_ascii=False)


@st.composite
def documents(draw: st.DrawFn) -> str:
    numbers = Numbers()
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 5))):
        header = [quoted(draw(NAMES)) for _ in range(draw(st.integers(1, 3)))]
        lines.append(draw(st.sampled_from(["", "# [x] = 1", "   "])))
        lines.append(
            f"[[{' . '.join(header)}]] # x" if draw(st.booleans()) else f"  [ {'.'.join(header)} ]"
        )
        for name in draw(st.lists(NAMES, unique=True, max_size=3)):
            key = quoted(name) + draw(st.sampled_from(["", ".x", ' . "y z"']))
            value = draw(values(numbers))
            lines.append(f"{key} = {value} # '")
    return "\n".join(lines)


def leaves(value: Any, key: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, joined(key, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{key}[{index}]")
    elif isinstance(value, int):
        yield key, value


def tables(value: Any, key: str = "") -> Iterator[str]:
    if key:
        yield key
    inner = value.items() if isinstance(value, dict) else ()
    for name, entry in inner:
        yield from tables(entry, joined(key, name))
    for index, entry in enumerate(value if isinstance(value, list) else ()):
        yield from tables(entry, f"{key}[{index}]")


@given(documents())
def test_any_document_has_the_keys_and_lines_that_the_parser_sees(text: str) -> None:
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a name drawn twice
    places = lines_of_keys(text)
    assert set(places) == set(tables(parsed))
    lines = text.split("\n")
    for key, number in leaves(parsed, ""):
        where = next(i for i, line in enumerate(lines, start=1) if str(number) in line)
        # An element of an array stands where its value is; a key where its name is.
        if key.endswith("]"):
            assert places[key] == where
        else:
            assert places[key] <= where
            assert where - places[key] <= 1
