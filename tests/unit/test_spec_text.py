"""The text of the spec: what a person wrote stands in it literally, and only once."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgi_sepkg.package.model import Change
from wsgi_sepkg.package.spec import paragraph, spec_text

words = st.lists(
    st.sampled_from(["%", "%post", "%if", "%{x}", "#", "# x", "a", "of", "x" * 70, "ä"]),
    min_size=1,
    max_size=40,
).map(" ".join)


def test_every_percent_sign_is_doubled() -> None:
    assert spec_text("100% %{x} %%") == "100%% %%{x} %%%%"


@given(words)
def test_no_line_of_a_paragraph_begins_with_what_rpm_reads(text: str) -> None:
    for line in paragraph(text).splitlines():
        assert not line.lstrip().startswith(("%", "#"))


@given(words)
def test_no_line_of_an_item_begins_with_what_rpm_reads(text: str) -> None:
    first, *rest = paragraph(text, "- ", "  ").splitlines()
    assert first.startswith("- ")
    for line in rest:
        assert not line.lstrip().startswith(("%", "#"))


@given(words)
def test_a_paragraph_loses_no_word(text: str) -> None:
    found = paragraph(text, "- ", "  ").removeprefix("- ").replace("%%", "%")
    assert found.split() == text.split()


@given(st.lists(st.sampled_from(["word", "longer-word", "a"]), min_size=30).map(" ".join))
def test_the_lines_of_a_paragraph_are_short_enough_for_rpm_info(text: str) -> None:
    assert max(len(line) for line in paragraph(text).splitlines()) <= 79


@pytest.mark.parametrize("begin", ["%post", "#!/bin/sh", "%%"])
def test_a_paragraph_that_begins_like_a_directive_is_made_an_item(begin: str) -> None:
    assert paragraph(f"{begin} x").startswith("- ")


def test_a_changelog_entry_is_headed_in_english_whatever_the_locale() -> None:
    change = Change(datetime.date(2026, 3, 1), "A <a@b.example>", "2:1.0-3", ("x",))
    assert change.head == "* Sun Mar 01 2026 A <a@b.example> - 2:1.0-3"
