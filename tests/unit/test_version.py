"""PEP 440 versions become RPM versions by the documented table."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.package.version import RpmVersion, policy_module_version, rpm_version

TABLE = [
    ("1.2.3", 0, "1.2.3"),
    ("1.0", 0, "1.0"),
    ("1.0.0", 0, "1.0.0"),
    ("0", 0, "0"),
    ("2026.11.23", 0, "2026.11.23"),
    ("1.0a1", 0, "1.0~a1"),
    ("1.0b2", 0, "1.0~b2"),
    ("1.0rc3", 0, "1.0~rc3"),
    ("1.0.dev4", 0, "1.0~~dev4"),
    ("1.0rc1.dev4", 0, "1.0~rc1~dev4"),
    ("1.0.post2", 0, "1.0^post2"),
    ("1.0.post1.dev2", 0, "1.0^post1~dev2"),
    ("1.0a1.post2.dev3", 0, "1.0~a1^post2~dev3"),
    ("1.0+local.1", 0, "1.0^local.1"),
    ("1.1.dev5+gabc123", 0, "1.1~~dev5^gabc123"),
    ("1!2.0", 1, "2.0"),
    ("3!1.0rc1", 3, "1.0~rc1"),
]


@pytest.mark.parametrize(("text", "epoch", "version"), TABLE)
def test_each_row_of_the_table(text: str, epoch: int, version: str) -> None:
    assert rpm_version(text) == RpmVersion(epoch, version)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.0", "1.0"),
        ("1.0-ALPHA.1", "1.0~a1"),
        ("1.0-1", "1.0^post1"),
        ("1.0c2", "1.0~rc2"),
        ("1.0.dev", "1.0~~dev0"),
        ("1.0+Ubuntu-1_2", "1.0^ubuntu.1.2"),
        (" 1.0\n", "1.0"),
    ],
)
def test_other_spellings_are_normalised_first(text: str, version: str) -> None:
    assert rpm_version(text).version == version


@pytest.mark.parametrize("text", ["", "one", "1.0-foo", "1..0", "1.0~rc1", "1.0\n%pre", "9" * 9000])
def test_what_is_not_pep_440_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a PEP 440 version") as caught:
        rpm_version(text)
    assert isinstance(caught.value, ValueError)
    assert caught.value.exit_status == 2


def test_a_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(UsageError) as caught:
        policy_module_version("x" * 5000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("text", "shown"), [("1.0rc1", "1.0~rc1"), ("2!1.0", "2:1.0")])
def test_the_epoch_is_printed_only_where_there_is_one(text: str, shown: str) -> None:
    assert str(rpm_version(text)) == shown


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1", "1.0.0"),
        ("1.2", "1.2.0"),
        ("1.2.3", "1.2.3"),
        ("1.2.3.4", "1.2.3"),
        ("1!1.2rc1.post3.dev4+local", "1.2.0"),
    ],
)
def test_the_module_version_is_three_numbers(text: str, version: str) -> None:
    assert policy_module_version(text) == version


@given(st.from_regex(r"\A([1-9]!)?[0-9]{1,3}(\.[0-9]{1,3}){0,4}(a[0-9])?(\.dev[0-9])?\Z"))
def test_no_character_appears_that_a_spec_does_not_allow(text: str) -> None:
    assert re.fullmatch(r"[0-9A-Za-z.~^]+", rpm_version(text).version)
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", policy_module_version(text))


@given(st.lists(st.integers(0, 99), min_size=1, max_size=5))
def test_the_release_part_keeps_every_number(numbers: list[int]) -> None:
    text = ".".join(map(str, numbers))
    assert rpm_version(text).version == text
    assert Version(rpm_version(text).version).release == tuple(numbers)
