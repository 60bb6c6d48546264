"""Expanded policy, read: what an interface grants always, sometimes, and to whom."""

from __future__ import annotations

from pathlib import Path

from denial_examples import denial

from wsgi_sepkg.denials.decide import Ladder
from wsgi_sepkg.denials.expand import PROBE, Expander, Expansion, _read
from wsgi_sepkg.denials.grounds import Names
from wsgi_sepkg.targets import load

TEXT = f"""
require {{ type b_t; class file {{ read open }}; }}
allow {PROBE} b_t:file {{ getattr {{ open read }} }};
allow {PROBE} {{ b_t c_t }}:dir search;
allow {PROBE} self:process signal;
if (a_boolean) {{
allow {PROBE} d_t:file write;
}}
optional {{
require {{ type e_t; }}
allow {PROBE} e_t:{{ file dir }} getattr;
}}
dontaudit {PROBE} f_t:file read;
"""


def test_rules_are_read_with_sets_conditions_and_optional_blocks() -> None:
    found = _read(TEXT)
    assert (PROBE, "b_t", "file", "open") in found.always
    assert (PROBE, "c_t", "dir", "search") in found.always
    assert (PROBE, PROBE, "process", "signal") in found.always
    assert (PROBE, "e_t", "dir", "getattr") in found.always
    assert found.sometimes == {(PROBE, "d_t", "file", "write")}
    assert not any(target == "f_t" for _, target, _, _ in found.always)


def test_an_interface_covers_only_when_all_permissions_are_granted_always() -> None:
    found = _read(TEXT)
    assert found.covers(denial("a_t b_t:file open,read name=x comm=y"))
    assert not found.covers(denial("a_t b_t:file open,write name=x comm=y"))
    assert not found.covers(denial("a_t d_t:file write name=x comm=y"))


def test_of_those_that_cover_the_narrowest_is_proposed(tmp_path: Path) -> None:
    facts = load("debian-12").facts
    expander = Expander(tmp_path, facts)
    one = denial("myapp_t mysqld_db_t:dir search name=x comm=y")
    needed = frozenset({(PROBE, "mysqld_db_t", "dir", "search")})
    more = needed | {(PROBE, "mysqld_db_t", "dir", "write")}
    expander.known = {
        "mysql_rw_db_dirs": Expansion(more, frozenset()),
        "mysql_search_db": Expansion(needed, frozenset()),
        "mysql_read_config": Expansion(frozenset(), frozenset()),
    }
    ladder = Ladder(Names(load("debian-12")), expander=expander)
    name, how = ladder.interface(one, ["mysql_read_config", "mysql_rw_db_dirs", "mysql_search_db"])
    assert name == "mysql_search_db"
    assert "0 access vectors besides" in how
    assert ladder.interface(one, ["mysql_read_config"]) == ("", "")


def test_without_headers_the_answer_says_that_nothing_was_expanded() -> None:
    ladder = Ladder(Names(load("debian-12")))
    one = denial("myapp_t mysqld_db_t:dir search name=x comm=y")
    assert "not expanded" in ladder.interface(one, ["mysql_search_db"])[1]
