"""What is known of each target is complete and consistent."""

from __future__ import annotations

import pytest

from wsgi_sepkg import targets
from wsgi_sepkg.errors import UsageError

# redis_stream_connect came to the policy in June 2020, after 3.14.3.
LACKING = {("el8", "redis", "stream")}


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
        entry = targets._services()[service.name]
        for key, value in (("tcp", service.tcp), ("stream", service.stream)):
            said = entry.get(key, "")
            said = said.get(target.family, "") if isinstance(said, dict) else said
            # What a release lacks that its family has is told, not called.
            assert value == said or (name, service.name, key) in LACKING
            assert not value or value in target.facts.interfaces, service.name
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
    assert targets.host_target(release) == "fedora-43"
    release.write_text("ID=fedora\nVERSION_ID=77\n")
    assert targets.host_target(release) == "fedora"
    release.write_text('ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="8.10"\n')
    assert targets.host_target(release) == "el8"
    release.write_text('ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\n')
    assert targets.host_target(release) == ""
    release.write_text('ID=debian\nVERSION_ID="12"\n')
    assert targets.host_target(release) == "debian-12"
    release.write_text("ID=alpine\n")
    assert targets.host_target(release) == ""
    assert targets.host_target(tmp_path / "none") == ""


def test_redis_has_a_boolean_only_where_the_policy_has_it():
    assert targets.load("debian-12").services["redis"].boolean == ""
    assert targets.load("fedora").services["redis"].boolean == "httpd_can_network_redis"


# Module formats by userspace, read from every tag of libsepol (POLICYDB_VERSION_MAX of modules).
NEWEST = {"2.9": 19, "3.3": 20, "3.4": 21, "3.6": 21, "3.8": 22, "3.9": 23, "3.10": 24, "3.11": 24}


@pytest.mark.parametrize("name", targets.names())
def test_the_module_format_is_that_of_the_oldest_release(name):
    target = targets.load(name)
    assert target.module_format == min(r.module_format for r in target.releases)
    for release in target.releases:
        assert NEWEST[release.userspace.split()[0]] == release.module_format


def test_the_formats_that_a_package_is_pinned_to():
    formats = {name: targets.load(name).module_format for name in targets.names()}
    assert formats == {
        "debian-12": 21,
        "el8": 19,
        "el9": 20,
        "el10": 22,
        "fedora": 22,
        "fedora-42": 22,
        "fedora-43": 23,
        "fedora-44": 24,
        "fedora-45": 24,
        "rawhide": 24,
    }


@pytest.mark.parametrize("name", targets.names())
def test_the_spellings_are_those_of_the_file_contexts(name):
    target = targets.load(name)
    aliases = dict(target.facts.equivalences)
    other = {"/run": "/var/run", "/var/run": "/run"}[target.run]
    assert aliases.get(other) == target.run
    assert target.run not in aliases
    assert (aliases.get("/usr/sbin") == "/usr/bin") == (target.sbin == "merged")


def test_enterprise_linux_10_merges_sbin_with_its_first_minor():
    sbin = {r.name: r.sbin for r in targets.load("el10").releases}
    assert sbin == {"10.0": "separate", "10.1": "merged", "10.2 and later": "merged"}


@pytest.mark.parametrize("name", [n for n in targets.names() if n != "debian-12"])
def test_a_target_knows_where_it_is_built(name):
    target = targets.load(name)
    number = target.macros.get("rhel") or target.macros["fedora"]
    place = "rawhide" if name == "rawhide" else number
    assert target.mock_root.endswith(f"-{place}-x86_64")
    assert set(target.build.mock_roots.values()) >= {target.mock_root}
    assert target.copr_chroot in (f"epel-{place}-x86_64", f"fedora-{place}-x86_64")
    assert target.macros["dist"] == (f".el{number}" if "rhel" in target.macros else f".fc{number}")
    assert target.koji_target
    assert target.facts_note


def test_a_release_of_a_distribution_belongs_to_the_target_that_stands_for_all():
    fedoras = [n for n in targets.names() if targets.load(n).group == "fedora"]
    every = {r.name for r in targets.load("fedora").releases}
    assert every == {targets.load(n).macros["fedora"] for n in fedoras}
    for name in fedoras:
        assert targets.load(name).facts.folder == targets.load("fedora").facts.folder


def test_the_defects_of_the_macros_of_each_target_are_told():
    el8 = [text for text, _ in targets.load("el8").policy_macros.defects]
    el9 = [text for text, _ in targets.load("el9").policy_macros.defects]
    assert any("sourced unguarded" in text for text in el8)
    assert not any("sourced unguarded" in text for text in el9)
