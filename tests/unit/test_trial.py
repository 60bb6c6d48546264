"""What `try` takes, and what it tells."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from wsgi_sepkg.cli import app
from wsgi_sepkg.errors import UsageError, WrongHost
from wsgi_sepkg.machine import boot, image, trial
from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.machine.trial import Refusal, Trial
from wsgi_sepkg.package.inspect import Nevra
from wsgi_sepkg.report.trial import as_text

LEFT = {
    "system": "Debian GNU/Linux 12\n",
    "install.status": "0\n",
    "install.log": "Installed\n",
    "install.avc": "",
    "modules": "200 shop pp\n200 shop_ports cil\n100 apache pp\n",
    "verify.status": "0\n",
    "verify.log": "",
    "script.status": "0\n",
    "script.log": "well\n",
    "script.avc": "",
    "domains": " 4 u:system_r:httpd_t:s0 apache2\n 9 u:system_r:kernel_t:s0 kworker\n",
}
DENIED = (
    'type=AVC msg=audit(1.1:1): avc:  denied  { read } for  pid=1 comm="apache2" name="x" '
    "scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:object_r:etc_t:s0 tclass=file"
)


def outcome(**left: str) -> Outcome:
    """Return what the machine hands over, with some of it replaced."""
    files = {**LEFT, **{name.replace("_", "."): text for name, text in left.items()}}
    return Outcome(0, "", "Enforcing", {k: v.encode() for k, v in files.items()}, 12.0, 60.0)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Nevra]:
    """Packages by file name, in place of files."""
    known = {
        "shop.rpm": Nevra("shop", None, "1.0", "1.deb12", "noarch"),
        "shop-selinux.rpm": Nevra("shop-selinux", None, "1.0", "1.deb12", "noarch"),
        "foreign.rpm": Nevra("shop-selinux", None, "1.0", "1.el9", "noarch"),
        "source.rpm": Nevra("shop", None, "1.0", "1.deb12", "src"),
    }
    monkeypatch.setattr(trial, "inspect", lambda path: SimpleNamespace(nevra=known[path.name]))
    monkeypatch.chdir(tmp_path)
    return known


def attempt(monkeypatch: pytest.MonkeyPatch, left: Outcome) -> Trial:
    """Return the trial of a machine that leaves ``left``."""
    monkeypatch.setattr(Machine, "run", lambda *args, **kwargs: left)
    here = Path("x")
    return trial.attempt(Machine(here, here, here), [Path("shop.rpm"), Path("shop-selinux.rpm")])


def test_a_package_of_another_target_is_refused_with_the_reason(packages: object) -> None:
    with pytest.raises(WrongHost, match="RHEL 9") as caught:
        trial.suited([Path("shop.rpm"), Path("foreign.rpm")])
    assert "base policy" in caught.value.hint


def test_a_users_machine_takes_packages_of_every_target(
    packages: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "alma.qcow2"
    disk.write_bytes(b"QFI\xfb")
    scripts: list[str] = []

    def run(self: Machine, script: str, *args: object, **kwargs: object) -> Outcome:
        scripts.append(script)
        return outcome(system="AlmaLinux 9.6\n")

    monkeypatch.setattr(Machine, "run", run)
    made = trial.attempt(Machine.of_disk(disk), [Path("foreign.rpm")])
    assert made.packages == ("shop-selinux-1.0-1.el9.noarch",)
    assert "machine: AlmaLinux 9.6, Enforcing" in as_text(made)
    # Its repositories are its own.
    assert "--disablerepo" not in scripts[0]


def test_a_source_package_is_refused(packages: object) -> None:
    with pytest.raises(UsageError, match="source package"):
        trial.suited([Path("source.rpm")])


def test_a_good_trial(packages: object, monkeypatch: pytest.MonkeyPatch) -> None:
    made = attempt(monkeypatch, outcome())
    assert made.ok
    assert made.packages == ("shop-1.0-1.deb12.noarch", "shop-selinux-1.0-1.deb12.noarch")
    assert made.modules == ("200 shop pp", "200 shop_ports cil")
    assert made.domains == (("httpd_t", "apache2"),)
    text = as_text(made)
    assert "machine: Debian GNU/Linux 12, Enforcing" in text
    assert "apache2 in httpd_t" in text
    assert "denied after the installation: 0" in text
    assert "well" not in text
    assert "well" in as_text(made, verbose=True)


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        ({"install_status": "1", "install_log": "no room"}, "no room"),
        ({"verify_status": "1", "verify_log": "S.5 /etc/x"}, "S.5 /etc/x"),
        ({"script_status": "7", "script_log": "went wrong"}, "went wrong"),
        ({"script_avc": DENIED}, "httpd_t etc_t:file { read }  apache2 x"),
    ],
)
def test_each_fault_fails_the_trial_and_is_shown(
    packages: object, monkeypatch: pytest.MonkeyPatch, left: dict[str, str], shown: str
) -> None:
    made = attempt(monkeypatch, outcome(**left))
    assert not made.ok
    assert shown in as_text(made)


def test_a_machine_that_does_not_enforce_proves_nothing(
    packages: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = attempt(monkeypatch, outcome())
    assert not replace(made, enforcing="Permissive").ok


def test_denials_of_the_installation_are_told_apart(
    packages: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = attempt(monkeypatch, outcome(install_avc=DENIED + "\n" + DENIED))
    assert made.ok
    assert made.installing == (Refusal("apache2", "httpd_t", "etc_t", "file", ("read",), "x", 2),)
    assert "denied while installing: 2" in as_text(made)
    assert "(2 times)" in as_text(made)


@pytest.mark.parametrize(("left", "status"), [({}, 0), ({"script_avc": DENIED}, 1)])
def test_the_command_ends_with_what_it_found(
    packages: object, monkeypatch: pytest.MonkeyPatch, left: dict[str, str], status: int
) -> None:
    monkeypatch.setattr(boot.Machine, "run", lambda *args, **kwargs: outcome(**left))
    here = Path("x")
    monkeypatch.setattr(image, "prepare", lambda say: image.Image(here, here, here, "key"))
    words = ["try", "shop.rpm", "shop-selinux.rpm"]
    done = CliRunner().invoke(app, [*words, "--format", "json"])
    assert done.exit_code == status
    assert json.loads(done.stdout)["ok"] == (status == 0)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == status
    assert "denied after the installation" in done.stdout


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        ({"audit.log": b"type=AVC x\n", "journal": b"other\n"}, b"type=AVC x\n"),
        ({"audit.log": b"", "journal": b"audit[1]: AVC x\n"}, b"audit[1]: AVC x\n"),
    ],
    ids=["auditd", "journal"],
)
def test_the_machines_log_is_kept_where_it_is_wanted(
    packages: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: dict[str, bytes],
    kept: bytes,
) -> None:
    made = outcome(script_status="1\n")
    monkeypatch.setattr(
        boot.Machine, "run", lambda *args, **kwargs: replace(made, files={**made.files, **left})
    )
    here = Path("x")
    monkeypatch.setattr(image, "prepare", lambda say: image.Image(here, here, here, "key"))
    log = tmp_path / "machine.log"
    words = ["try", "shop.rpm", "shop-selinux.rpm", "--audit-log"]
    done = CliRunner().invoke(app, [*words, str(log), "--format", "json"])
    assert done.exit_code == 1  # also of a trial that failed
    assert log.read_bytes() == kept
    assert "audit_log" not in json.loads(done.stdout)


def test_a_folder_for_the_log_that_is_missing_is_told_before_the_machine_boots(
    packages: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot.Machine, "run", lambda *args, **kwargs: pytest.fail("booted"))
    with pytest.raises(UsageError, match="is no folder"):
        CliRunner().invoke(
            app, ["try", "shop.rpm", "--audit-log", "gone/x"], catch_exceptions=False
        )
