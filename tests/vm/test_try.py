"""`wsgi-sepkg try` on the packages of the example."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsgi_sepkg.machine.boot import Machine
from wsgi_sepkg.machine.trial import Trial, attempt
from wsgi_sepkg.report.trial import as_text

SCRIPT = """
runuser -u www-data -- python3 /usr/share/guestbook/manage.py migrate --no-input
systemctl restart apache2
for _ in $(seq 60); do curl -s -o /dev/null http://localhost/ && break; sleep 1; done
curl -s -o /dev/null -w 'page %{http_code}\\n' http://localhost/
chcon -t shadow_t /etc/guestbook/secret-key
systemctl restart apache2
sleep 5
curl -s -o /dev/null -w 'page %{http_code}\\n' http://localhost/
"""


@pytest.fixture(scope="module")
def trial(
    machine: Machine, guestbook: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Trial:
    """One run, whose script withdraws the label of the secret."""
    script = tmp_path_factory.mktemp("try") / "smoke.sh"
    script.write_text(SCRIPT)
    return attempt(machine, guestbook, script)


def test_both_packages_are_installed_and_verified(trial: Trial) -> None:
    assert trial.enforcing == "Enforcing"
    assert trial.installed, trial.install_log
    assert trial.verified, trial.verify_log
    assert trial.modules == ("200 guestbook pp",)


def test_the_script_is_run_after_the_installation(trial: Trial) -> None:
    assert trial.script == 0
    assert [line for line in trial.script_log.splitlines() if line.startswith("page")] == [
        "page 200",
        "page 500",
    ]
    assert ("httpd_t", "apache2") in trial.domains


def test_what_was_denied_is_told_and_the_trial_failed(trial: Trial) -> None:
    denied = {(r.source, r.target, r.tclass, r.where) for r in trial.running}
    assert denied == {("httpd_t", "shadow_t", "file", "secret-key")}
    assert not trial.ok
    assert "httpd_t shadow_t:file { read }  apache2 secret-key" in as_text(trial)
