"""The package's real scriptlets, read from built RPMs, run by real shells in a scratch root."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import package_tools as tools
import pytest
from package_tools import SELINUX, Root, flat
from shop import PATHS, PORT, boolean, description

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is not installed"),
]

WORLDS = [
    ("own", "bash"),
    ("own", "dash"),
    ("el8", "bash"),
    ("el8", "dash"),
    ("el9", "bash"),
    ("el10", "bash"),
    ("fedora", "bash"),
]
CHANGED = PATHS + 'cache = "/var/cache/shop"\n'
HOME = '\n[path]\ndata = "/mnt/shop/data"\n'
STATE = "/var/lib/rpm-state"


class World:
    """The macros that packages are built with, and the root that they are installed in."""

    def __init__(self, family: str, shell: str) -> None:
        self.family = family
        self.shell = shell
        self.root = Root(shell)

    def package(self, text: str) -> Path:
        return tools.selinux_package(tools.package(text, self.family))


@pytest.fixture(params=WORLDS, ids="-".join)
def world(request: pytest.FixtureRequest) -> World:
    return World(*request.param)


@pytest.fixture(params=["own", "fedora"])
def either(request: pytest.FixtureRequest) -> World:
    return World(request.param, "dash" if request.param == "own" else "bash")


@pytest.fixture
def root() -> Root:
    return Root("dash")


def own(text: str) -> Path:
    return tools.selinux_package(tools.package(text))


def semodules(calls: dict[str, list[str]]) -> list[str]:
    return [call for call in flat(calls) if call.startswith("semodule")]


def relabelled(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith(("relabel", "restorecon"))]


# -- what happens when -----------------------------------------------------------------------------


def test_an_installation_loads_all_modules_in_one_transaction_at_priority_200(world: World) -> None:
    calls = world.root.install(world.package(description(PORT)))
    (call,) = semodules(calls)
    assert " -X 200 -i " in call
    assert call.count("/shop.pp.bz2") == call.count("/shop_ports.cil.bz2") == 1
    assert world.root.modules() == {"200/shop", "200/shop_ports"}


def test_an_installation_loads_in_post_and_relabels_in_posttrans(world: World) -> None:
    calls = world.root.install(world.package(description()))
    assert calls["pre"] == []
    assert [call.split()[0] for call in calls["post"]] == ["semodule", "load_policy"]
    assert relabelled(calls["posttrans"]) == ["relabel /usr/share/shop", "relabel /var/lib/shop"]


def test_a_good_installation_says_nothing_and_leaves_nothing_in_rpm_state(world: World) -> None:
    world.root.install(world.package(description(PORT + boolean("httpd_can_sendmail"))))
    assert list(world.root.at(STATE).iterdir()) == []
    assert not list(world.root.at("/var/lib/selinux/targeted").glob("*.tmp"))
    said = [text for text in world.root.said if "no boolean" not in text]
    assert "".join(said) == ""


def test_an_upgrade_with_the_same_contexts_relabels_nothing(world: World) -> None:
    old, new = world.package(description()), world.package(description(version="1.1"))
    world.root.install(old)
    calls = world.root.upgrade(old, new)
    assert relabelled(flat(calls)) == []
    assert len(semodules(calls)) == 1


def test_an_upgrade_never_removes_the_module(world: World) -> None:
    old, new = world.package(description()), world.package(description(version="1.1"))
    world.root.install(old)
    assert not [c for c in semodules(world.root.upgrade(old, new)) if " -r " in c]
    assert world.root.modules() == {"200/shop"}


def test_an_upgrade_relabels_what_the_new_contexts_change_and_no_more(world: World) -> None:
    old = world.package(description())
    new = world.package(description(version="1.1", paths=CHANGED))
    world.root.install(old)
    calls = world.root.upgrade(old, new)
    assert relabelled(calls["posttrans"]) == ["relabel /var/cache/shop"]
    assert relabelled(flat(calls)) == relabelled(calls["posttrans"])


def test_a_port_module_that_is_dropped_goes_in_the_call_that_loads_the_rest(world: World) -> None:
    old, new = world.package(description(PORT)), world.package(description(version="1.1"))
    world.root.install(old)
    (call,) = semodules(world.root.upgrade(old, new))
    assert " -X 200 -r shop_ports -X 200 -i " in call
    assert world.root.modules() == {"200/shop"}


def test_a_renamed_module_goes_in_the_call_that_loads_the_new_one(world: World) -> None:
    old = world.package(description())
    new = world.package(description(version="1.1", project='module = "boutique"'))
    world.root.install(old)
    (call,) = semodules(world.root.upgrade(old, new))
    assert " -r shop " in call
    assert world.root.modules() == {"200/boutique"}


def test_a_module_of_a_previous_name_goes_even_when_no_manifest_tells_of_it(either: World) -> None:
    either.root.at("/var/lib/selinux/targeted/active/modules/200/kiosk").mkdir(parents=True)
    new = either.package(description(project='previous-modules = ["kiosk", "never_there"]'))
    (call,) = semodules(either.root.install(new))
    assert " -X 200 -r kiosk " in call
    assert "never_there" not in call
    assert either.root.modules() == {"200/shop"}


def test_modules_of_a_previous_priority_go_or_they_would_hide_ours(either: World) -> None:
    old = either.package(description())
    either.root.install(old)
    store = either.root.at("/var/lib/selinux/targeted/active/modules")
    (store / "400/kiosk").mkdir(parents=True)
    (store / "200/shop").rename(store / "400/shop")
    project = 'previous-priority = 400\nprevious-modules = ["kiosk"]'
    new = either.package(description(version="1.1", project=project))
    (call,) = semodules(either.root.upgrade(old, new))
    assert " -X 400 -r shop -X 400 -r kiosk -X 200 -i " in call
    assert either.root.modules() == {"200/shop"}


def test_erasing_removes_the_modules_then_restores_the_labels(world: World) -> None:
    package = world.package(description(PORT))
    world.root.install(package)
    world.root.at("/var/lib/shop").mkdir()
    calls = world.root.erase(package)
    assert calls["preun"] == []
    words = [call.split()[0] for call in calls["postun"]]
    assert words == ["semodule", "load_policy", "restorecon"]
    assert calls["postun"][-1] == "restorecon -R -i /var/lib/shop"
    assert world.root.modules() == set()


def test_erasing_removes_the_module_although_the_ports_are_gone_already(world: World) -> None:
    package = world.package(description(PORT))
    world.root.install(package)
    shutil.rmtree(world.root.at("/var/lib/selinux/targeted/active/modules/200/shop_ports"))
    world.root.erase(package)
    assert world.root.modules() == set()


def test_an_interrupted_installation_does_no_harm_to_the_next_one(world: World) -> None:
    package = world.package(description())
    world.root.step(package, "PREIN", 1)
    calls = world.root.install(package)
    assert len(semodules(calls)) == 1
    assert relabelled(calls["posttrans"]) == ["relabel /usr/share/shop", "relabel /var/lib/shop"]
    assert list(world.root.at(STATE).iterdir()) == []


def test_a_manifest_that_an_aborted_upgrade_left_is_not_believed_at_an_installation(
    either: World,
) -> None:
    either.root.write(f"{STATE}/{SELINUX}.manifest", "module shop\nmodule foreign\n")
    either.root.at("/var/lib/selinux/targeted/active/modules/200/foreign").mkdir(parents=True)
    either.root.install(either.package(description()))
    assert either.root.modules() == {"200/foreign", "200/shop"}


def test_a_new_manifest_that_lies_there_before_pre_is_not_taken_for_the_old_one(
    either: World,
) -> None:
    """rpm-ostree unpacks all packages before it runs the first %pre."""
    package = either.package(description(boolean("httpd_can_sendmail")))
    either.root.set_booleans(httpd_can_sendmail=0)
    either.root.unpack(package)
    either.root.install(package)
    assert either.root.boolean("httpd_can_sendmail") == 1


def test_what_fixfiles_skips_is_restored_by_name(either: World) -> None:
    package = either.package(description(paths=HOME))
    either.root.at("/mnt/shop/data").mkdir(parents=True)
    assert "restorecon -R -i /mnt/shop/data" in either.root.install(package)["posttrans"]


def test_what_fixfiles_skips_is_left_alone_when_the_contexts_stay(either: World) -> None:
    old, new = (either.package(description(version=v, paths=HOME)) for v in ("1.0", "1.1"))
    either.root.at("/mnt/shop/data").mkdir(parents=True)
    either.root.install(old)
    assert relabelled(flat(either.root.upgrade(old, new))) == []


def test_every_policy_type_has_its_module_but_only_the_type_of_the_host_is_loaded(
    either: World,
) -> None:
    project = 'policy-types = ["targeted", "minimum"]'
    package = either.package(description(project=project))
    (call,) = semodules(either.root.install(package))
    assert "/packages/targeted/shop.pp.bz2" in call
    assert "".join(either.root.said) == ""


# -- hosts that differ -----------------------------------------------------------------------------


def _whole_life(world: World) -> list[str]:
    """Install, upgrade, erase; each scriptlet ends with 0 or the step fails. Return the calls."""
    rest = PORT + boolean("httpd_can_sendmail", when="always")
    old = world.package(description(rest))
    new = world.package(description(boolean("httpd_can_sendmail"), version="1.1", paths=HOME))
    calls = world.root.install(old), world.root.upgrade(old, new), world.root.erase(new)
    return [call for step in calls for call in flat(step)]


def test_without_a_selinux_configuration_nothing_happens_and_nothing_fails(world: World) -> None:
    shutil.rmtree(world.root.at("/etc/selinux"))
    assert _whole_life(world) == []


def test_an_erasure_removes_the_module_though_the_configuration_is_lost(world: World) -> None:
    package = world.package(description())
    world.root.install(package)
    world.root.at("/etc/selinux/config").unlink()
    assert len(semodules(world.root.erase(package))) == 1
    assert not list(world.root.at("/var/lib/selinux/targeted/active/modules/200").iterdir())


def test_with_another_policy_type_nothing_happens_and_the_reason_is_said(world: World) -> None:
    world.root.write("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=mls\n")
    assert semodules({"all": _whole_life(world)}) == []
    assert "this host has policy mls: the modules for targeted are not loaded" in str(
        world.root.said
    )


def test_with_selinux_disabled_the_store_is_filled_but_nothing_loaded_or_relabelled(
    world: World,
) -> None:
    world.root.at("/selinux-on").unlink()
    world.root.set_booleans(httpd_can_sendmail=0)
    calls = _whole_life(world)
    assert [c for c in calls if c.startswith("semodule") and " -i " in c]
    assert not [c for c in calls if c.startswith(("load_policy", "restorecon", "fixfiles"))]
    assert all(c.endswith(" -N") for c in calls if c.startswith("semanage import"))


def test_a_permissive_host_is_treated_like_an_enforcing_one(either: World) -> None:
    either.root.write("/etc/selinux/config", "SELINUX=permissive\nSELINUXTYPE=targeted\n")
    either.root.install(either.package(description()))
    assert either.root.modules() == {"200/shop"}


def test_without_a_module_store_nothing_fails_and_the_reason_is_said(either: World) -> None:
    shutil.rmtree(either.root.at("/var/lib/selinux"))
    assert semodules({"all": _whole_life(either)}) == []
    assert "no module store of policy targeted" in "".join(either.root.said)


def test_a_store_below_etc_is_found_as_image_builds_have_it(root: Root) -> None:
    shutil.move(
        root.at("/var/lib/selinux/targeted/active"), root.at("/etc/selinux/targeted/active")
    )
    root.install(own(description()))
    assert root.at("/etc/selinux/targeted/active/modules/200/shop/hll").is_file()
    assert "".join(root.said) == ""


@pytest.mark.parametrize(
    "missing",
    [
        "semodule",
        "restorecon",
        "fixfiles",
        "semanage",
        "load_policy",
        "selinuxenabled",
        "systemctl",
        "bzip2 cmp awk",
        "semodule semanage restorecon fixfiles load_policy selinuxenabled systemctl",
    ],
)
def test_nothing_fails_when_a_tool_is_missing(either: World, missing: str) -> None:
    for name in missing.split():
        for folder in ("/usr/bin", "/usr/sbin"):
            either.root.at(f"{folder}/{name}").unlink(missing_ok=True)
    _whole_life(either)


@pytest.mark.parametrize("failing", ["fail-semodule", "fail-semanage", "fail-load"])
def test_nothing_fails_when_a_tool_fails(either: World, failing: str) -> None:
    either.root.set_booleans(httpd_can_sendmail=0)
    either.root.write(failing, "")
    _whole_life(either)


def test_nothing_fails_when_var_cannot_be_written(either: World) -> None:
    shutil.rmtree(either.root.at(STATE))
    either.root.write(STATE, "not a folder")
    either.root.at("/var/lib/selinux/targeted/rpmbooleans.custom").mkdir()
    either.root.set_booleans(httpd_can_sendmail=0)
    _whole_life(either)


@pytest.mark.parametrize("step", ["PREIN", "POSTIN", "PREUN", "POSTUN", "POSTTRANS"])
def test_a_scriptlet_without_its_argument_ends_well(step: str, root: Root) -> None:
    root.step(own(description()), step, "")


# -- verification ----------------------------------------------------------------------------------


def test_a_module_that_was_not_loaded_is_named_with_the_cure(world: World) -> None:
    world.root.write("fail-semodule", "")
    world.root.install(world.package(description(PORT)))
    said = "".join(world.root.said)
    for name, file in (("shop", "shop.pp"), ("shop_ports", "shop_ports.cil")):
        cure = f"semodule -s targeted -X 200 -i /usr/share/selinux/packages/targeted/{file}.bz2"
        assert f"the policy module {name} is NOT active" in said
        assert cure in said


def test_what_semodule_says_is_shown(world: World) -> None:
    world.root.write("fail-semodule", "")
    world.root.install(world.package(description()))
    assert "semodule: failed by order" in "".join(world.root.said)


def test_the_old_module_that_a_failed_upgrade_leaves_active_is_reported(either: World) -> None:
    old = either.package(description())
    new = either.package(description(version="1.1", paths=CHANGED))
    either.root.install(old)
    either.root.write("fail-semodule", "")
    either.root.upgrade(old, new)
    assert "shop that is active is NOT the one of this package" in "".join(either.root.said)


def test_a_module_that_cannot_be_removed_is_named(world: World) -> None:
    package = world.package(description())
    world.root.install(package)
    world.root.write("fail-semodule", "")
    world.root.erase(package)
    assert "the policy module shop is still in the store" in "".join(world.root.said)


def _verify(root: Root, package: Path) -> subprocess.CompletedProcess[str]:
    return root.run(tools.scriptlets(package)["VERIFYSCRIPT"])


def test_rpm_verify_is_content_and_silent_when_all_is_well(either: World) -> None:
    package = either.package(description(PORT))
    either.root.install(package)
    done = _verify(either.root, package)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_rpm_verify_fails_on_stderr_alone_when_the_module_is_gone(either: World) -> None:
    package = either.package(description())
    either.root.install(package)
    shutil.rmtree(either.root.at("/var/lib/selinux/targeted/active/modules/200"))
    done = _verify(either.root, package)
    assert (done.returncode, done.stdout) == (1, "")
    assert "NOT active" in done.stderr


def test_rpm_verify_is_quiet_for_others_than_root(root: Root) -> None:
    root.at("/usr/bin/id").unlink()
    root.write("/usr/bin/id", "#!/bin/sh\necho 1000\n")
    root.at("/usr/bin/id").chmod(0o755)
    done = _verify(root, own(description()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_rpm_verify_finds_a_disabled_module(root: Root) -> None:
    package = own(description())
    root.install(package)
    root.write("/var/lib/selinux/targeted/active/modules/disabled/shop", "")
    done = _verify(root, package)
    assert done.returncode == 1
    assert "shop is disabled. Run: semodule -s targeted -e shop" in done.stderr


def test_rpm_verify_finds_a_module_of_a_higher_priority(root: Root) -> None:
    package = own(description())
    root.install(package)
    root.at("/var/lib/selinux/targeted/active/modules/400/shop").mkdir(parents=True)
    done = _verify(root, package)
    assert done.returncode == 1
    assert "a module shop at priority 400 hides ours" in done.stderr


LOCAL = "/etc/selinux/targeted/contexts/files/file_contexts.local"


def test_a_local_context_over_ours_is_mentioned_after_an_installation(root: Root) -> None:
    root.write(LOCAL, "/var/lib/shop(/.*)?    system_u:object_r:tmp_t:s0\n")
    root.install(own(description()))
    said = "".join(root.said)
    assert "the local file context for /var/lib/shop(/.*)? (system_u:object_r:tmp_t:s0)" in said


def test_a_local_context_of_a_neighbour_is_not_mentioned(root: Root) -> None:
    root.write(LOCAL, "/var/lib/shopping(/.*)?    system_u:object_r:tmp_t:s0\n")
    root.install(own(description()))
    assert "".join(root.said) == ""


# -- booleans --------------------------------------------------------------------------------------

MAIL = "httpd_can_sendmail"
WHEN = ["always", "first-install"]


def wish(version: str, when: str = "", value: bool = True, name: str = MAIL) -> str:
    """Return a description that wants the boolean, or ('' for ``when``) does not any more."""
    return description(boolean(name, value, when) if when else "", version=version)


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("default", [0, 1])
def test_a_boolean_is_set_and_has_its_original_value_after_erasing(
    world: World, when: str, default: int
) -> None:
    package = world.package(wish("1.0", when, value=not default))
    world.root.set_booleans(httpd_can_sendmail=default)
    world.root.install(package)
    assert world.root.boolean(MAIL) == (not default)
    world.root.erase(package)
    assert world.root.boolean(MAIL) == default
    assert world.root.record() == []


@pytest.mark.parametrize("when", WHEN)
def test_what_the_administrator_had_set_before_is_what_comes_back(either: World, when: str) -> None:
    package = either.package(wish("1.0", when, value=False))
    either.root.set_booleans(httpd_can_sendmail=0)
    either.root.admin_sets(MAIL, 1)
    either.root.install(package)
    assert either.root.boolean(MAIL) == 0
    either.root.erase(package)
    assert either.root.boolean(MAIL) == 1


@pytest.mark.parametrize("second", [*WHEN, ""])
@pytest.mark.parametrize("first", WHEN)
def test_from_any_wish_to_any_other_the_value_holds_and_the_original_comes_back(
    either: World, first: str, second: str
) -> None:
    root = either.root
    root.set_booleans(httpd_can_sendmail=0)
    versions = [("1.0", first), ("1.1", second), ("1.2", second)]
    old, *rest = (either.package(wish(version, when)) for version, when in versions)
    root.install(old)
    for new in rest:
        root.upgrade(old, new)
        old = new
        assert root.boolean(MAIL) == (1 if second else 0)
        assert len(root.record()) == (1 if second else 0)
    root.erase(old)
    assert root.boolean(MAIL) == 0
    assert root.record() == []


def test_a_first_install_boolean_leaves_a_later_change_of_the_administrator_alone(
    either: World,
) -> None:
    old, new = (
        either.package(wish("1.0", "first-install")),
        either.package(wish("1.1", "first-install")),
    )
    either.root.set_booleans(httpd_can_sendmail=0)
    either.root.install(old)
    either.root.admin_sets(MAIL, 0)
    calls = either.root.upgrade(old, new)
    assert either.root.boolean(MAIL) == 0
    assert not [call for call in flat(calls) if call.startswith("semanage import")]


def test_an_always_boolean_is_set_again_by_an_upgrade(either: World) -> None:
    old, new = either.package(wish("1.0", "always")), either.package(wish("1.1", "always"))
    either.root.set_booleans(httpd_can_sendmail=0)
    either.root.install(old)
    either.root.admin_sets(MAIL, 0)
    either.root.upgrade(old, new)
    assert either.root.boolean(MAIL) == 1


def test_a_boolean_that_an_upgrade_adds_is_set(either: World) -> None:
    old, new = either.package(wish("1.0")), either.package(wish("1.1", "first-install"))
    either.root.set_booleans(httpd_can_sendmail=0)
    either.root.install(old)
    either.root.upgrade(old, new)
    assert either.root.boolean(MAIL) == 1


def test_a_boolean_whose_name_ends_like_another_is_not_mistaken_for_it(either: World) -> None:
    """The distribution's macros look for the end of the line only."""
    package = either.package(wish("1.0", "always", name="httpd_can_network_connect"))
    either.root.set_booleans(httpd_can_network_connect=0, my_httpd_can_network_connect=0)
    either.root.admin_sets("my_httpd_can_network_connect", 1)
    record = "boolean -m -1 my_httpd_can_network_connect"
    either.root.write("/var/lib/selinux/targeted/rpmbooleans.custom", record + "\n")
    either.root.install(package)
    either.root.erase(package)
    assert either.root.boolean("httpd_can_network_connect") == 0
    assert either.root.boolean("my_httpd_can_network_connect") == 1
    assert either.root.record() == [record]


