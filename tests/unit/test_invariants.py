"""Each built-in invariant: what breaks it is named, and nothing else is."""

from __future__ import annotations

import copy

import msgspec
import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.policy import invariants
from wsgi_sepkg.policy.derive import derive
from wsgi_sepkg.policy.reach import PROBE_DOMAIN, Domain, Reach
from wsgi_sepkg.project.schema import Description
from wsgi_sepkg.report.check import _power_table

DESCRIPTION = {
    "project": {
        "name": "shop",
        "version": "1",
        "summary": "A shop",
        "license": "MIT",
        "maintainer": "A <a@b.example>",
    },
    "application": {
        "root": "/usr/share/shop",
        "wsgi": "shop.wsgi:application",
        "settings": "shop.settings",
        "confinement": "service",
    },
    "path": {"static": "/usr/share/shop/static", "data": "/var/lib/shop/db"},
    "process": {
        "web": {"kind": "web", "run": "gunicorn shop.wsgi"},
        "worker": {"kind": "worker", "run": "celery -A shop worker"},
    },
    "connect": [{"to": "postgresql", "reason": "orders"}],
}
TARGET = targets.load("debian-12")
DOMAINS = ("shop_t", "shop_worker_t", "shop_manage_t")


def policy(**more):
    return derive(msgspec.convert(DESCRIPTION | more, Description), TARGET)


POLICY = policy()


def sound() -> Reach:
    """Return a linked policy, as read, in which everything holds."""
    domains = {name: Domain(name) for name in (*DOMAINS, "httpd_t", PROBE_DOMAIN)}
    nnp = {("init_t", "nnp_transition"), ("init_t", "nosuid_transition")}
    reach = Reach(
        domains,
        {n: {("init_t", "transition")} for n in DOMAINS} | {"httpd_t": set(), PROBE_DOMAIN: set()},
        {n: set(nnp) for n in DOMAINS},
        {("init_t", f"{n[:-2]}_exec_t", n) for n in DOMAINS},
        set(),
        {name: frozenset() for name in invariants.attributes()},
    )
    for name in DOMAINS:
        grant(reach, name, (f"{name[:-2]}_exec_t", "file", "entrypoint"))
        grant(reach, name, ("postgresql_port_t", "tcp_socket", "name_connect"))
    grant(reach, "shop_t", ("shop_data_t", "file", "open"), ("shop_data_t", "file", "write"))
    return reach


def grant(reach: Reach, domain: str, *vectors: tuple[str, str, str]) -> None:
    reach.domains[domain].vectors.update(vectors)
    reach.domains[domain].switched.update(vectors)


def broken(reach: Reach, of=POLICY) -> list[tuple[str, str]]:
    return [(name, domain) for name, domain, _ in invariants.broken(of, reach, TARGET)]


def test_a_sound_policy_breaks_none():
    assert broken(sound()) == []


GRANTS = {
    "shadow": [("shadow_t", "file", "read")],
    "others": [("httpd_sys_content_t", "file", "open")],
    "ptrace": [("self", "process", "ptrace")],
    "kernel": [("self", "capability", "sys_admin")],
    "policy": [("security_t", "security", "setenforce")],
    "context": [("self", "process", "setcurrent")],
    "code": [("shop_content_t", "file", "write")],
    "write-execute": [("shop_data_t", "file", "execute")],
    "programs": [("bin_t", "file", "execute_no_trans")],
    "bind": [("http_port_t", "tcp_socket", "name_bind")],
    "connect": [("smtp_port_t", "tcp_socket", "name_connect")],
    "leave": [("initrc_t", "process", "transition")],
}


@pytest.mark.parametrize("name", GRANTS)
def test_a_grant_that_breaks_an_invariant_is_named(name):
    reach = sound()
    grant(reach, "shop_t", *GRANTS[name])
    assert broken(reach) == [(name, "shop_t")]


def entered_from_elsewhere(reach):
    reach.entering["shop_t"].add(("httpd_t", "transition"))


def entered_by_another_file(reach):
    reach.automatic.add(("init_t", "bin_t", "shop_t"))


def entered_through_anything(reach):
    grant(reach, "shop_t", ("bin_t", "file", "entrypoint"))


def no_transition(reach):
    reach.entering["shop_t"].clear()


