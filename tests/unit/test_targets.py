"""What is known of each target is complete and consistent."""

from __future__ import annotations

import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.errors import UsageError


@pytest.mark.parametrize("name", targets.names())
def test_every_name_that_a_target_uses_exists_in_its_policy(name):
    target = targets.load(name)
    for interface in target.interface.values():
        assert interface in target.facts.interfaces
    for server in target.servers.values():
        assert server.domain in target.facts.types
    assert target.default_python in target.pythons
    assert target.source


@pytest.mark.parametrize("name", targets.names())
def test_every_name_of_a_service_exists_in_the_policy(name):
    target = targets.load(name)
    for service in target.services.values():
        for interface in (service.tcp, service.stream, service.call):
            assert not interface or interface in target.facts.interfaces, service.name
        assert not service.port_type or service.port_type in target.facts.types, service.name


@pytest.mark.parametrize("name", targets.names())
def test_every_grant_of_a_use_has_its_words_in_the_policy(name):
    from wsgi_sepkg.policy.derive import _GRANTS, _KIND_CALLS

    target = targets.load(name)
    for macros, *_ in _GRANTS.values():
        for macro in macros:
            assert {macro, macro.removeprefix("mmap_")} & target.facts.macros
    for call in _KIND_CALLS.values():
        word = target.interface[call[1:]] if call.startswith("@") else call
        assert word in target.facts.interfaces


def test_an_unknown_target_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean el9"):
        targets.load("el99")


def test_the_host_is_recognised_by_its_id(tmp_path):
    release = tmp_path / "os-release"
    release.write_text('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n')
    assert targets.host_target(release) == "el9"
    release.write_text("ID=fedora\nVERSION_ID=43\n")
    assert targets.host_target(release) == "fedora"
    release.write_text('ID=debian\nVERSION_ID="12"\n')
    assert targets.host_target(release) == "debian-12"
    release.write_text("ID=alpine\n")
    assert targets.host_target(release) == ""
    assert targets.host_target(tmp_path / "none") == ""


def test_redis_has_a_boolean_only_where_the_policy_has_it():
    assert targets.load("debian-12").services["redis"].boolean == ""
    assert targets.load("fedora").services["redis"].boolean == "httpd_can_network_redis"
