"""Single values: what may be written into policy, m4, a spec, shell and server configuration."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgi_sepkg.project import values

Check = Callable[[str], values.Complaints]

HOSTILE = [
    "",
    " ",
    "a b",
    "a\nb",
    "a\x00b",
    "a`b",
    "a'b",
    'a"b',
    "$(id)",
    "%{name}",
    "%(id)",
    "a;b",
    "a#b",
    "define(a)",
    "\u202ea",
    "\u00e4",
    "a\\b",
]


def complaint(found: values.Complaints) -> str:
    assert found, "nothing was refused"
    return "\n".join(f"{message}\n{hint}" for message, hint in found)


@pytest.mark.parametrize("text", ["why", "Größe: 5 % of `x' #1", "日本語", "a" * 500, "e\u0301"])
def test_a_text_of_one_line_is_good(text: str) -> None:
    assert values.text(text) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("  ", "white space only"),
        (" a", "begins or ends with white space"),
        ("a\n", "more than one line"),
        ("a\tb", "U+0009"),
        ("a\x1b[31m", "U+001B"),
        ("a\u2028b", "U+2028"),
        ("a\u2067b", "U+2067"),
        ("a\ue000", "U+E000"),
        ("a" * 501, "longer than 500"),
    ],
)
def test_a_text_that_is_refused(text: str, says: str) -> None:
    assert says in complaint(values.text(text))


def test_the_longest_text_is_asked_for() -> None:
    assert values.text("a" * 501, 4000) == []


@pytest.mark.parametrize("name", ["httpd_t", "A", "t1_t", "dnl_t", "user_x", "x" * 120])
def test_a_good_identifier(name: str) -> None:
    assert values.identifier(name, "type") == []


@pytest.mark.parametrize("name", [*HOSTILE, "1a", "_a", "a-b", "a.b", "x" * 121])
def test_what_is_no_identifier(name: str) -> None:
    assert values.identifier(name, "type")


@pytest.mark.parametrize("name", ["t1", "r2", "allow", "ALLOW", "self", "dnl", "include", "define"])
def test_words_of_the_language_and_of_m4_are_no_names(name: str) -> None:
    assert "is a word of" in complaint(values.identifier(name, "type"))


def test_an_identifier_that_is_nearly_good_is_cured() -> None:
    assert "e.g. guest_book" in complaint(values.identifier("guest-book", "prefix"))


@pytest.mark.parametrize("name", ["guestbook", "guest-book", "G1", "a_b", "x" * 64])
def test_a_good_module(name: str) -> None:
    assert values.module(name) == []


@pytest.mark.parametrize("name", [*HOSTILE, "1a", "t1", "include", "my-dnl", "len-x", "x" * 65])
def test_what_is_no_module(name: str) -> None:
    assert values.module(name)


@pytest.mark.parametrize(
    "path", ["/srv/a", "/var/lib/a-b_c/d.e", "/usr/share/c++", "/srv/a@b", "/srv/include/dnl"]
)
def test_a_good_path(path: str) -> None:
    assert values.path(path) == []
    assert values.plain_path(path) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("srv/a", "begin it with /"),
        ("/srv/a/", "write /srv/a"),
        ("/srv//a", "write /srv/a"),
        ("/srv/./a", ". or .."),
        ("/srv/../etc", ". or .."),
        ("/srv/a*", "name the folder, /srv:"),
        ("/srv/a(/.*)?", "is a pattern"),
        ("/srv/a b", "holds ' '"),
        ("/srv/a%b", "holds '%'"),
        ("/srv/\u00e4", "holds '\\xe4'"),
        ("/" + "a/" * 130 + "a", "longer than 255"),
    ],
)
def test_the_form_of_a_path(path: str, says: str) -> None:
    assert says in complaint(values.plain_path(path))
    assert says in complaint(values.path(path))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "belongs to the host"),
        ("/srv", "top-level"),
        ("/var/lib", "belongs to the host"),
        ("/etc/systemd/system", "belongs to the host"),
        ("/proc/a", "kernel"),
        ("/sys/a/b", "kernel"),
    ],
)
def test_folders_of_the_host_are_not_the_applications(path: str, says: str) -> None:
    assert says in complaint(values.path(path))
    assert values.plain_path(path) == []


@pytest.mark.parametrize("name", ["a", "etc/a.conf", "a-b/../c", ".hidden"])
def test_a_good_name_of_a_file_beside_the_description(name: str) -> None:
    assert values.relative(name) == []


@pytest.mark.parametrize("name", [*HOSTILE, "/etc/passwd", "a" * 256])
def test_what_is_no_name_of_a_file_beside_the_description(name: str) -> None:
    assert values.relative(name)


@pytest.mark.parametrize(
    "pattern",
    [
        "/srv/a(/.*)?",
        r"/srv/a\.b",
        r"/usr/lib/python3\.[0-9]+/a\.so(\.[0-9]+)*",
        "/usr/bin/guestbook-.*",
        "/srv/a/[^/]*/b.?",
        "/srv/a/(b|c)(/.*)?",
        "/srv/a[.]b[[:alpha:]]",
        "/srv/ab?",
    ],
)
def test_a_good_pattern(pattern: str) -> None:
    assert values.pattern(pattern) == []


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("srv/a", "does not begin with /"),
        ("^/srv/a", "does not begin with /"),
        ("/srv/a$", "anchored already"),
        ("/srv/a^b", "anchored already"),
        ("/srv/a b", "holds ' '"),
        ("/srv/a`b", "holds '`'"),
        ("/srv/a%b", "holds '%'"),
        ("/srv/a(b", "no regular expression"),
        ("/srv/a[", "no regular expression"),
        ("/srv/a\\", "no regular expression"),
        ("/srv/a|/srv/b", "parentheses"),
        ("/srv/a.b", r"write '/srv/a\.b'"),
        (r"/srv/a\\.b.[.]", r"write '/srv/a\\\.b\.[.]'"),
        ("/srv/.*", "no literal beginning"),
        ("/srv(/.*)?", "no literal beginning"),
        ("/srv/(a|b)", "no literal beginning"),
        ("/usr(/local)?/bin/a", "no literal beginning"),
        ("/var/lib(/.*)?", "/var/lib belongs to the host"),
        ("/usr/bin/.*", "/usr/bin belongs to the host"),
        ("/usr/share/(a|b)/c", "/usr/share belongs to the host"),
        ("/var/lib", "/var/lib belongs to the host"),
        ("/proc/a/b", "kernel"),
        ("/srv/a" + "b" * 400, "longer than 400"),
    ],
)
def test_a_pattern_that_is_refused(pattern: str, says: str) -> None:
    assert says in complaint(values.pattern(pattern))


@pytest.mark.parametrize(
    ("pattern", "stem"),
    [
        ("/srv/a(/.*)?", "/srv/a"),
        (r"/srv/a\.b", "/srv/a.b"),
        ("/srv/ab?", "/srv/a"),
        (r"/srv/a\.?", "/srv/a"),
        (r"/srv/a\d", "/srv/a"),
        ("/srv/a{2}", "/srv/"),
    ],
)
def test_the_literal_stem_is_what_every_match_begins_with(pattern: str, stem: str) -> None:
    assert values.literal_stem(pattern) == stem


@given(st.text(alphabet="/ab.*?(|)[]\\^${}+-,0", max_size=24))
def test_a_pattern_that_passes_is_one(tail: str) -> None:
    pattern = f"/srv/{tail}"
    if not values.pattern(pattern):
        re.compile(pattern)
        assert values.literal_stem(pattern).count("/") >= 2


@given(st.text(max_size=40))
def test_no_value_makes_a_check_fail(text: str) -> None:
    checks: list[Check] = [
        values.text,
        values.module,
        values.path,
        values.plain_path,
        values.relative,
        values.pattern,
        values.account,
        values.mode,
        values.dotted,
        values.url_path,
        values.requirement,
        values.spdx,
        values.web_address,
        lambda value: values.identifier(value, "type"),
    ]
    for check in checks:
        for candidate in (text, f"/{text}", f"/srv/{text}"):
            for message, hint in check(candidate):
                assert (message + hint).isprintable()


@pytest.mark.parametrize("check", [values.account, values.mode, values.dotted, values.url_path])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_no_accounts_modes_modules_or_urls(check: Check, text: str) -> None:
    assert check(text)
    assert check(f"{text}\n")


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (values.account, "www-data"),
        (values.account, "_x1"),
        (values.mode, "0640"),
        (values.mode, "2750"),
        (values.dotted, "guestbook.settings"),
        (values.dotted, "a"),
        (values.url_path, "/"),
        (values.url_path, "/guest/book-1/"),
        (values.requirement, "python3-django"),
        (values.requirement, "python3dist(django) >= 4.2"),
        (values.requirement, "/usr/bin/python3"),
        (values.requirement, "libx.so.1()(64bit)"),
        (values.spdx, "MIT"),
        (values.spdx, "GPL-2.0+ WITH Classpath-exception-2.0"),
        (values.spdx, "(MIT OR Apache-2.0) AND BSD-3-Clause"),
        (values.web_address, "https://www.example.org/a?b=%20c#d"),
        (values.web_address, "http://localhost:8000"),
    ],
)
def test_good_values(check: Check, good: str) -> None:
    assert check(good) == []
    assert check(f"{good}\n")
    assert check(f"{good}`")


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (values.account, "Root"),
        (values.account, "a" * 32),
        (values.mode, "644"),
        (values.mode, "0648"),
        (values.mode, "\u0660\u0666\u0664\u0664"),
        (values.dotted, "a..b"),
        (values.dotted, "a.class"),
        (values.dotted, "a/b"),
        (values.url_path, "a"),
        (values.url_path, "/a//b"),
        (values.url_path, "/../a"),
        (values.requirement, "a >= %(id)"),
        (values.requirement, "a, b"),
        (values.requirement, "a  >= 1"),
        (values.spdx, "MIT OR"),
        (values.spdx, "OR MIT"),
        (values.spdx, "MIT and BSD"),
        (values.spdx, "((MIT)"),
        (values.spdx, "MIT)"),
        (values.spdx, "()"),
        (values.spdx, ""),
        (values.spdx, "(" * 100 + "MIT" + ")" * 100),
        (values.web_address, "ftp://a.example"),
        (values.web_address, "https://"),
        (values.web_address, "https://a.example/%(id)"),
        (values.web_address, "https://a.example/%zz"),
        (values.web_address, "https://a.example/$(id)"),
    ],
)
def test_bad_values(check: Check, bad: str) -> None:
    assert check(bad)


def test_a_keyword_is_no_python_name() -> None:
    assert values.python_name("application")
    assert values.python_name("_app")
    assert not values.python_name("class")
    assert not values.python_name("\u00e4")


def test_what_is_shown_is_cut_and_quoted_where_it_is_no_plain_word() -> None:
    assert values.shown("httpd_t") == "httpd_t"
    assert values.shown("a b") == "a b"
    assert values.shown("a\x1bb") == r"'a\x1bb'"
    assert values.shown("a" * 200) == "a" * 120 + "..."
    assert values.shown("") == "''"
