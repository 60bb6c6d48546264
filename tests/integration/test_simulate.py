"""Every scenario, for packages built with the macros of every release; and what it would notice."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import package_tools as tools
import pytest
from shop import PATHS, PORT, boolean, description, source

from wsgi_sepkg import resources
from wsgi_sepkg.errors import UsageError, WrongHost
from wsgi_sepkg.package.build import lay_out
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.policy.render import environment
from wsgi_sepkg.project.load import load
from wsgi_sepkg.simulate.events import Cast
from wsgi_sepkg.simulate.package import read
from wsgi_sepkg.simulate.root import Root, make_base
from wsgi_sepkg.simulate.run import Outcome, run, simulate
from wsgi_sepkg.simulate.scenarios import chosen, scenarios
from wsgi_sepkg.simulate.transaction import Host

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is not installed"),
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook"
TARGETS = {"own": "debian-12", "el8": "el9", "el9": "el9", "el10": "el10", "fedora": "fedora"}
BOOLEANS = boolean("httpd_can_sendmail") + boolean("httpd_can_network_connect", when="always")
CACHE = PATHS + 'cache = "/var/cache/shop"\n'
NEW = description(PORT + BOOLEANS, version="1.1", paths=CACHE)
OLD = description(PORT + BOOLEANS, project='module = "boutique"')


@cache
def guestbook(family: str, version: str) -> tuple[Path, ...]:
    """Return the RPMs of the example; version 1.3 had no cache."""

    def make(folder: Path) -> None:
        loaded = load(EXAMPLE, target=TARGETS[family], settings=[f'project.version="{version}"'])
        spec = lay_out(generate(loaded), folder / "sources")
        if version == "1.3":
            policy = folder / "sources/guestbook.fc"
            lines = policy.read_text(encoding="utf-8").splitlines(keepends=True)
            policy.write_text("".join(x for x in lines if "/var/cache" not in x), encoding="utf-8")
        tools.rpmbuild(spec, folder, tools.macro_options(family))

    return tools.rpms(tools.made(f"guestbook-{family}-{version}", make))


def packages(name: str, family: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return new and old packages."""
    if name == "shop":
        return tools.package(NEW, family), tools.package(OLD, family)
    if name == "guestbook":
        return guestbook(family, "1.4"), guestbook(family, "1.3")
    pairs = [packages(one, family) for one in ("shop", "guestbook")]
    return pairs[0][0] + pairs[1][0], pairs[0][1] + pairs[1][1]


@cache
def cast(name: str, family: str) -> Cast:
    new, old = packages(name, family)
    return Cast(tuple(map(read, new)), tuple(map(read, old)))


@cache
def base() -> Path:
    return make_base(tools.work() / "simulate-base", "bash")


def outcome(scenario: str, name: str, family: str) -> Outcome:
    (wanted,) = chosen(scenario)
    return run(wanted, cast(name, family), Root(base(), tools.work()))


def broken(found: Outcome) -> set[str]:
    """Return the expectations that failed."""
    return {check.text for check in found.checks if not check.held}


NAMES = [s.name for s in scenarios()]


@pytest.mark.parametrize("family", tools.FAMILIES)
@pytest.mark.parametrize("name", ["guestbook", "shop"])
@pytest.mark.parametrize("scenario", NAMES)
def test_no_transaction_fails_and_the_expectations_hold(
    scenario: str, name: str, family: str, record_property: Callable[[str, object], None]
) -> None:
    found = outcome(scenario, name, family)
    record_property("simulated", (scenario, name, family, found.skipped))
    assert found.failing == ()
    assert broken(found) == set(), [check.why for check in found.checks]
    if found.skipped:
        assert scenario == "two-packages" or (
            name == "guestbook" and scenario.startswith(("boolean-", "admin-port"))
        )


@pytest.mark.parametrize("family", tools.FAMILIES)
@pytest.mark.parametrize("scenario", ["two-packages", "erase-both", "upgrade-same", "no-config"])
def test_two_policy_packages_go_through_one_transaction(
    scenario: str, family: str, record_property: Callable[[str, object], None]
) -> None:
    found = outcome(scenario, "both", family)
    record_property("simulated", (scenario, "both", family, found.skipped))
    assert found.skipped == ""
    assert found.failing == ()
    assert broken(found) == set(), [check.why for check in found.checks]


