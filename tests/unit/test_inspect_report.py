"""The page and the JSON of an inspection."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from wsgi_sepkg.package.inspect import (
    BooleanChange,
    Dependencies,
    Dependency,
    FileContext,
    Inspection,
    Nevra,
    PackagedFile,
    PolicyContent,
    PolicyModule,
    PolicyRule,
    Port,
    Scriptlet,
    TypeTransition,
)
from wsgi_sepkg.package.scriptlets import Effect, Finding
from wsgi_sepkg.report.inspection import as_json, as_text


@pytest.fixture
def inspection() -> Inspection:
    content = PolicyContent(
        types=("app_t",),
        booleans=(("app_net", True),),
        rules=(
            PolicyRule("allow", "app_t", "self", "tcp_socket", ("create",), "[ app_net ]:True"),
            PolicyRule("allow", "app_t", "self", "tcp_socket", ("bind",), "[ app_net ]:True"),
            PolicyRule("allow", "app_t", "db_t", "fd", ("use",), "", "app_db"),
        ),
        transitions=(TypeTransition("app_t", "var_t", "file", "app_var_t", "x"),),
        file_contexts=(FileContext("/srv/app", "dir", "app_t"),),
    )
    return Inspection(
        file="app.rpm",
        nevra=Nevra("app", 1, "2", "3", "noarch"),
        summary="bad \x1b[31m text",
        license="MIT",
        sourcerpm="app.src.rpm",
        rpm_format=4,
        payload="gzip",
        dependencies=Dependencies(requires=(Dependency("bash", ">=", "5", ("post",)),)),
        scriptlets=(Scriptlet("post", "/bin/sh", "x", (Effect(2, "x", "does x", ("if y",)),)),),
        files=(
            PackagedFile(
                "/bin/x", 0o104755, "4755", "file", "root", "root", ("config",), "ab", "", 3
            ),
        ),
        modules=(
            PolicyModule("/m/app.pp", "app", 21, content),
            PolicyModule("/m/b.pp", "b", note="no tool"),
        ),
        booleans=(BooleanChange("httpd_use_nfs", "1", True, "%post"),),
        ports=(Port("tcp", 1, 2, "app_t", "%post"),),
        findings=(Finding("high", "code", "%post, line 2", "because"),),
        notes=("half of it",),
    )


def test_the_page_has_every_section_in_order(inspection: Inspection) -> None:
    lines = as_text(inspection).splitlines()
    titles = [a for a, b in pairwise(lines) if a and b == "=" * len(a)]
    assert titles == [
        "Package",
        "What it installs",
        "What its scriptlets do",
        "Policy modules",
        "File contexts",
        "Booleans",
        "Ports",
        "Findings",
        "Not read",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "app-1:2-3.noarch",
        "  bash >= 5  (for post)",
        "4755 root:root /bin/x  [setuid, config]",
        "  line 2: does x",
        "    allow app_t -> self:tcp_socket bind create  (if [ app_net ]:True)",
        "    allow app_t -> db_t:fd use  (in optional app_db)",
        '    app_t on var_t:file named "x" gives app_var_t',
        "  no tool",
        "/srv/app  dir  app_t",
        "app_net: new, on by default (module app)",
        "httpd_use_nfs: set on by %post",
        "tcp/1-2  app_t  (%post)",
        "high: %post, line 2: because [code]",
        "- half of it",
    ],
)
def test_the_page_says(inspection: Inspection, line: str) -> None:
    assert line in as_text(inspection).splitlines()


def test_control_characters_of_a_package_do_not_reach_the_terminal(inspection: Inspection) -> None:
    assert "\x1b" not in as_text(inspection)


def test_the_json_is_sorted_and_stable(inspection: Inspection) -> None:
    data = as_json(inspection)
    found = json.loads(data)
    assert list(found) == sorted(found)
    assert found["modules"][0]["content"]["types"] == ["app_t"]
    assert data == as_json(inspection)


def test_several_rules_of_a_source_stand_below_it(inspection: Inspection) -> None:
    read = ("getattr", "ioctl", "lock", "map", "open", "read", "watch")
    rules = (
        PolicyRule("allow", "app_t", "a_t", "file", read, "", "app_db"),
        PolicyRule("allow", "app_t", "a_t", "dir", ("getattr", "open"), "", "app_db"),
    )
    content = PolicyContent(
        rules=rules,
        attribute_members=(("a", ("x_t",)), ("b", ("x_t", "y_t"))),
        required=(("type", ("c_t",)),),
    )
    found = replace(inspection, modules=(PolicyModule("/m/app.pp", "app", 21, content),))
    lines = as_text(found).splitlines()
    place = lines.index("    allow app_t  (in optional app_db)")
    assert lines[place + 1 : place + 3] == [
        "      -> a_t:dir getattr open",
        "      -> a_t:file read_file_perms map watch",
    ]
    assert "  adds to attributes: a b" in lines
    assert not any("needs" in line for line in lines)
    whole = as_text(found, verbose=True).splitlines()
    assert {"  adds to b: x_t y_t", "  needs (type): c_t"} <= set(whole)
    assert f"      -> a_t:file {' '.join(read)}" in whole


def test_the_conditions_of_an_effect_stand_on_one_line(inspection: Inspection) -> None:
    effect = Effect(2, "x", "does x", ("if y", "unless z"))
    found = replace(inspection, scriptlets=(Scriptlet("post", "/bin/sh", "x", (effect,)),))
    assert "  line 2: does x\n      if y; unless z\n" in as_text(found)
