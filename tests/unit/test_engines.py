"""Engines without a service: roots of mock, jobs on disk, programs that outlive their client."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from templated_dictionary import TemplatedDictionary

from wsgi_sepkg import process, targets
from wsgi_sepkg.engines.base import Results, State, decisive
from wsgi_sepkg.engines.copr import Copr
from wsgi_sepkg.engines.job import Entry, Failure, Job, Runner, Sent, exit_status
from wsgi_sepkg.engines.koji import Koji
from wsgi_sepkg.engines.local import Local
from wsgi_sepkg.engines.mock import VENDORS, Mock
from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.package import farm
from wsgi_sepkg.report import farm as report

ROOTS = Path(__file__).parents[2] / "mock-configs"
FILES = sorted(ROOTS.glob("*.cfg"))

# -- the roots of mock -----------------------------------------------------------------------------

# What a root of mock-core-configs sets, as far as ours builds on it.
DISTRIBUTION = """\
config_opts['root'] = 'theirs-{{ releasever }}-{{ target_arch }}'
config_opts['releasever'] = '9'
config_opts['target_arch'] = 'x86_64'
config_opts['chroot_setup_cmd'] = 'install bash rpm-build'
config_opts['dnf.conf'] = '[main]\\nplugins=1\\n'
"""


def read(file: Path) -> tuple[TemplatedDictionary, list[str]]:
    """Read a root as mock does: includes are put in, the whole is run, values are templates."""
    included: list[str] = []

    def include(match: re.Match[str]) -> str:
        included.append(eval(match[1]))
        return DISTRIBUTION

    text = re.sub(r"(?m)^\s*include\((.*)\)", include, file.read_text())
    options = TemplatedDictionary()
    options["plugin_conf"] = {"root_cache_enable": False}
    exec(text, {"config_opts": options})
    options["__jinja_expand"] = True
    return options, included


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_each_root_includes_one_of_the_distribution_and_adds_what_differs(file: Path) -> None:
    options, included = read(file)
    target = next(n for n in (file.stem, file.stem.split("-")[0]) if n in targets.names())
    roots = targets.load(target).build.mock_roots
    vendor = file.stem.removeprefix(target).lstrip("-") or next(iter(roots))
    assert included == [f"{roots[vendor]}.cfg"]
    assert options["root"] == f"wsgi-sepkg-{file.stem}-x86_64"
    assert options["plugin_conf"]["root_cache_enable"] is True
    assert "selinux-policy-devel" in options["chroot_additional_packages"].split()
    # The repositories and the package manager stay those of the distribution.
    changed = set(re.findall(r"(?m)^config_opts\['([\w.]+)'\]", file.read_text()))
    assert changed == {"root", "description", "chroot_additional_packages", "plugin_conf"}
    assert options["dnf.conf"].startswith("[main]")


def test_every_target_of_a_family_with_roots_has_its_own() -> None:
    for name in targets.names():
        roots = targets.load(name).build.mock_roots
        for vendor in roots if len(roots) > 1 else [""]:
            assert not roots or Path(Mock(vendor).root(name)) in FILES


def test_the_vendor_chooses_the_root() -> None:
    assert Path(Mock().root("el9")).name == "el9.cfg"
    assert Path(Mock("alma").root("el9")).name == "el9.cfg"
    assert Path(Mock("rhel").root("el9")).name == "el9-rhel.cfg"
    assert Path(Mock("rhel").root("fedora-43")).name == "fedora-43.cfg"
    with pytest.raises(UsageError, match="no such vendor"):
        Mock("suse")
    assert set(VENDORS) >= set(targets.load("el10").build.mock_roots)


def test_a_root_that_was_asked_for_goes_before_ours() -> None:
    assert Mock("rhel", {"el9": "our-own"}).root("el9") == "our-own"
    assert Copr(chroots={"el9": "rhel+epel-9-x86_64"}).root("el9") == "rhel+epel-9-x86_64"
    assert Koji(build_targets={"el9": "ours"}).root("el9") == "ours"


@pytest.mark.parametrize("engine", [Mock(), Copr(), Koji()], ids=lambda e: e.name)
def test_a_target_without_a_place_is_an_error_that_says_how_to_name_one(engine: Any) -> None:
    with pytest.raises(UsageError) as caught:
        engine.root("debian-12")
    assert "--root debian-12=" in caught.value.hint


def test_what_root_says_is_read() -> None:
    assert farm.roots(["el9=x", "el10=y"], ["el9", "el10"]) == {"el9": "x", "el10": "y"}
    assert farm.roots(["x"], ["el9"]) == {"el9": "x"}
    for wrong in ("x", "=x", "el9="):
        with pytest.raises(UsageError, match="no TARGET=NAME"):
            farm.roots([wrong], ["el9", "el10"])
    with pytest.raises(UsageError, match="no such target"):
        farm.roots(["el99=x"], ["el9", "el10"])


# -- a job on disk ---------------------------------------------------------------------------------


def new_job(outdir: Path, *targets_: str, sha256: str = "a" * 64) -> Job:
    job = Job.create(outdir, "copr", "shop", {"copr_project": "o/p"})
    for target in targets_ or ("el9",):
        job.record.entries.append(Entry(target, f"root-of-{target}"))
        job.record.sent.append(Sent(f"key-{target}", [target], "shop-1.0-1", sha256))
    job.save()
    return job


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_job_is_found_by_its_id_by_a_number_of_its_builds_and_without_its_folder(tmp_path):
    job = new_job(tmp_path / "out")
    job.record.sent[0].build = "4711"
    job.save()
    for name, outdir in ((job.record.id, "out"), ("4711", "out"), (job.record.id, "elsewhere")):
        assert Job.load(name, tmp_path / outdir).record == job.record
    with pytest.raises(UsageError, match="no such job"):
        Job.load("nothing", tmp_path / "out")
    with pytest.raises(UsageError, match="no such job"):
        Job.load("../../etc", tmp_path / "out")


def test_a_record_that_cannot_be_read_is_one_clear_error(tmp_path):
    job = new_job(tmp_path)
    (job.folder / "job.json").write_text('{"id": 1}')
    with pytest.raises(UsageError, match=r"job\.json"):
        Job.load(job.record.id, tmp_path)


def test_a_job_is_followed_by_one_process_at_a_time(tmp_path):
    job = new_job(tmp_path)
    with job.held(), pytest.raises(UsageError, match="another process"), job.held():
        pass


def test_the_same_build_that_is_under_way_is_found(tmp_path):
    first, other = new_job(tmp_path, "el9", "el10"), new_job(tmp_path, "el9", sha256="b" * 64)
    again = new_job(tmp_path, "el9", "el10")
    found = farm.unfinished(again)
    assert found is not None
    assert found.record.id == first.record.id
    assert farm.unfinished(other) is None
    for entry in first.record.entries:
        entry.state = State.succeeded
    first.save()
    assert farm.unfinished(again) is None


class Service:
    """An engine that keeps what it was asked, and stops the program where it is told to."""

    name, interval, together, remote = "copr", 0.0, False, False

    def __init__(self) -> None:
        self.submitted: list[str] = []
        self.record: dict[str, Any] = {}
        self.dies = False

    def prepare(self, submission: Any) -> None:
        pass

    def submit(self, submission: Any) -> str:
        self.record = json.loads((submission.work.parent / "job.json").read_text())
        self.submitted.append(submission.key)
        if self.dies:
            raise KeyboardInterrupt
        return "1"

    def find(self, submission: Any) -> str:
        return "1" if submission.key in self.submitted else ""


def test_what_is_asked_for_is_on_disk_before_it_is_sent(tmp_path):
    job, service = new_job(tmp_path), Service()
    Runner(job, service).run(wait=False)
    (sent,) = service.record["sent"]
    assert sent["intended"] > 0
    assert (sent["nvr"], sent["sha256"], sent["build"]) == ("shop-1.0-1", "a" * 64, "")


def test_what_was_sent_by_a_client_that_died_is_looked_up(tmp_path):
    job, service = new_job(tmp_path), Service()
    service.dies = True
    with pytest.raises(KeyboardInterrupt):
        Runner(job, service).run()
    again = Job.load(job.record.id, tmp_path)
    assert again.record.sent[0].build == ""
    Runner(again, service).run(wait=False)
    assert service.submitted == ["key-el9"]
    assert again.record.sent[0].build == "1"


def test_the_gravest_failure_is_the_status_of_the_whole():
    entries = [Entry("a"), Entry("b", failure=Failure("X", "", "", 4))]
    assert exit_status(entries) == 4
    assert exit_status([*entries, Entry("c", failure=Failure("Y", "", "", 5))]) == 5
    assert exit_status(entries[:1]) == 0


def test_a_summary_names_each_target_and_its_error(tmp_path):
    job = new_job(tmp_path, "el9", "el10")
    job.record.entries[0].state = State.succeeded
    job.record.entries[0].packages = [str(tmp_path / "el9" / "a.rpm")]
    job.record.entries[1].state = State.failed
    job.record.entries[1].failure = Failure("PackageBuildFailed", "it broke", "mend it", 4)
    data = report.as_dict(job)
    assert data["status"] == 4
    assert data["targets"]["el10"]["error"]["hint"] == "mend it"
    assert json.loads(report.write_summary(job).read_text()) == data
    text = report.as_text(job)
    assert "el10: failed: it broke\n    mend it" in text
    assert "1 of 2 targets built" in text


def test_a_terminal_gets_a_table_and_a_file_gets_lines(tmp_path, monkeypatch, capsys):
    job = new_job(tmp_path, "el9")
    job.record.entries[0].detail = "[bold]from a service"
    with report.shown(False) as watch:
        watch(job)
        watch(job)
    assert capsys.readouterr().err == "el9: waiting ([bold]from a service)\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with report.shown(False) as watch:
        watch(job)
    shown = capsys.readouterr().err
    assert "what it does" in shown
    assert "[bold]from a service" in shown  # no markup of rich


def test_the_lines_that_say_why_are_the_last_that_tell(tmp_path):
    log = tmp_path / "build.log"
    log.write_text("+ echo error\nok\nfoo.c: error: no such thing\nwarning: x\n" + "fine\n" * 50)
    assert decisive(log) == ["foo.c: error: no such thing"]
    log.write_text("a\nb\n")
    assert decisive(log) == ["a", "b"]
    cause = "DEBUG util.py:  No matching package to install: 'python3-absent'"
    log.write_text(cause + "\n" + "".join(f"ERROR: step {n} cannot go on\n" for n in range(20)))
    assert decisive(log, 4)[0] == cause
    assert len(decisive(log, 4)) == 4
    assert decisive(None) == []


# -- rpmbuild for several targets ------------------------------------------------------------------

ENDS = {
    "a check that found something": (
        1,
        {"check": {"findings": [{"status": "failed", "text": "httpd_t may write"}]}},
        ("CheckFailed", 1, "httpd_t may write"),
    ),
    "another host": (3, {"error": "not here", "hint": "there"}, ("WrongHost", 3, "not here")),
    "a failed build": (
        4,
        {"error": "rpmbuild failed", "hint": "x"},
        ("BuildFailed", 4, "rpmbuild"),
    ),
    "a mistake": (2, {"error": "no such key", "hint": "x"}, ("UsageError", 2, "no such key")),
    "no word": (137, None, ("BuildStopped", 4, "ended before it was done")),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_build_in_a_process_of_its_own_is_told(end, tmp_path):
    status, said, (kind, wanted, text) = ENDS[end]
    job = new_job(tmp_path, "el9")
    submission = job.submission(job.record.sent[0])
    submission.work.mkdir()
    (submission.work / "status").write_text(f"{status}\n")
    output = "warning: x\n" + (json.dumps(said, indent=2) if said else "Killed") + "\n"
    (submission.work / "output.log").write_text(output)
    error = Local(Path("x")).failure(submission, "", "el9", Results((), ()))
    assert (type(error).__name__, error.exit_status) == (kind, wanted)
    assert text in str(error)


# -- programs that outlive their client ------------------------------------------------------------


def wait_for(folder: Path) -> int:
    for _ in range(500):
        status = process.ended(folder)
        if status is not None:
            return status
        time.sleep(0.01)
    raise AssertionError("it did not end")


def test_a_started_program_leaves_status_and_output(tmp_path):
    assert not process.started(tmp_path)
    process.start(["sh", "-c", "echo said; echo wrong >&2; exit 7"], tmp_path)
    assert process.started(tmp_path)
    assert wait_for(tmp_path) == 7
    assert (tmp_path / "output.log").read_text() == "said\nwrong\n"


def test_a_started_program_goes_on_when_its_client_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from wsgi_sepkg import process;"
        "process.start(['sh', '-c', 'while [ ! -e go ]; do sleep 0.02; done'], Path(sys.argv[1]));"
        "print('started', flush=True); time.sleep(60)"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert client.stdout is not None
    client.stdout.readline()
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    client.stdout.close()
    assert process.ended(tmp_path) is None
    (tmp_path / "go").touch()
    assert wait_for(tmp_path) == 0


def test_a_program_that_was_killed_is_told_from_one_that_runs(tmp_path):
    process.start(["sleep", "60"], tmp_path)
    assert process.ended(tmp_path) is None
    os.killpg(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert wait_for(tmp_path) == -1


def test_a_stopped_program_ends_with_its_children(tmp_path):
    process.start(["sh", "-c", "sleep 60; true"], tmp_path)
    process.stop(tmp_path)
    assert wait_for(tmp_path) != 0