@pytest.mark.parametrize("family", tools.FAMILIES)
def test_a_scriptlet_that_is_killed_does_nothing_after_it(family: str) -> None:
    found = outcome("interrupted-then-application", "shop", family)
    (killed,) = (step for step in found.transactions[0].steps if step.killed)
    assert [call.command.split()[0] for call in killed.calls] == ["semodule"]
    assert killed.said == ""


def test_the_older_package_is_really_different() -> None:
    found = outcome("upgrade-changed-contexts", "guestbook", "own")
    assert "relabelled, since its contexts changed: /var/cache/guestbook" in {
        check.text for check in found.checks
    }
    (last,) = found.transactions[1:]
    assert last.relabelled(policy_only=True) == ["/var/cache/guestbook"]


def test_a_previous_priority_is_cleared_and_without_it_the_hidden_module_is_named() -> None:
    (wanted,) = chosen("upgrade-from-400")
    cleared = description(PORT + BOOLEANS, "1.1", "previous-priority = 400", paths=CACHE)
    old = tuple(map(read, tools.package(description(PORT + BOOLEANS))))
    modules = {}
    for name, text in (("cleared", cleared), ("named", NEW)):
        new = tuple(map(read, tools.package(text)))
        found = run(wanted, Cast(new, old), Root(base(), tools.work()))
        assert found.ok, found.checks
        modules[name] = found.modules
    assert modules["cleared"] == ("200/shop", "200/shop_ports")
    assert modules["named"] == ("200/shop", "200/shop_ports", "400/shop", "400/shop_ports")


def test_a_previous_priority_takes_no_module_of_the_administrator() -> None:
    """On a first install, and where ours is at 200 already, a module at 400 is somebody else's."""
    (wanted,) = chosen("admin-module-at-400")
    text = description(PORT + BOOLEANS, "1.1", "previous-priority = 400", paths=CACHE)
    new = tuple(map(read, tools.package(text)))
    found = run(wanted, Cast(new, new), Root(base(), tools.work()))
    assert found.ok, found.checks
    later = msgspec.structs.replace(wanted, steps=(*wanted.steps, wanted.steps[-1]))
    found = run(later, Cast(new, new), Root(base(), tools.work()))
    assert found.ok, found.checks


# -- what removing a line from the spec would do ---------------------------------------------------

# what is removed: (file, the text, what stands there instead, the scenario that notices, its check)
MUTATIONS = {
    "relabel": (
        "package.spec.j2",
        "%wsgisepkg_relabel_post -s {{ type }}\n",
        "",
        "upgrade-changed-contexts",
        "relabelled, since its contexts changed",
    ),
    "verification": (
        "package.spec.j2",
        "%wsgisepkg_relabel_post -s {{ type }}\n%wsgisepkg_verify -s {{ type }} "
        '{{ plan.modules | join(" ") }}\n%wsgisepkg_local',
        "%wsgisepkg_relabel_post -s {{ type }}\nws_wrong() { :; }\n%wsgisepkg_local",
        "foreign-module-broken",
        "the scriptlets say: the policy module shop is NOT active",
    ),
    "restore of booleans": (
        "package.spec.j2",
        '%wsgisepkg_booleans_unset -s {{ type }} {{ plan.booleans | map(attribute="word") '
        '| join(" ") }}\n',
        "",
        "erase-both",
        "booleans are as they were before",
    ),
    "priority": (
        "wsgisepkg.macros",
        " -X 200 -i %*",
        " -i %*",
        "install-both",
        "in the store at priority 200, as packaged",
    ),
}


