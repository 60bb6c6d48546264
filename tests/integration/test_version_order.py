"""rpm itself sorts the RPM versions as Python sorts the PEP 440 versions they came from."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from packaging.version import Version

from wsgi_sepkg.package.version import rpm_version

rpm = pytest.importorskip("rpm", reason="the rpm bindings of the system are not there")

pytestmark = pytest.mark.integration

# In PEP 440 order, from a first development release to the next release.
LADDER = [
    "1.0.dev4",
    "1.0a1.dev1",
    "1.0a1",
    "1.0a1.post1.dev2",
    "1.0a1.post1",
    "1.0a2",
    "1.0a10",
    "1.0b2.dev1",
    "1.0b2",
    "1.0rc1.dev4",
    "1.0rc1",
    "1.0rc3",
    "1.0",
    "1.0+local.1",
    "1.0.post1.dev2",
    "1.0.post1",
    "1.0.post2",
    "1.0.1.dev1",
    "1.0.1",
    "1.0.10",
    "1.1.dev1",
    "1.1",
    "1!0.1",
]


def rpm_order(left: str, right: str) -> int:
    """Compare through rpm: -1, 0 or 1, with the epoch and with equal releases."""
    one, two = rpm_version(left), rpm_version(right)
    order: int = rpm.labelCompare(
        (str(one.epoch), one.version, "1"), (str(two.epoch), two.version, "1")
    )
    return order


def pep440_order(left: str, right: str) -> int:
    one, two = Version(left), Version(right)
    return (one > two) - (one < two)


def differ_in_zeros_only(left: str, right: str) -> bool:
    """1.0 and 1.0.0: equal in PEP 440, different in rpm, and the spelling is kept."""
    one, two = Version(left).release, Version(right).release
    return one != two and all(a == b for a, b in itertools.zip_longest(one, two, fillvalue=0))


# Few and small numbers, so that two random versions often share their release.
numbers = st.one_of(st.integers(0, 3), st.integers(0, 120))


@st.composite
def versions(draw: st.DrawFn) -> str:
    epoch = draw(st.sampled_from(["", "", "", "1!"]))
    release = ".".join(map(str, draw(st.lists(numbers, min_size=1, max_size=3))))
    pre = draw(
        st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["a", "b", "rc"]), numbers))
    )
    post = draw(st.one_of(st.just(""), st.builds(".post{}".format, numbers)))
    dev = draw(st.one_of(st.just(""), st.builds(".dev{}".format, numbers)))
    return epoch + release + pre + post + dev


@pytest.mark.parametrize(("left", "right"), list(itertools.pairwise(LADDER)))
def test_each_step_of_the_ladder_is_an_upgrade(left: str, right: str) -> None:
    assert pep440_order(left, right) == -1
    assert rpm_order(left, right) == -1


@settings(max_examples=2000, deadline=None)
@given(versions(), versions())
@example("1.0.dev1", "1.0a0.dev0")
@example("1.0.post1.dev0", "1.0")
@example("1.0rc1.post1", "1.0")
def test_any_two_versions_sort_alike(left: str, right: str) -> None:
    assume(not differ_in_zeros_only(left, right))
    assert rpm_order(left, right) == pep440_order(left, right)


@settings(max_examples=500, deadline=None)
@given(versions(), st.sampled_from(["+gabc123", "+1", "+local.1"]))
def test_a_local_version_follows_its_public_one(public: str, local: str) -> None:
    assert rpm_order(public, public + local) == -1


def test_zeros_at_the_end_are_the_documented_difference() -> None:
    assert pep440_order("1.0", "1.0.0") == 0
    assert rpm_order("1.0", "1.0.0") == -1
