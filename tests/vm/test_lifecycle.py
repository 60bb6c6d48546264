"""Versions of the example that follow each other on one host, under an enforcing kernel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from vm_tools import JOBS, ROOT, build_example, job_files, statuses

from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.machine.trial import refusals
from wsgi_sepkg.simulate.run import simulate

DATA = 'data   = "/var/lib/guestbook/db"'
VERSIONS = pytest.mark.cell(
    "versions",
    "policy first, application, upgrades, downgrade: each succeeds, the module is active",
)
# What a step of the job relabels, by the tests below.
CHANGED = {
    "changed-contexts": ["/var/lib/guestbook/extra"],
    "downgrade": ["/var/lib/guestbook/extra"],
    "policy-gone": ["/usr/share/guestbook", "/etc/guestbook", "/var/lib/guestbook/db"],
}
WORKS = {"list": 200, "static": 200, "sign": 200}


@pytest.fixture(scope="module")
def versions(
    guestbook: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, ...]]:
    """Packages by version; 1.5 has the contexts of 1.4, 1.6 has one more."""
    folder = tmp_path_factory.mktemp("versions")
    source = folder / "guestbook"
    shutil.copytree(ROOT / "examples" / "guestbook", source)
    found = {"1.4": guestbook}
    found["1.5"] = build_example(folder / "1.5", source, "project.version=1.5")
    description = source / "wsgi-sepkg.toml"
    text = description.read_text(encoding="utf-8")
    assert DATA in text
    more = 'data   = ["/var/lib/guestbook/db", "/var/lib/guestbook/extra"]'
    description.write_text(text.replace(DATA, more), encoding="utf-8")
    found["1.6"] = build_example(folder / "1.6", source, "project.version=1.6")
    return found


@pytest.fixture(scope="module")
def life(machine: Machine, versions: dict[str, tuple[Path, ...]]) -> Outcome:
    """What the job left."""
    script = (JOBS / "lifecycle.sh").read_text(encoding="utf-8")
    packages = [path for paths in versions.values() for path in paths]
    return machine.run(script, job_files(*packages), limit=1800)


def labels(life: Outcome, step: str) -> dict[str, str]:
    """Return path and type, as ls -Z told them."""
    lines = [line.split(None, 1) for line in life.text(f"{step}.labels").splitlines()]
    return {path: label.split(":")[2] for label, path in lines}


def of_the_server(life: Outcome, step: str) -> set[tuple[str, str]]:
    """Return (target, class) of what was denied to the web server in a step."""
    found = refusals(life.text(f"{step}.avc"))
    return {(item.target, item.tclass) for item in found if item.source == "httpd_t"}


def test_the_kernel_enforces(life: Outcome) -> None:
    print(f"{life.enforcing}; to the job {life.booted:.0f} s, in all {life.lasted:.0f} s")
    assert (life.enforcing, life.status) == ("Enforcing", 0)


@VERSIONS
@pytest.mark.parametrize(
    "step", ["policy-first", "application-then", "same-contexts", "changed-contexts", "downgrade"]
)
def test_the_transaction_succeeds_and_the_module_is_active(life: Outcome, step: str) -> None:
    assert life.text(f"{step}.status").strip() == "0", life.text(f"{step}.log")
    assert life.text(f"{step}.modules").split() == ["200", "guestbook", "pp"]


@pytest.mark.cell("subpackage-first", "the policy, then the application")
def test_an_application_installed_after_its_policy_has_its_labels(life: Outcome) -> None:
    assert labels(life, "application-then") == {
        "/usr/share/guestbook/manage.py": "guestbook_content_t",
        "/etc/guestbook/secret-key": "guestbook_secret_t",
        "/var/lib/guestbook/db": "guestbook_data_t",
    }


@VERSIONS
@pytest.mark.parametrize("step", ["application-then", "same-contexts", "changed-contexts"])
def test_the_site_works_after_each_step_and_nothing_is_denied(life: Outcome, step: str) -> None:
    assert statuses(life, step) == WORKS
    assert of_the_server(life, step) == set()


@pytest.mark.cell("upgrade-same", "a mislabelled witness stays: nothing is relabelled")
def test_an_upgrade_with_the_same_contexts_relabels_nothing(life: Outcome) -> None:
    assert labels(life, "same-contexts") == {"/var/lib/guestbook/db/witness": "etc_t"}


@pytest.mark.cell("upgrade-changed-contexts", "what the new context covers is relabelled")
def test_an_upgrade_with_a_new_context_relabels_what_it_covers(life: Outcome) -> None:
    assert labels(life, "changed-contexts") == {
        "/var/lib/guestbook/extra": "guestbook_data_t",
        "/var/lib/guestbook/extra/old": "guestbook_data_t",
    }


@pytest.mark.cell("downgrade", "the label of the older version comes back")
def test_a_downgrade_gives_the_label_back(life: Outcome) -> None:
    assert labels(life, "downgrade") == {
        "/var/lib/guestbook/extra/old": "var_lib_t",
        "/var/lib/guestbook/db": "guestbook_data_t",
    }
    assert life.text("downgrade.verify").strip() == ""


@pytest.mark.cell(
    "tunable-set-after-install",
    "an upgrade and a downgrade keep what the administrator set",
)
@pytest.mark.parametrize("step", ["same-contexts", "downgrade"])
def test_what_the_administrator_set_is_kept(life: Outcome, step: str) -> None:
    assert life.text(f"{step}.boolean").strip() == "guestbook_connect_smtp --> on"


@pytest.mark.cell("erase-subpackage-nodeps", "labels of the base policy; the site answers 500")
def test_without_the_policy_the_site_does_not_answer_as_if_nothing_had_happened(
    life: Outcome,
) -> None:
    assert life.text("policy-gone.status").strip() == "0"
    assert life.text("policy-gone.modules") == ""
    assert labels(life, "policy-gone") == {
        "/usr/share/guestbook/manage.py": "usr_t",
        "/etc/guestbook/secret-key": "etc_t",
        "/var/lib/guestbook/db": "var_lib_t",
    }
    assert statuses(life, "policy-gone")["list"] == 500


@pytest.mark.parametrize(
    ("scenario", "new", "old", "step"),
    [
        ("subpackage-first", "1.4", "1.4", "application-then"),
        ("upgrade-same", "1.5", "1.4", "same-contexts"),
        ("upgrade-changed-contexts", "1.6", "1.5", "changed-contexts"),
        ("downgrade", "1.6", "1.5", "downgrade"),
        ("erase-subpackage-nodeps", "1.5", "1.5", "policy-gone"),
    ],
)
def test_the_simulator_foretold_it(
    life: Outcome,
    versions: dict[str, tuple[Path, ...]],
    scenario: str,
    new: str,
    old: str,
    step: str,
) -> None:
    """The modules are the same, and what the policy relabels there was relabelled here."""
    (found,) = simulate(versions[new], scenario, versions[old])
    assert found.ok, [check for check in found.checks if not check.held]
    priority, *name = life.text(f"{step}.modules").split()[:2] or ("",)
    assert list(found.modules) == [f"{priority}/{word}" for word in name]
    relabelled = found.transactions[-1].relabelled(policy_only=True)
    for path in CHANGED.get(step, ()):
        assert any(path == name or path.startswith(f"{name}/") for name in relabelled), relabelled
    if step == "same-contexts":
        assert relabelled == []
