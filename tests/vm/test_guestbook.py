"""The example under an enforcing kernel, from its installation to its end, in one boot."""

from __future__ import annotations

from pathlib import Path

import pytest
from vm_tools import JOBS, job_files, statuses

from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.machine.trial import Refusal, refusals
from wsgi_sepkg.simulate.run import simulate

SERVING = pytest.mark.cell(
    "serving", "the site is used: pages, uploads, media, database, log; nothing is denied"
)
WITHDRAWN = pytest.mark.cell(
    "powers-withdrawn",
    "each tunable and label is taken away in turn: that function fails, with its AVC",
)
INSTALLED = pytest.mark.cell("install-both", "both packages in one transaction")
ERASED_ALONE = pytest.mark.cell(
    "erase-subpackage", "rpm refuses to erase the policy alone, dnf takes the application along"
)


@pytest.fixture(scope="module")
def life(machine: Machine, guestbook: tuple[Path, ...]) -> Outcome:
    """What the job left."""
    script = (JOBS / "guestbook.sh").read_text(encoding="utf-8")
    return machine.run(script, job_files(*guestbook), limit=1800)


def denied(life: Outcome, step: str) -> set[tuple[str, str, str, str]]:
    """Return what was denied in a step: (source, target, class, permission)."""
    return {
        (item.source, item.target, item.tclass, permission)
        for item in refusals(life.text(f"{step}.avc"))
        for permission in item.permissions
    }


def test_the_kernel_enforces(life: Outcome) -> None:
    print(f"{life.enforcing}; to the job {life.booted:.0f} s, in all {life.lasted:.0f} s")
    assert life.status == 0
    assert life.enforcing == "Enforcing"


@INSTALLED
def test_one_transaction_installs_both(life: Outcome) -> None:
    assert life.text("install.status").strip() == "0", life.text("install.log")
    assert life.text("modules").split() == ["200", "guestbook", "pp"]


@INSTALLED
def test_all_labels_are_right_at_once(life: Outcome) -> None:
    labels = {
        line.split()[1]: line.split()[0].split(":")[2] for line in life.text("labels").splitlines()
    }
    assert labels == {
        "/etc/guestbook/secret-key": "guestbook_secret_t",
        "/etc/guestbook/guestbook.conf": "guestbook_config_t",
        "/usr/share/guestbook/manage.py": "guestbook_content_t",
        "/usr/share/guestbook/static": "guestbook_static_t",
        "/var/lib/guestbook/db": "guestbook_data_t",
        "/var/lib/guestbook/media": "guestbook_media_t",
        "/var/cache/guestbook": "guestbook_cache_t",
        "/var/log/guestbook": "guestbook_log_t",
    }
    assert life.text("mislabelled") == ""


@INSTALLED
def test_the_secret_is_for_the_server_alone(life: Outcome) -> None:
    assert life.text("secret").split() == ["640", "root", "www-data"]


@INSTALLED
def test_rpm_verifies_both_packages(life: Outcome) -> None:
    assert (life.text("verify").strip(), life.text("verify.status").strip()) == ("", "0")


@SERVING
def test_the_application_runs_in_the_domain_of_the_server(life: Outcome) -> None:
    print(life.text("domains"))
    domains = {line.split()[1].split(":")[2] for line in life.text("domains").splitlines()}
    assert domains == {"httpd_t"}


@SERVING
def test_every_function_works_and_nothing_is_denied(life: Outcome) -> None:
    print(f"AVC records while the site was used: {len(denied(life, 'use'))}")
    assert statuses(life, "use") == {
        "list": 200,
        "static": 200,
        "sign": 200,
        "photo": 200,
        "media": 200,
    }
    assert denied(life, "serve") == set()
    assert denied(life, "use") == set()


@WITHDRAWN
def test_without_its_tunable_only_the_mail_is_lost(life: Outcome) -> None:
    assert statuses(life, "mail-off") == {"mail": 200}
    assert denied(life, "mail-off") == {("httpd_t", "smtp_port_t", "tcp_socket", "name_connect")}


@SERVING
def test_with_its_tunable_the_mail_arrives(life: Outcome) -> None:
    assert denied(life, "mail-on") == set()
    assert "To: guest@example.org" in life.text("mailbox")


@WITHDRAWN
def test_without_the_label_of_media_only_uploads_fail(life: Outcome) -> None:
    assert statuses(life, "media-label-gone") == {"list": 200, "sign": 200, "photo": 500}
    assert {(source, target) for source, target, *_ in denied(life, "media-label-gone")} == {
        ("httpd_t", "etc_t")
    }


@WITHDRAWN
def test_restorecon_brings_uploads_back(life: Outcome) -> None:
    assert statuses(life, "media-label-back") == {"list": 200, "photo": 200, "media": 200}
    assert denied(life, "media-label-back") == set()


@WITHDRAWN
def test_without_the_label_of_the_log_only_what_logs_fails(life: Outcome) -> None:
    assert statuses(life, "log-label-gone") == {"list": 200, "sign": 500}
    found = denied(life, "log-label-gone")
    assert {(source, target, tclass) for source, target, tclass, _ in found} == {
        ("httpd_t", "etc_t", "file")
    }