def no_automatic_transition(reach):
    reach.automatic.remove(("init_t", "shop_exec_t", "shop_t"))


def no_nnp(reach):
    reach.nnp["shop_t"].discard(("init_t", "nnp_transition"))


def no_entry_point(reach):
    reach.domains["shop_t"].switched.discard(("shop_exec_t", "file", "entrypoint"))


def permissive(reach):
    reach.domains["shop_t"].permissive = True


def not_linked(reach):
    del reach.domains["shop_t"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (entered_from_elsewhere, "enter"),
        (entered_by_another_file, "enter"),
        (entered_through_anything, "enter"),
        (no_transition, "start"),
        (no_automatic_transition, "start"),
        (no_nnp, "start"),
        (no_entry_point, "start"),
        (permissive, "permissive"),
        (not_linked, "start"),
    ],
)
def test_a_way_in_that_is_wrong_or_missing_is_named(change, name):
    reach = sound()
    change(reach)
    assert broken(reach) == [(name, "shop_t")]


def test_every_invariant_is_asked():
    asked = {*GRANTS, "enter", "start", "permissive"}
    assert asked == set(invariants.INVARIANTS)


def test_the_lost_nnp_grant_says_what_would_happen():
    reach = sound()
    no_nnp(reach)
    ((_, _, text),) = invariants.broken(POLICY, reach, TARGET)
    assert "would stay in init_t, unconfined" in text


def test_what_every_domain_of_the_base_policy_has_breaks_nothing():
    reach = sound()
    for name in ("shop_t", PROBE_DOMAIN):
        grant(
            reach, name, ("lib_t", "file", "execute_no_trans"), ("abrt_t", "process", "transition")
        )
    assert broken(reach) == []


def test_powers_allow_what_they_name_and_no_more():
    power = [{"name": "helpers", "reason": "thumbnails"}]
    reach = sound()
    grant(reach, "shop_worker_t", ("bin_t", "file", "execute_no_trans"))
    assert broken(reach, policy(power=power)) == []
    grant(reach, "shop_t", ("bin_t", "file", "execute_no_trans"))
    assert broken(reach, policy(power=power)) == [("programs", "shop_t")]


def test_management_commands_write_static_files_with_the_power_only():
    power = [{"name": "collect-static", "reason": "plugins bring some"}]
    reach = sound()
    grant(reach, "shop_manage_t", ("shop_static_t", "file", "create"))
    assert broken(reach, policy(power=power)) == []
    assert broken(reach) == [("code", "shop_manage_t")]


def test_a_waiver_covers_a_permissive_domain():
    waiver = {"grant": "permissive shop_t", "reason": "trial", "until": "2099-01-01"}
    reach = sound()
    permissive(reach)
    assert broken(reach, policy(waiver=[waiver])) == []


def test_the_table_counts_beyond_a_bare_domain_and_keeps_booleans_apart():
    reach = sound()
    common = ("null_device_t", "chr_file", "read")
    for name in (*DOMAINS, "httpd_t", PROBE_DOMAIN):
        grant(reach, name, common)
    grant(reach, "httpd_t", *((f"x{i}_t", "file", "read") for i in range(100)))
    smtp = ("smtp_port_t", "tcp_socket", "name_connect")
    reach.domains["shop_t"].switched.add(smtp)
    reach.domains["shop_t"].boolean[("auth_port_t", "tcp_socket", "name_connect")] = frozenset(
        ["daemons_use_tcp_wrapper"]
    )
    table = invariants.power_table(POLICY, reach, "httpd_t", {"daemons_use_tcp_wrapper": False})
    shop = next(p for p in table.processes if p.domain == "shop_t")
    assert (table.server_vectors, shop.vectors) == (100, 4)
    assert shop.share == 0.04
    assert shop.connects == (("postgresql_port_t", True), ("smtp_port_t", False))
    assert shop.by_boolean == (("auth_port_t", "daemons_use_tcp_wrapper", False),)
    assert shop.writes == ("shop_data_t",)
    text = "\n".join(_power_table(table))
    assert "smtp_port_t (off as shipped)" in text
    assert "auth_port_t (daemons_use_tcp_wrapper, off as shipped)" in text
    assert "4.0 %" in text


def test_reading_changes_nothing():
    reach = sound()
    before = copy.deepcopy(reach)
    broken(reach)
    assert reach == before
