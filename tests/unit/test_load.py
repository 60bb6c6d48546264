"""Reading a description: finding it, choosing a target, overrides, and no traceback ever."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsgi_sepkg import targets
from wsgi_sepkg.errors import ConfigError, Problem, UsageError
from wsgi_sepkg.project.load import Loaded, find, load
from wsgi_sepkg.project.schema import Description

EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook" / "wsgi-sepkg.toml"
HEAD = """\
[project]
name = "guestbook"
version = "1.4"
summary = "Guest book"
license = "MIT"
maintainer = "A <a@b.example>"
"""
BOOLEANS = """
[[boolean]]
name = "httpd_enable_cgi"
value = false
reason = "no CGI"

[[boolean]]
name = "httpd_can_network_connect_db"
value = true
reason = "database"
"""
Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: str | bytes) -> Path:
        file = tmp_path / "wsgi-sepkg.toml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return written


def problems(file: Path, target: str = "debian-12", *said: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(file, target, said)
    return caught.value.problems


# -- finding it ------------------------------------------------------------------------------------


def test_a_folder_or_the_file_itself_names_a_description() -> None:
    assert find(EXAMPLE.parent) == EXAMPLE
    assert find(str(EXAMPLE)) == EXAMPLE


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "a\x00b", "a" * 5000, "/etc/passwd/x", "/proc"]
)
def test_what_names_no_description_is_told(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(name)
    assert str(caught.value).replace("\n", "").isprintable()
    assert caught.value.exit_status == 2


def test_a_folder_without_a_description_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name a folder that holds wsgi-sepkg\.toml"):
        find(tmp_path)


def test_a_byte_order_mark_is_no_mistake(write: Write) -> None:
    file = write(b"\xef\xbb\xbf" + HEAD.encode())
    assert load(file).description.project.name == "guestbook"


def test_a_mistake_behind_a_byte_order_mark_has_its_line(write: Write) -> None:
    file = write(b"\xef\xbb\xbf" + HEAD.encode() + b"x = 1\n")
    assert problems(file)[0].place.line == 7


def test_line_ends_of_windows_are_no_mistake(write: Write) -> None:
    assert load(write((HEAD + BOOLEANS).replace("\n", "\r\n"))).description.boolean[1].value


def test_a_huge_file_is_refused(write: Write) -> None:
    with pytest.raises(UsageError, match="larger than 256 kB"):
        load(write(HEAD + "# x\n" * 100_000))


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "{b=" * 5000,
        "a = " + "9" * 10_000,
        "[" + ".".join("a" * 2000) + "]",
        "project = 99999999999999999999999999",
        "[target]\ndebian-12 = 1\n",
        "[target.debian-12.target.el9.project]\nname = 'x'\n",
        "target = 1",
        "project = {}\nproject.a = 1",
        "[[project]]",
    ],
)
def test_a_strange_file_is_a_mistake_not_a_crash(write: Write, text: str) -> None:
    assert problems(write(text))


def test_every_mistake_of_a_long_file_is_told_in_a_second(write: Write) -> None:
    rule = '\n[[call]]\ninterface = "files_serch_tmp{}"\narguments = ["htpd{}_t"]\nreason = "x"\n'
    file = write(HEAD + "".join(rule.format(i, i) for i in range(400)))
    assert len(problems(file)) == 800


def test_the_same_file_gives_the_same_description() -> None:
    first, second = load(EXAMPLE, "el9"), load(EXAMPLE, "el9")
    assert first.description == second.description
    assert first.folder == EXAMPLE.parent
    assert not first.warnings


def test_a_warning_stops_nothing_and_has_its_place(write: Write) -> None:
    file = write(HEAD + BOOLEANS.replace("_connect_db", "_connect"))
    (warning,) = load(file, "debian-12").warnings
    assert warning.warning
    assert (warning.place.line, warning.key) == (14, "boolean[1].name")


def test_without_validation_only_the_form_is_checked(write: Write) -> None:
    file = write(HEAD + BOOLEANS.replace("httpd", "nonsense"))
    assert load(file, validate=False).description.boolean[0].name == "nonsense_enable_cgi"
    with pytest.raises(ConfigError):
        load(write(HEAD + "x = 1"), validate=False)


def test_what_follows_from_a_mistake_of_form_is_not_told_twice(write: Write) -> None:
    file = write(
        HEAD
        + '\n[[type]]\nname = 5\nkind = "file"\n'
        + '\n[[expect]]\npath = "/srv/a/b"\ntype = "guestbook_x_t"\n'
        + '\n[[connect]]\nto = 5\nby = "httpd_t"\nreason = "x"\n'
        + '\n[path]\nmedia = { pth = "/srv/a" }\n'
    )
    assert [p.key for p in problems(file)] == [
        "type[0].name",
        "connect[0].to",
        "path.media.path",
        "path.media.pth",
    ]


# -- the target ------------------------------------------------------------------------------------


def test_the_target_asked_for_is_taken(write: Write) -> None:
    assert load(write(HEAD), "el10").target.name == "el10"


def test_an_unknown_target_is_told_with_the_nearest(write: Write) -> None:
    with pytest.raises(UsageError, match="did you mean fedora"):
        load(write(HEAD), "fedorra")


@pytest.mark.parametrize(
    ("host", "listed", "chosen"),
    [
        ("debian-12", [], "debian-12"),
        ("", [], "debian-12"),
        ("el9", [], "el9"),
        ("el9", ["fedora", "el9"], "el9"),
        ("el9", ["fedora", "el10"], "fedora"),
        ("", ["fedora", "el10"], "fedora"),
        ("debian-12", ["fedora"], "fedora"),
        ("fedora-43", ["el9", "fedora"], "fedora"),
        ("fedora-43", ["fedora", "fedora-43"], "fedora-43"),
    ],
)
def test_the_host_if_listed_else_the_first_listed_else_the_host(
    write: Write, monkeypatch: pytest.MonkeyPatch, host: str, listed: list[str], chosen: str
) -> None:
    monkeypatch.setattr(targets, "host_target", lambda: host)
    text = HEAD + (f"targets = {json.dumps(listed)}\n" if listed else "")
    assert load(write(text)).target.name == chosen


@pytest.mark.parametrize("listed", ['["nonsense"]', "[1, {}, []]", '""', '[""]', "3"])
def test_wrong_targets_are_mistakes_of_the_description(write: Write, listed: str) -> None:
    found = problems(write(HEAD + f"targets = {listed}\n"), "")
    assert all(p.key.startswith("project.targets") for p in found)


# -- overrides of a target -------------------------------------------------------------------------


def overridden(write: Write, text: str, target: str = "debian-12") -> Description:
    return load(write(HEAD + BOOLEANS + text), target).description


def test_a_key_of_a_table_differs_for_one_target(write: Write) -> None:
    text = "\n[target.el9.project]\nrelease = 7\n"
    assert overridden(write, text, "el9").project.release == 7
    assert overridden(write, text, "el9").project.version == "1.4"
    assert overridden(write, text, "fedora").project.release == 1


def test_an_override_for_all_fedoras_counts_for_each_before_its_own(write: Write) -> None:
    text = (
        "\n[target.fedora.project]\nrelease = 7\nepoch = 1\n[target.rawhide.project]\nepoch = 2\n"
    )
    of = {t: overridden(write, text, t).project for t in ("fedora", "fedora-43", "rawhide", "el9")}
    assert {t: (p.release, p.epoch) for t, p in of.items()} == {
        "fedora": (7, 1),
        "fedora-43": (7, 1),
        "rawhide": (7, 2),
        "el9": (1, 0),
    }


REDIS = """
[[boolean]]
name = "httpd_can_network_redis"
value = true
reason = "sessions live in Redis"
"""


def test_a_name_that_is_missing_on_another_target_is_a_warning_there(write: Write) -> None:
    head = HEAD + 'targets = ["fedora", "el8", "el9"]\n'
    found = load(write(head + REDIS), "fedora").warnings
    assert [(p.key, p.place.line, p.warning) for p in found] == [
        ("boolean[0].name", 10, True),
        ("boolean[0].name", 10, True),
    ]
    for target, warning in zip(("el8", "el9"), found, strict=True):
        assert f"httpd_can_network_redis: no such boolean in {target}" in warning.message
    # An override for that target ends it; on the target itself it is a mistake.
    skip = "".join(
        f"\n[target.{t}.boolean.httpd_can_network_redis]\nskip = true\n" for t in ("el8", "el9")
    )
    assert not load(write(head + REDIS + skip), "fedora").warnings
    assert problems(write(head + REDIS), "el9")


def test_a_table_may_be_there_for_one_target_only(write: Write) -> None:
    text = '\n[target.el9.path]\ndata = "/var/lib/guestbook"\n'
    assert overridden(write, text, "el9").path.data == "/var/lib/guestbook"
    assert overridden(write, text).path.data == []


def test_an_entry_of_a_list_is_named_by_its_id(write: Write) -> None:
    text = "\n[target.debian-12.boolean.httpd_can_network_connect_db]\nvalue = false\n"
    assert [b.value for b in overridden(write, text).boolean] == [False, False]
    assert [b.value for b in overridden(write, text, "el9").boolean] == [False, True]


def test_an_entry_of_a_list_is_skipped(write: Write) -> None:
    text = "\n[target.debian-12.boolean.httpd_enable_cgi]\nskip = true\n"
    assert [b.name for b in overridden(write, text).boolean] == ["httpd_can_network_connect_db"]
    assert len(overridden(write, text, "el9").boolean) == 2
    assert len(overridden(write, text.replace("true", "false")).boolean) == 2


def test_a_number_names_an_entry_too(write: Write) -> None:
    port = '\n[[port]]\nnumber = 18181\nreason = "x"\n'
    text = f"{port}\n[target.debian-12.port.18181]\nnumber = 18182\n"
    assert overridden(write, text).port[0].number == 18182


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        (
            "[target.debian-12.boolean.x]\nskip = true",
            "target.debian-12.boolean.x",
            "no such entry",
        ),
        ("[target.debian-12.port.80]\nskip = true", "target.debian-12.port.80", "no such entry"),
        (
            "[target.debian-12.boolean.httpd_enable_cgi]\nskip = 1",
            "target.debian-12.boolean.httpd_enable_cgi.skip",
            "is true, or left out",
        ),
        (
            "[target.debian-12.boolean.httpd_enable_cgi]\nvalu = 1",
            "target.debian-12.boolean.httpd_enable_cgi.valu",
            "did you mean value?",
        ),
        ("[target.debian-12.boolean]\nx = 1", "target.debian-12.boolean.x", "must be a table"),
        ("[[target.debian-12.boolean]]\nx = 1", "target.debian-12.boolean", "must be a table"),
        ("[target.debian-12]\nproject = 1", "target.debian-12.project", "must be a table"),
        ("[target.debian-12.projct]\nx = 1", "target.debian-12.projct", "did you mean project?"),
        ("[target.debian-12.target.el9]\nx = 1", "target.debian-12.target", "unknown key target"),
        ("[target.el9.project]\nepoc = 1", "target.el9.project.epoc", "did you mean epoch?"),
        ("[target]\nel9 = 1", "target.el9", "expected a table"),
        ("[target.el-9]\n", "target.el-9", "did you mean el9?"),
        (
            "[target.debian-12.project]\nversion = '~'",
            "target.debian-12.project.version",
            "PEP 440",
        ),
    ],
)
def test_a_wrong_override_is_told_where_it_stands(
    write: Write, text: str, key: str, says: str
) -> None:
    file = write(HEAD + BOOLEANS + "\n" + text + "\n")
    found = [p for p in problems(file) if p.key == key]
    assert says in f"{found[0].message} {found[0].hint}"
    assert found[0].place.line >= 18


def test_an_id_of_two_entries_is_refused(write: Write) -> None:
    rule = (
        '\n[[allow]]\nsource = "httpd_t"\ntarget = "etc_t"\nclass = "{}"\n'
        'permissions = ["getattr"]\nreason = "x"\n'
    )
    file = write(
        HEAD
        + rule.format("file")
        + rule.format("dir")
        + "\n[target.el9.allow.httpd_t]\nskip=true\n"
    )
    assert "names 2 entries of [[allow]]" in problems(file, "el9")[0].message


def test_places_are_right_behind_a_skipped_entry(write: Write) -> None:
    wrong = BOOLEANS.replace("connect_db", "conect_db")
    skip = "\n[target.debian-12.boolean.httpd_enable_cgi]\nskip = true\n"
    (problem,) = problems(write(HEAD + wrong + skip))
    assert (problem.key, problem.place.line) == ("boolean[1].name", 14)


# -- overrides of a run ----------------------------------------------------------------------------


def settled(*said: str) -> Description:
    return load(EXAMPLE, "debian-12", said).description


def test_a_key_is_set_for_this_run() -> None:
    description = settled(
        "project.version=2.0", 'project.summary="Book"', "application.threads=3", "project.epoch=1"
    )
    assert description.project.version == "2.0"
    assert description.project.summary == "Book"
    assert description.project.epoch == 1
    assert description.application is not None
    assert description.application.threads == 3


def test_text_stays_text_where_the_description_wants_text() -> None:
    application = settled("application.python=3.11", "application.django=4.2").application
    assert application is not None
    assert (application.python, application.django) == ("3.11", "4.2")


def test_lists_tables_and_free_keys_can_be_set() -> None:
    description = settled(
        'project.targets=["el9"]',
        "application.build-environment.DEBUG=1",
        "application.reload=false",
        "path.runtime=/run/guestbook",
    )
    assert description.project.targets == ["el9"]
    assert description.application is not None
    assert description.application.build_environment["DEBUG"] == "1"
    assert not description.application.reload
    assert description.path.runtime == "/run/guestbook"


@pytest.mark.parametrize(
    "said",
    ["", "=", "project.version", "=1", "project..version=1", "connect.smtp.default=true",
     "project.name.x=1", "target.el9.project.version=1"],
)  # fmt: skip
def test_a_setting_of_the_wrong_form_is_wrong_usage(said: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        settled(said)


@pytest.mark.parametrize(
    "said", ["project.versoin=1", "project.version=x", "project.license=1\nname=2", "nonsense=1"]
)
def test_a_wrong_setting_is_told_as_one(said: str) -> None:
    found = problems(EXAMPLE, "debian-12", said)
    assert all(p.place.file.startswith("--set ") for p in found)


def test_a_setting_with_bytes_that_are_no_text_is_told() -> None:
    assert problems(EXAMPLE, "debian-12", "project.summary=a\udcffb")


# -- nothing makes it crash ------------------------------------------------------------------------

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["httpd_t", "/srv/guestbook", "guestbook_t", "file", "read", "1.4", "self", "x"]
    ),
    st.dates(),
    st.datetimes(),
)
KEYS = st.sampled_from(
    sorted(tomllib.loads(EXAMPLE.read_text(encoding="utf-8")))
    + """name version path type target allow deny class permissions source pattern number until
    grant reason interface arguments kind entry to port by through debian-12 el9 skip media secret
    file-context file-transition directory attributes bind-by tunable domain unit waiver""".split()
) | st.text(max_size=5)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        # TOML has no surrogate pairs: other planes are written as they are.
        return "".join(c if ord(c) > 0xFFFF else json.dumps(c)[1:-1] for c in value).join('""')
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def only_our_errors(file: Path, *said: str) -> Loaded | None:
    """Anything but these two errors would be a traceback for the user."""
    with contextlib.suppress(ConfigError, UsageError):
        return load(file, "debian-12", said)
    return None


quick = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(data=st.dictionaries(KEYS, DATA, max_size=5))
def test_any_data_is_a_description_or_an_error(tmp_path: Path, data: dict[str, Any]) -> None:
    file = tmp_path / "wsgi-sepkg.toml"
    file.write_text("".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in data.items()), "utf-8")
    only_our_errors(file)


@quick
@given(data=st.data())
def test_any_change_of_the_example_is_a_description_or_an_error(
    tmp_path: Path, data: st.DataObject
) -> None:
    raw = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = raw
        while isinstance(place, dict | list) and place:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else [0]))
            if not isinstance(place[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
                place[key] = data.draw(DATA)
                break
            place = place[key]
    file = tmp_path / "wsgi-sepkg.toml"
    file.write_text("".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in raw.items()), "utf-8")
    only_our_errors(file)


@quick
@given(content=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_description_or_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "wsgi-sepkg.toml"
    file.write_bytes(content)
    assert only_our_errors(file) is None


@quick
@given(
    key=st.sampled_from(["project.version", "path.media", "application.url", "port", "target.el9"])
    | st.text(max_size=12),
    value=DATA.map(toml) | st.text(max_size=20),
)
def test_any_setting_is_a_description_or_an_error(key: str, value: str) -> None:
    only_our_errors(EXAMPLE, f"{key}={value}")