@WITHDRAWN
def test_without_the_label_of_the_database_nothing_is_written(life: Outcome) -> None:
    assert statuses(life, "data-label-gone") == {"list": 200, "static": 200, "sign": 500}
    assert {(source, target) for source, target, *_ in denied(life, "data-label-gone")} == {
        ("httpd_t", "etc_t")
    }


@WITHDRAWN
def test_without_the_label_of_the_secret_only_static_files_are_served(life: Outcome) -> None:
    assert statuses(life, "secret-label-gone") == {"list": 500, "static": 200}
    assert denied(life, "secret-label-gone") == {("httpd_t", "shadow_t", "file", "read")}


@SERVING
def test_postgresql_is_reached_over_tcp(life: Outcome) -> None:
    assert statuses(life, "postgresql") == {"list": 200, "static": 200, "sign": 200}, life.text(
        "postgresql.log"
    )
    assert denied(life, "postgresql") == set()


@WITHDRAWN
def test_without_its_tunable_postgresql_is_out_of_reach(life: Outcome) -> None:
    assert statuses(life, "postgresql-off") == {"static": 200, "sign": 500}
    assert denied(life, "postgresql-off") == {
        ("httpd_t", "postgresql_port_t", "tcp_socket", "name_connect")
    }


@SERVING
def test_postgresql_is_reached_over_its_socket_with_the_tunable_for_tcp_off(life: Outcome) -> None:
    assert statuses(life, "postgresql-socket") == {"list": 200, "static": 200, "sign": 200}, (
        life.text("postgresql.log")
    )
    assert denied(life, "postgresql-socket") == set()


@SERVING
def test_a_rotated_log_keeps_its_label(life: Outcome) -> None:
    assert statuses(life, "log-rotated") == {"list": 200}
    assert denied(life, "log-rotated") == set()
    lines = [line.split() for line in life.text("rotated").splitlines()]
    assert {name: label.split(":")[2] for label, name in lines} == {
        "guestbook.log": "guestbook_log_t",
        "guestbook.log.1": "guestbook_log_t",
    }


@ERASED_ALONE
def test_rpm_refuses_to_erase_the_policy_alone(life: Outcome) -> None:
    assert life.text("refused.status").strip() != "0"
    assert "is needed by (installed) guestbook-" in life.text("refused.log")


@ERASED_ALONE
def test_dnf_takes_the_application_along(life: Outcome) -> None:
    assert life.text("erase.status").strip() == "0", life.text("erase.log")
    assert "guestbook" not in life.text("left.packages")


@pytest.mark.cell("erase-data-left", "data that stays gets the labels of the base policy")
def test_data_left_behind_has_the_labels_of_the_base_policy(life: Outcome) -> None:
    lines = [line.split(None, 1) for line in life.text("left.labels").splitlines()]
    assert "/var/lib/guestbook/db/guestbook.sqlite3" in {path for _, path in lines}
    assert {label.split(":")[2] for label, _ in lines} <= {"etc_t", "var_lib_t", "var_log_t"}


@pytest.mark.cell(
    "erase-both",
    "the store, its exports and checksums are as before the installation",
)
def test_the_store_is_as_it_was_before(life: Outcome) -> None:
    assert life.text("store.after").splitlines() == life.text("store.before").splitlines()
    kept = {line.split()[1] for line in life.text("store.before").splitlines()}
    modules = [line.split() for line in life.text("modules.before").splitlines()]
    assert len(modules) > 30
    assert {f"./modules/{at}/{name}/hll" for at, name, *_ in modules} <= kept
    assert life.text("modules.after") == life.text("modules.before")
    assert life.text("export.after") == life.text("export.before")


@pytest.mark.parametrize(
    ("scenario", "modules"),
    [("install-both", "modules"), ("erase-both", ""), ("erase-data-left", "")],
)
def test_the_simulator_foretold_it(
    life: Outcome, guestbook: tuple[Path, ...], scenario: str, modules: str
) -> None:
    (found,) = simulate(guestbook, scenario)
    assert found.ok, [check for check in found.checks if not check.held]
    here = [line.split()[:2] for line in life.text(modules).splitlines()]
    assert list(found.modules) == ["/".join(words) for words in here]


def test_nothing_else_was_denied_to_the_application(life: Outcome) -> None:
    """The steps above hold every denial that concerns the server or a type of the package."""
    seen: set[Refusal] = set()
    for name in life.files:
        if name.endswith(".avc"):
            seen |= set(refusals(life.text(name)))
    whole = refusals(life.text("audit.log"))
    ours = {r for r in whole if r.source == "httpd_t" or r.target.startswith("guestbook_")}
    known = {(r.source, r.target, r.tclass, r.permissions) for r in seen}
    assert {(r.source, r.target, r.tclass, r.permissions) for r in ours} <= known
    print(f"AVC records of httpd_t in the whole life: {sum(r.count for r in ours)}, each withdrawn")
