"""The simulator's tables, order and reports; nothing is run here."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest

from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.report import simulation
from wsgi_sepkg.simulate.events import EVENTS, Cast, stem, stems
from wsgi_sepkg.simulate.expect import Check
from wsgi_sepkg.simulate.package import Package, Wish, ordered
from wsgi_sepkg.simulate.root import STAND_INS
from wsgi_sepkg.simulate.run import Outcome, simulate
from wsgi_sepkg.simulate.scenarios import Stage, chosen, scenarios
from wsgi_sepkg.simulate.transaction import Call, Step, Transaction


def package(name: str, *wants: str, modules: dict[str, bytes] | None = None) -> Package:
    return Package(
        path=Path(f"{name}.rpm"),
        name=name,
        nevra=f"{name}-1-1.noarch",
        scripts=MappingProxyType({}),
        files=(),
        contents=MappingProxyType({}),
        modules=MappingProxyType(modules or {}),
        booleans=(Wish("httpd_can_sendmail", 1),) if modules else (),
        ports=(),
        wants=frozenset(wants),
    )


# -- scenarios -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda s: s.name)
def test_a_scenario_has_one_thing_a_step_and_known_events(scenario) -> None:
    assert scenario.steps
    for stage in scenario.steps:
        assert sum(bool(x) for x in (stage.install, stage.erase, stage.event)) == 1
        assert not stage.event or stage.event in EVENTS
    assert any(stage.install for stage in scenario.steps)


def test_every_event_is_used_by_a_scenario() -> None:
    used = {stage.event for scenario in scenarios() for stage in scenario.steps}
    assert set(EVENTS) - used == set()


def test_scenarios_have_names_of_their_own() -> None:
    names = [scenario.name for scenario in scenarios()]
    assert len(names) == len(set(names)) >= 29


def test_an_unknown_scenario_names_those_that_exist() -> None:
    with pytest.raises(UsageError, match=r"no scenario instal\n.*install-both"):
        chosen("instal")


def test_all_means_all() -> None:
    assert chosen("all") == scenarios()


def test_a_mistake_in_the_table_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="remove"):
        msgspec.convert({"remove": "both"}, Stage)


def test_a_shell_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="zsh"):
        list(simulate([], "all", shell="zsh"))


# -- packages --------------------------------------------------------------------------------------


def test_a_package_that_another_wants_comes_first() -> None:
    app, policy = package("app", "app-selinux"), package("app-selinux", modules={"app": b""})
    assert ordered([app, policy]) == [policy, app]


def test_packages_that_want_each_other_are_ordered_all_the_same() -> None:
    one, two = package("one", "two"), package("two", "one")
    assert {p.name for p in ordered([one, two])} == {"one", "two"}


def test_groups_follow_what_a_package_brings() -> None:
    app, policy = package("app"), package("app-selinux", modules={"app": b""})
    cast = Cast((app, policy), (app,))
    assert cast.group("policy") == [policy]
    assert cast.group("application") == [app]
    assert cast.group("both", old=True) == [app]
    assert [wish.name for wish in cast.wishes] == ["httpd_can_sendmail"]


def test_file_contexts_are_read_out_of_a_binary_module() -> None:
    text = b"\x90\xff|\xf9/srv/a(/.*)?\tsystem_u:object_r:a_t:s0\n/srv/b -- <<none>>\n"
    binary = package("a-selinux", modules={"a": b"\x00/\x01junk\x8d" + text})
    assert stems(binary.contexts) == {"/srv/a", "/srv/b"}


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("/srv/a(/.*)?  --  system_u:object_r:a_t:s0", "/srv/a"),
        (r"/srv/a/\.upload(/.*)?", "/srv/a/"),
        ("/etc/key system_u:object_r:key_t:s0", "/etc/key"),
    ],
)
def test_a_stem_ends_before_the_first_special_character(pattern: str, wanted: str) -> None:
    assert stem(pattern) == wanted


# -- stand-ins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", sorted(STAND_INS.iterdir()), ids=lambda p: p.name)
def test_a_stand_in_says_that_it_is_one(program: Path) -> None:
    text = program.read_text(encoding="utf-8")
    assert text.startswith(f"#!/bin/sh\n# Stand-in for {program.name}")


# -- transactions and reports ----------------------------------------------------------------------

STEPS = (
    Step("a-selinux", "post", 1, calls=(Call("semodule -X 200 -i a.pp", "loads it"),), policy=True),
    Step(
        "a-selinux",
        "posttrans",
        1,
        calls=(Call("fixfiles -C x restore"), Call("relabel /srv/a")),
        said="a: \x1b[31mred\n",
        policy=True,
    ),
    Step("a", "posttrans", 1, status=2, calls=(Call("restorecon -i /etc/key"),)),
)
OUTCOME = Outcome(
    "install-both",
    "both packages",
    notes=("a note",),
    transactions=(Transaction("install a", STEPS),),
    checks=(Check("no scriptlet fails", "%posttrans a ended with 2"), Check("silent")),
    modules=("200/a",),
    booleans=(("httpd_can_sendmail", 1),),
    relabelled=("/srv/a",),
)


def test_relabelled_paths_are_those_of_fixfiles_and_of_restorecon() -> None:
    (transaction,) = OUTCOME.transactions
    assert transaction.relabelled() == ["/etc/key", "/srv/a"]
    assert transaction.relabelled(policy_only=True) == ["/srv/a"]


def test_the_table_names_what_did_not_hold() -> None:
    text = simulation.as_text([OUTCOME, Outcome("b", "other", skipped="no boolean")])
    assert "FAILED  install-both  both packages\n" in text
    assert "  FAILED: no scriptlet fails\n      %posttrans a ended with 2\n" in text
    assert "held: silent" not in text
    assert "skipped b" in text
    assert text.endswith("0 held, 1 failed, 1 skipped; a scriptlet failed in 1\n")


def test_the_steps_are_told_in_words_and_drive_no_terminal() -> None:
    text = simulation.as_text([OUTCOME], verbose=True)
    assert "    %post a-selinux (1)\n      semodule -X 200 -i a.pp\n          loads it\n" in text
    assert "%posttrans a (1)  ENDED WITH 2" in text
    assert "boolean httpd_can_sendmail: on" in text
    assert "\x1b" not in text


def test_json_has_the_result_of_each_scenario() -> None:
    (found,) = json.loads(simulation.as_json([OUTCOME]))
    assert found["result"] == "FAILED"
    assert found["failing"] == ["%posttrans a: status 2"]
    assert found["transactions"][0]["steps"][0]["calls"][0]["command"] == "semodule -X 200 -i a.pp"
    assert [check["why"] for check in found["checks"]] == ["%posttrans a ended with 2", ""]