def test_a_boolean_that_another_package_wants_too_stays_when_ours_goes(either: World) -> None:
    """The other package's lines are in the distribution's record, in the distribution's form."""
    package = either.package(wish("1.0", "always"))
    either.root.set_booleans(httpd_can_sendmail=0)
    either.root.admin_sets(MAIL, 1)
    line = f"boolean -m --off {MAIL}"
    either.root.write("/var/lib/selinux/targeted/rpmbooleans.custom", f"# managed\n{line}\n")
    either.root.install(package)
    assert either.root.record() == [line, line]
    either.root.erase(package)
    assert either.root.record() == [line]
    assert either.root.boolean(MAIL) == 1


@pytest.mark.parametrize("family", ["el8", "el9", "el10", "fedora"])
@pytest.mark.parametrize("ours_goes_first", [True, False])
def test_the_distributions_macros_and_ours_count_together(
    family: str, ours_goes_first: bool
) -> None:
    world = World(family, "bash")
    expand = ["rpm", "--load", tools.MACROS / f"{family}.macros", "--eval"]
    set_, unset = (
        subprocess.run(
            [*expand, f"%{{selinux_{word}_booleans -s targeted {MAIL}=1}}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for word in ("set", "unset")
    )
    package = world.package(wish("1.0", "always", value=True))
    world.root.set_booleans(httpd_can_sendmail=0)
    assert world.root.run(set_, 1).returncode == 0
    world.root.install(package)
    if ours_goes_first:
        world.root.erase(package)
        assert world.root.boolean(MAIL) == 1
        world.root.run(unset, 0)
    else:
        world.root.run(unset, 0)
        assert world.root.boolean(MAIL) == 1
        world.root.erase(package)
    assert world.root.boolean(MAIL) == 0
    assert world.root.record() == []


@pytest.mark.parametrize("when", WHEN)
def test_a_boolean_that_the_policy_lacks_is_named_and_the_others_are_set(
    either: World, when: str
) -> None:
    rest = boolean(MAIL, when=when) + boolean("httpd_can_network_connect", when=when)
    package = either.package(description(rest))
    either.root.set_booleans(httpd_can_network_connect=0)
    either.root.install(package)
    assert f"this policy has no boolean {MAIL}: not set" in "".join(either.root.said)
    assert either.root.boolean("httpd_can_network_connect") == 1
    either.root.erase(package)
    assert either.root.record() == []


def test_all_booleans_are_set_by_one_import(either: World) -> None:
    rest = boolean(MAIL) + boolean("httpd_can_network_connect")
    either.root.set_booleans(httpd_can_sendmail=0, httpd_can_network_connect=0)
    calls = flat(either.root.install(either.package(description(rest))))
    assert len([call for call in calls if call.startswith("semanage import")]) == 1


# -- texts -----------------------------------------------------------------------------------------

RICH = description(
    PORT
    + boolean(MAIL)
    + boolean("httpd_can_network_connect", when="always")
    + '\n[[unit]]\nsource = "etc/shop-worker.service"\nenable = true\n',
    project='previous-modules = ["kiosk"]\nprevious-priority = 400',
    application='user = "shop"\nmigrate = "print"\n',
    paths=HOME + 'log = "/var/log/shop"\nsecret = "/etc/shop/key"\n',
)


@pytest.fixture(params=tools.FAMILIES)
def texts(request: pytest.FixtureRequest) -> dict[str, str]:
    """All scriptlets of a package of many parts, by package and step."""
    return {
        f"{package.name.split('-1.')[0]}-{step}": text
        for package in tools.package(RICH, request.param)
        for step, text in tools.scriptlets(package).items()
    }


@pytest.mark.parametrize("shell", ["bash -n", "dash -n", "bash --posix -n"])
def test_every_shell_reads_the_scriptlets(texts: dict[str, str], shell: str) -> None:
    assert len(texts) >= 10
    for name, text in texts.items():
        done = subprocess.run(shell.split(), input=text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), name


# What shellcheck says of text that was expanded when the package was built; the rest is answered
# where it occurs, in the macros.
_EXPANDED = {
    "SC2034": "each scriptlet begins with the same lines; some need only a few of the variables",
    "SC2317": "the same: a function that this scriptlet does not call",
    "SC2043": "a loop over a list that has one word in this package",
    "SC2194": "a list of the package's policy types, a constant once it is built",
    "SC2013": "names of booleans: one word a line",
}


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_the_scriptlets() -> None:
    for package in tools.package(RICH):
        for name, text in tools.scriptlets(package).items():
            done = subprocess.run(
                ["shellcheck", "-s", "sh", "-e", ",".join(_EXPANDED), "-"],
                input=text,
                capture_output=True,
                text=True,
            )
            assert (done.returncode, done.stdout) == (0, ""), name


def test_no_scriptlet_resets_labels_by_force_or_labels_the_whole_host(
    texts: dict[str, str],
) -> None:
    for name, text in texts.items():
        assert not re.search(r"restorecon\b.* -[A-Za-z]*F|restorecon\b.* /( |$)", text), name
        assert not re.search(r"\bfixfiles\b(?! -C)", text), name
        assert "setsebool" not in text, name
        assert not re.search(r"\bset -[a-z]*e", text), name


def test_no_scriptlet_calls_semodule_without_a_priority(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        for line in text.splitlines():
            if re.match(r"\s*(/usr/sbin/)?semodule ", line):
                assert " -X " in line, f"{name}: {line}"


def test_the_distributions_macros_are_used_where_they_exist_and_never_defined_again() -> None:
    macros = (tools.MACROS.parents[2] / "specs" / "wsgisepkg.macros").read_text()
    assert not re.search(r"%(define|global)\s+_?selinux_", macros)
    package = tools.selinux_package(tools.package(description(), "el9"))
    text = tools.scriptlets(package)["POSTIN"]
    assert "/usr/sbin/semodule" in text