@pytest.mark.parametrize("removed", MUTATIONS)
def test_a_line_that_goes_from_the_spec_is_noticed(
    removed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, text, instead, scenario, expected = MUTATIONS[removed]
    # The policy alone: an application's own %posttrans verifies too.
    alone = {
        "new": description(PORT + BOOLEANS, version="1.1", application=None, paths=CACHE),
        "old": description(PORT + BOOLEANS, application=None),
    }
    specs = tmp_path / "specs"
    shutil.copytree(resources.folder("specs"), specs)
    before = (specs / file).read_text(encoding="utf-8")
    assert before.count(text) == 1
    (specs / file).write_text(before.replace(text, instead), encoding="utf-8")
    real = resources.folder
    monkeypatch.setattr(
        "wsgi_sepkg.resources.folder", lambda name: specs if name == "specs" else real(name)
    )
    environment.cache_clear()
    try:
        made = []
        for version, described in alone.items():
            folder = tmp_path / version
            tree = generate(load(source(folder / "source", described), target="el9"))
            made.append(tools.rpmbuild(lay_out(tree, folder / "sources"), folder))
    finally:
        environment.cache_clear()
    (wanted,) = chosen(scenario)
    mutant = Cast(*(tuple(map(read, rpms)) for rpms in made))
    found = run(wanted, mutant, Root(base(), tools.work()))
    failed = [check.text for check in found.checks if not check.held]
    assert [text for text in failed if text.startswith(expected)], failed


# -- rpm itself ------------------------------------------------------------------------------------

LOG = 'echo "%s $1" >>/order\n'


@pytest.mark.skipif(os.geteuid() != 0, reason="rpm needs root for a scratch root")
def test_the_order_and_the_arguments_are_those_of_rpm(tmp_path: Path) -> None:
    """The same packages go through rpm and through the simulator, in roots of one kind."""
    rpms = {v: _ordered_packages(tmp_path / v, v) for v in ("1", "2")}
    real = Root(base(), tools.work())
    made = Root(base(), tools.work())
    host = Host(made)
    old, new = (tuple(map(read, rpms[v])) for v in ("1", "2"))
    lives = [
        (["-i"], rpms["1"], lambda: host.install(old)),
        (["-U"], rpms["2"], lambda: host.install(new)),
        (["-U", "--replacepkgs"], rpms["2"], lambda: host.install(new)),
        (["-U", "--oldpackage"], rpms["1"], lambda: host.install(old)),
        (["-e"], ("first-selinux", "second"), lambda: host.erase(["first-selinux", "second"])),
    ]
    for words, arguments, simulated in lives:
        done = subprocess.run(
            ["rpm", "--root", real.path, *words, "--nodeps", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"LC_ALL": "C"},
        )
        assert done.returncode == 0, done.stderr
        simulated()
        assert made.read("order") == real.read("order"), words
        for root in (real, made):
            root.at("order").unlink()


def _ordered_packages(folder: Path, version: str) -> tuple[Path, ...]:
    sources = folder / "sources"
    sources.mkdir(parents=True)
    parts = ["pre", "post", "preun", "postun", "posttrans", "pretrans"]

    def scripts(name: str, option: str) -> str:
        return "".join(
            f"%{part}{option}\n{LOG.replace('%s', f'{part} {name}-{version}')}\n" for part in parts
        )

    spec = sources / "second.spec"
    spec.write_text(
        f"Name: second\nVersion: {version}\nRelease: 1\nSummary: s\nLicense: MIT\n"
        "BuildArch: noarch\nOrderWithRequires: first-selinux\n%description\ns\n"
        "%package -n first-selinux\nSummary: f\n%description -n first-selinux\nf\n"
        + scripts("second", "")
        + scripts("first-selinux", " -n first-selinux")
        + "%files\n%files -n first-selinux\n",
        encoding="utf-8",
    )
    return tools.rpmbuild(spec, folder)


# -- the command -----------------------------------------------------------------------------------


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wsgi_sepkg", "simulate", *words],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_one_scenario_is_told_step_by_step() -> None:
    done = command(*tools.package(NEW), "--scenario", "install-both")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"%post shop-selinux \(1\)\n +semodule -n -s targeted -X 200 -i ", done.stdout)
    assert "into the policy store at priority 200" in done.stdout
    assert "boolean httpd_can_sendmail: on" in done.stdout
    assert done.stdout.endswith("1 held, 0 failed, 0 skipped; a scriptlet failed in 0\n")


