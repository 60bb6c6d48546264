"""Every entry of the knowledge decides its own example; every file follows the schema."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import msgspec
import pytest
from denial_examples import denial

from wsgi_sepkg.denials import knowledge
from wsgi_sepkg.denials.decide import Ladder
from wsgi_sepkg.denials.grounds import Names
from wsgi_sepkg.targets import load, names

KNOWN = knowledge.load()
LADDERS = {name: Ladder(Names(load(name))) for name in ("fedora", "debian-12")}


@pytest.mark.parametrize("entry", KNOWN.entries, ids=lambda e: e.id)
def test_an_entry_decides_its_example(entry: knowledge.Entry) -> None:
    answer = LADDERS["fedora"].answer(denial(entry.example))
    found = [fix.id for fix in answer.fixes]
    assert entry.id in found
    assert entry.weak or found[0] == entry.id


@pytest.mark.parametrize("entry", KNOWN.entries, ids=lambda e: e.id)
def test_without_the_entry_its_example_is_not_decided_so(entry: knowledge.Entry) -> None:
    known = KNOWN.without(entry.id)
    answer = Ladder(LADDERS["fedora"].names, knowledge=known).answer(denial(entry.example))
    assert entry.id not in [fix.id for fix in answer.fixes]


@pytest.mark.parametrize("boolean", KNOWN.booleans, ids=lambda b: f"{b.name}-{b.class_}")
def test_a_boolean_decides_its_example(boolean: knowledge.Boolean) -> None:
    ladder = LADDERS["debian-12" if boolean.family == "refpolicy" else "fedora"]
    if boolean.name not in ladder.names.facts.booleans:
        ladder = LADDERS["debian-12"]
    answer = ladder.answer(denial(boolean.example))
    found = [fix.id for fix in answer.fixes]
    assert f"boolean:{boolean.name}" in found
    first = next(id for id in found if not id.startswith("tunable:"))
    assert boolean.last or first == f"boolean:{boolean.name}"
    fix = answer.fixes[found.index(f"boolean:{boolean.name}")]
    assert fix.opens == tuple(boolean.opens)
    assert not (boolean.refused and fix.change)


@pytest.mark.parametrize("boolean", KNOWN.booleans, ids=lambda b: f"{b.name}-{b.class_}")
def test_a_boolean_is_one_of_some_target(boolean: knowledge.Boolean) -> None:
    having = [n for n in names() if boolean.name in load(n).facts.booleans]
    assert having
    if boolean.family:
        assert boolean.family in {load(n).family for n in having}
        other = "debian-12" if boolean.family == "fedora" else "fedora"
        fixes = LADDERS[other].answer(denial(boolean.example)).fixes
        assert (f"boolean:{boolean.name}", tuple(boolean.opens)) not in [
            (fix.id, fix.opens) for fix in fixes
        ]


@pytest.mark.parametrize("need", KNOWN.own, ids=lambda o: o.id)
def test_a_domains_own_boolean_decides_its_example(need: knowledge.OwnBoolean) -> None:
    fixes = LADDERS["fedora"].answer(denial(need.example)).fixes
    found = [(fix.kind, fix.opens) for fix in (fixes if need.weak else fixes[:1])]
    assert ("boolean", (need.opens,)) in found


@pytest.mark.parametrize("said", KNOWN.said, ids=lambda s: s.words[0])
def test_a_word_of_a_boolean_finds_it_by_its_name(said: knowledge.SaidWord) -> None:
    fixes = LADDERS["fedora"].answer(denial(said.example)).fixes
    assert f"boolean:{said.boolean}" in [fix.id for fix in fixes]
    known = copy.copy(KNOWN)
    known.said = tuple(s for s in KNOWN.said if s != said)
    # What an entry of [[own]] or [[boolean]] knows as well would be found without the word.
    known.own = known.booleans = ()
    fixes = Ladder(LADDERS["fedora"].names, knowledge=known).answer(denial(said.example)).fixes
    assert f"boolean:{said.boolean}" not in [fix.id for fix in fixes]


def test_a_filler_tells_nothing() -> None:
    example = denial("zabbix_agent_t zabbix_agent_t:process setrlimit comm=sudo")
    assert "boolean:zabbix_run_sudo" in [f.id for f in LADDERS["fedora"].answer(example).fixes]
    known = copy.copy(KNOWN)
    known.fillers = frozenset()
    answer = Ladder(LADDERS["fedora"].names, knowledge=known).answer(example)
    assert "boolean:zabbix_run_sudo" not in [f.id for f in answer.fixes]


@pytest.mark.parametrize("wrong", KNOWN.wrong, ids=lambda w: w.name)
def test_what_others_recommend_is_refused(wrong: knowledge.Wrong) -> None:
    ladder = LADDERS["fedora"]
    if wrong.name not in ladder.names.facts.booleans:
        ladder = LADDERS["debian-12"]
    example = denial(f"myapp_t other_t:{wrong.classes[0]} {wrong.permissions[0]} comm=x")
    refused = ladder.answer(example).refused
    assert [r.reason for r in refused if r.what == f"{wrong.name} = on"] == [wrong.reason]


@pytest.mark.parametrize("service", KNOWN.port_services, ids=lambda s: s.type)
def test_a_port_type_names_its_service(service: knowledge.PortService) -> None:
    family = "debian-12" if service.type == "oracledb_port_t" else "fedora"
    answer = LADDERS[family].answer(denial(service.example))
    fix = answer.fixes[0]
    assert (fix.kind, fix.id) == ("allow", "rung:service")
    assert fix.change is not None
    assert (fix.change.word, fix.change.value("service")) == ("connect", service.service)


@pytest.mark.parametrize("accident", KNOWN.accidents, ids=lambda a: a.types[0])
def test_a_port_that_is_labelled_by_accident(accident: knowledge.PortAccident) -> None:
    first = LADDERS["fedora"].answer(denial(accident.example)).fixes[0]
    web = KNOWN.among(["@web"], denial(accident.example).source.type)
    # A port is a matter of configuration only where the other end may have a unix socket.
    taken = web and accident.unix_socket
    wanted = ("app_config", "rung:port-taken", None) if taken else ("port", "rung:port", None)
    assert (first.kind, first.id, first.change) == wanted
    assert accident.usual in first.says


@pytest.mark.parametrize("accident", KNOWN.accidents, ids=lambda a: a.types[0])
def test_the_types_of_an_accident_are_those_of_a_target(accident: knowledge.PortAccident) -> None:
    types = {t for n in names() for t in load(n).facts.types}
    assert set(accident.types) & types


@pytest.mark.parametrize("bind", KNOWN.binds, ids=lambda b: b.types[0])
def test_what_a_server_binds(bind: knowledge.PortBind) -> None:
    assert LADDERS["fedora"].answer(denial(bind.example)).fixes[0].kind == "port"


@pytest.mark.parametrize("problem", KNOWN.problems, ids=lambda p: str(p.number))
def test_a_problem_is_recognised(problem: knowledge.Problem) -> None:
    if problem.silent:
        assert not problem.example
        return
    answer = LADDERS["fedora"].answer(denial(problem.example))
    assert answer.fixes[0].id in problem.entries
    assert answer.problem is not None


def test_the_index_holds_what_each_list_says() -> None:
    """`about` finds by words what `among` tells of one list: the two must not part."""
    seen = [denial(entry.example) for entry in KNOWN.entries]
    for source, target, tclass in {(d.source.type, d.target.type, d.tclass) for d in seen}:
        assert KNOWN.about(source, target, tclass) == tuple(
            entry
            for entry in KNOWN.entries
            if KNOWN.among(entry.source, source)
            and KNOWN.among(entry.target, target)
            and KNOWN.among(entry.class_, tclass)
        )


def test_the_thirty_problems_are_all_there() -> None:
    assert [p.number for p in KNOWN.problems] == list(range(1, 31))


def test_every_name_that_an_entry_uses_is_known() -> None:
    classes = {c for n in names() for c in load(n).facts.classes}
    ids = {e.id for e in KNOWN.entries}
    assert len(ids) == len(KNOWN.entries)
    for entry in KNOWN.entries:
        for name in (*entry.source, *entry.target, *entry.class_):
            word = name.removeprefix("!")
            assert not word.startswith("@") or word[1:] in KNOWN.families, (entry.id, name)
        for name in (c.removeprefix("!") for c in entry.class_):
            assert name.startswith("@") or name in classes | {"lockdown"}, (entry.id, name)
        for pattern in (entry.path, entry.not_path, entry.command, entry.not_command):
            re.compile(pattern)
            assert "@{" not in pattern
    for problem in KNOWN.problems:
        for name in problem.entries:
            assert name in ids or name.startswith(("boolean:", "rung:", "tunable:")), problem.number


def test_every_type_of_an_entry_is_in_some_target() -> None:
    """A name that no target has is a typing error, or a renaming that the entry must follow."""
    types = {t for n in names() for t in load(n).facts.types}
    unknown = {
        name
        for entry in KNOWN.entries
        for name in (*entry.source, *entry.target)
        if not name.lstrip("!").startswith(("@", "*")) and name.lstrip("!") not in types
    }
    assert unknown <= HISTORIC


# Types of releases that are no target, or of packages beside the base policy.
HISTORIC = set(
    "container_runtime_t container_var_lib_t spc_t container_ro_file_t sshd_session_t".split()
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[entry]]\nid = 'x'\nkindd = 'allow'\n", "kindd"),
        ("[[entry]]\nid = 'x'\nkind = 'grant'\n", "kind"),
        ("[[entry]]\nid = 'x'\nkind = 'allow'\nsays='says it'\ncure='cure it'\nrefs=[]\n", "refs"),
        (
            "[[entry]]\nid = 'x'\nkind = 'allow'\nsays='says it'\ncure='cure it'\nrefs=['r']\n"
            "example = 'a_t b_t:file read'\nnot-path = '@{no-socket}'\n",
            "x: there is no family no-socket",
        ),
        ("[[accident]]\ntypes = []\nports = ['1']\nusual = 'much'\nexample = 'x'\n", "types"),
    ],
)
def test_a_file_with_a_mistake_names_the_key(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(msgspec.ValidationError, match=says):
        knowledge.Knowledge(tmp_path)