def bad(folder: Path, post: str) -> Path:
    """Return a policy package with a %post of its own."""
    spec = folder / "bad.spec"
    (folder / "bad.cil").write_text("", encoding="utf-8")
    spec.write_text(
        "Name: bad-selinux\nVersion: 1\nRelease: 1\nSummary: b\nLicense: MIT\nBuildArch: noarch\n"
        "%description\nb\n%install\nmkdir -p %{buildroot}/usr/share/selinux/packages\n"
        f"cp {folder}/bad.cil %{{buildroot}}/usr/share/selinux/packages/\n"
        f"%post\n{post}\n%files\n/usr/share/selinux/packages/bad.cil\n",
        encoding="utf-8",
    )
    (rpm,) = tools.rpmbuild(spec, folder / "work")
    return rpm


def test_what_does_not_hold_ends_with_status_1(tmp_path: Path) -> None:
    done = command(bad(tmp_path, ":"), "--scenario", "install-both")
    assert done.returncode == 1
    assert "FAILED: in the store at priority 200, as packaged: bad" in done.stdout


def test_a_scriptlet_that_fails_is_named_and_ends_with_status_1(tmp_path: Path) -> None:
    rpm = bad(tmp_path, ". /etc/no-such-file")
    done = command(rpm, "--scenario", "install-both", "--format", "json")
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found["result"] == "FAILED"
    assert re.fullmatch(r"%post bad-selinux: status \d+", *found["failing"])


def test_a_scriptlet_that_kills_itself_is_a_failure_not_an_interruption(tmp_path: Path) -> None:
    (found,) = simulate([bad(tmp_path, "kill -9 $$")], "install-both")
    assert len(found.failing) == 1
    assert not found.transactions[0].interrupted


def test_a_scriptlet_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsgi_sepkg.simulate.root.LIMIT", 1)
    (found,) = simulate([bad(tmp_path, "sleep 1000 & wait")], "install-both")
    (step,) = found.transactions[0].steps
    assert (step.status, step.note) == (124, "it did not end in time")


def test_an_interruption_ends_the_transaction_there() -> None:
    found = outcome("interrupted-in-post", "shop", "own")
    first, second = found.transactions
    assert [step.scriptlet for step in first.steps] == ["pre", "post"]
    assert first.steps[-1].note == "rpm was killed here"
    assert not second.interrupted


def test_a_scenario_that_needs_an_older_package_says_when_there_is_none() -> None:
    (found,) = simulate(tools.package(NEW), "downgrade")
    assert found.notes == ("the same packages stand for the older ones",)
    (found,) = simulate(tools.package(NEW), "downgrade", tools.package(OLD))
    assert found.notes == ()


def test_packages_without_policy_are_refused() -> None:
    with pytest.raises(UsageError, match="brings a policy module"):
        list(simulate([tools.application_package(tools.package(NEW))]))


def test_a_user_who_may_make_no_namespace_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsgi_sepkg.simulate.root._chroot", lambda: ["false"])
    with pytest.raises(WrongHost, match="cannot be run in a scratch root here") as caught:
        make_base(tmp_path / "base", "dash")
    assert caught.value.exit_status == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_runs_without_root_where_users_may_make_namespaces(tmp_path: Path) -> None:
    probe = subprocess.run(["unshare", "--map-root-user", "true"], capture_output=True, user=65534)
    if probe.returncode != 0:
        pytest.skip("users may not make user namespaces here")
    for rpm in tools.package(NEW):
        shutil.copy(rpm, tmp_path)
    code = (
        "import os, sys; os.setgid(65534); os.setuid(65534)\n"
        "from pathlib import Path\n"
        "from wsgi_sepkg.simulate.run import simulate\n"
        "(found,) = simulate([Path(p) for p in sys.argv[1:]], 'erase-both')\n"
        "sys.exit(0 if found.ok else str(found.checks))\n"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, *tmp_path.glob("*.rpm")],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": "/tmp"},
    )
    assert done.returncode == 0, done.stderr
