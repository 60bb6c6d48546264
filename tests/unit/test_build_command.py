"""``build``: what it asks an engine for, what it prints, and the status that it ends with.

The engine is one of ours that keeps what it was told; the source RPM is a file of a few bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wsgi_sepkg.engines.base import Progress, Results, State
from wsgi_sepkg.engines.job import Job
from wsgi_sepkg.errors import PackageBuildFailed, UsageError
from wsgi_sepkg.package import build as builder
from wsgi_sepkg.package import farm
from wsgi_sepkg.package.build import BuildResult
from wsgi_sepkg.policy import compile as compiling
from wsgi_sepkg.policy.check import FAILED, OK, CheckReport, Finding

SENT = b"the source package"


@dataclass
class Service:
    """An engine: builds end as ``ends`` says, by target, and never where it says nothing."""

    name: str = "copr"
    interval: float = 0.0
    together: bool = True
    remote: bool = True
    ends: dict[str, State] = field(default_factory=dict)
    said: list[tuple[str, ...]] = field(default_factory=list)
    settings: list[farm.Settings] = field(default_factory=list)
    interrupted: bool = False

    def root(self, target: str) -> str:
        if target == "debian-12":
            raise UsageError("no chroot for debian-12", "name one with --root debian-12=")
        return f"chroot-of-{target}"

    def prepare(self, submission: Any) -> None:
        pass

    def submit(self, submission: Any) -> str:
        self.said.append(("submit", *submission.roots))
        return str(4711 + len(self.said))

    def find(self, submission: Any) -> str:
        return ""

    def follow(self, submission: Any, build: str) -> dict[str, Progress]:
        if self.interrupted:
            raise KeyboardInterrupt
        return {t: Progress(self.ends.get(t, State.running)) for t in submission.roots}

    def fetch(self, submission: Any, build: str, target: str, folder: Path) -> Results:
        packages = [folder / f"shop-1.0-1.{arch}.rpm" for arch in ("noarch", "src")]
        log = folder / "build.log"
        for path in (*packages, log):
            path.write_bytes(b"what was done\n")
        return Results(tuple(packages) if self.ends[target] is State.succeeded else (), (log,))

    def failure(self, submission: Any, build: str, target: str, results: Results) -> Exception:
        return PackageBuildFailed(f"it broke for {target}", "mend it", [], results.logs[0])

    def cancel(self, submission: Any, build: str) -> None:
        self.said.append(("cancel", build))


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return the engine that stands for every one that takes source RPMs."""
    made = Service()

    def engine(name: str, settings: farm.Settings) -> Service:
        made.settings.append(settings)
        made.name = name
        return made

    def source_rpm(tree: Any, folder: Path, target: str) -> Path:
        path = folder / "sources" / f"{target}.src.rpm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(SENT)
        return path

    monkeypatch.setattr(farm, "engine", engine)
    monkeypatch.setattr(farm, "_source_rpm", source_rpm)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return made


@pytest.fixture
def build(run, project, tmp_path):
    """Return a function that builds the shop in the service for el9 and el10."""
    folder = project()

    def call(*words: str, targets: tuple[str, ...] = ("el9", "el10")) -> tuple[int, str, str]:
        named = [word for target in targets for word in ("--target", target)]
        place = ["--outdir", str(tmp_path / "out")]
        return run("build", str(folder), "--engine", "copr", *place, *named, *words)

    return call


def jobs(tmp_path: Path) -> list[Job]:
    return Job.all(tmp_path / "out")


def test_a_job_that_ends_well_is_told_target_by_target(build, service, tmp_path):
    service.ends = {"el9": State.succeeded, "el10": State.succeeded}
    status, out, err = build()
    assert status == 0
    assert service.said == [("submit", "el9", "el10")]
    for target in service.ends:
        assert f"{target}: succeeded\n    {tmp_path}/out/{target}/shop-1.0-1.noarch.rpm\n" in out
    assert "2 of 2 targets built by copr" in out
    (job,) = jobs(tmp_path)
    assert f"wsgi-sepkg build --follow {job.record.id} --outdir {tmp_path}/out" in err
    assert json.loads((tmp_path / "out" / "build.json").read_text())["status"] == 0


def test_packages_are_kept_when_no_record_can_be_made_of_them(build, service, tmp_path):
    service.ends = {"el9": State.succeeded}
    status, _, err = build(targets=("el9",))
    assert status == 0
    assert "note: no SBOM and no provenance: " in err
    assert (tmp_path / "out" / "el9" / "shop-1.0-1.noarch.rpm").is_file()


def test_the_gravest_error_is_the_status_and_the_rest_is_built(build, service, tmp_path):
    service.ends = {"el9": State.failed, "el10": State.succeeded}
    status, out, _ = build("--format", "json")
    assert status == 4
    data = json.loads(out)
    assert data["targets"]["el10"]["state"] == "succeeded"
    error = data["targets"]["el9"]["error"]
    assert (error["kind"], error["message"]) == ("PackageBuildFailed", "it broke for el9")
    assert (tmp_path / "out" / "el9" / "build.log").read_text() == "what was done\n"


def test_a_target_that_the_engine_does_not_know_does_not_stop_the_others(build, service):
    service.ends = {"el9": State.succeeded}
    status, out, _ = build(targets=("debian-12", "el9"))
    assert status == 2
    assert "debian-12: failed: no chroot for debian-12\n    name one with --root" in out
    assert "el9: succeeded" in out
    assert service.said == [("submit", "el9")]


def test_a_mistake_of_one_target_is_kept_with_it(run, project, service, tmp_path):
    service.ends = {"el10": State.succeeded}
    folder = project('[target.el9.path]\nmedia = "relative"\n')
    words = ["--engine", "copr", "-o", str(tmp_path / "out"), "-t", "el10", "-t", "el9"]
    status, out, _ = run("build", str(folder), *words)
    assert status == 2
    assert "el9: failed: " in out
    assert "path.media" in out
    assert "el10: succeeded" in out
    assert service.said == [("submit", "el10")]


def test_targets_with_their_own_source_package_are_submitted_one_by_one(build, service):
    service.together = False
    service.ends = {"el9": State.succeeded, "el10": State.succeeded}
    assert build()[0] == 0
    assert service.said == [("submit", "el9"), ("submit", "el10")]


def test_quiet_prints_nothing_of_a_good_build_and_all_of_a_bad_one(build, service):
    service.ends = {"el9": State.succeeded, "el10": State.succeeded}
    assert build("--quiet")[:2] == (0, "")
    service.ends["el10"] = State.failed
    status, out, _ = build("--quiet")
    assert status == 4
    assert "el10: failed: it broke for el10" in out


# -- left, taken up, stopped -----------------------------------------------------------------------


def test_without_waiting_it_returns_once_all_is_sent(build, service, tmp_path):
    status, out, _ = build("--no-wait")
    assert status == 0
    assert "el9: queued" in out
    (job,) = jobs(tmp_path)
    assert job.record.sent[0].build == "4712"


def test_a_job_is_taken_up_with_the_settings_that_it_was_made_with(build, run, service, tmp_path):
    build("--no-wait", "--copr-project", "o/p", "--poll", "7", "--set", "project.version=1.2")
    (job,) = jobs(tmp_path)
    made = service.settings[-1]
    assert (made.copr_project, made.interval) == ("o/p", 7)
    assert made.options == ("--set", "project.version=1.2")
    service.ends = {"el9": State.succeeded, "el10": State.succeeded}
    place = ["--outdir", str(tmp_path / "out")]
    status, out, _ = run("build", "--follow", job.record.id, *place, "--poll", "0.5")
    assert status == 0
    assert "2 of 2 targets built" in out
    assert service.settings[-1].interval == 0.5
    assert service.settings[-1].options == made.options
    assert len(service.said) == 1
    # By the number of the service, too.
    assert run("build", "--follow", "4712", *place)[0] == 0


def test_the_same_build_is_followed_and_not_submitted_again(build, service, tmp_path):
    build("--no-wait")
    service.ends = {"el9": State.succeeded, "el10": State.succeeded}
    status, _, err = build()
    assert status == 0
    (job,) = jobs(tmp_path)
    assert f"note: the same build is under way: following {job.record.id}" in err
    assert len(service.said) == 1


def test_again_submits_the_same_build_anew(build, service, tmp_path):
    build("--no-wait")
    build("--no-wait", "--again")
    assert len(jobs(tmp_path)) == len(service.said) == 2


def test_a_canceled_job_is_stopped_in_the_service(build, run, service, tmp_path):
    build("--no-wait")
    (job,) = jobs(tmp_path)
    words = ("build", "--cancel", job.record.id, "--outdir", str(tmp_path / "out"))
    status, out, _ = run(*words)
    assert status == 0
    assert service.said[1:] == [("cancel", "4712")]
    assert "el9: canceled" in out
    run(*words)
    assert len(service.said) == 2


def test_an_interrupted_client_says_how_to_take_the_build_up(build, service, tmp_path):
    service.interrupted = True
    status, _, err = build()
    assert status == 130
    (job,) = jobs(tmp_path)
    assert f"the builds go on: wsgi-sepkg build --follow {job.record.id}" in err


def test_a_build_that_takes_longer_than_it_may_is_left_to_the_service(build, service):
    status, _, err = build("--timeout", "0.001")
    assert status == 5
    assert "not done after 0.001 seconds" in err
    assert "--follow" in err
    assert not [words for words in service.said if words[0] == "cancel"]


def test_a_job_that_is_not_there_is_status_2(run, service, tmp_path):
    status, _, err = run("build", "--follow", "nothing", "--outdir", str(tmp_path))
    assert status == 2
    assert "nothing: no such job" in err


# -- what would be built ---------------------------------------------------------------------------


def test_a_dry_run_names_the_root_of_each_target_and_makes_nothing(build, service, tmp_path):
    status, out, _ = build("--dry-run")
    assert status == 0
    assert out == "would build for el9 in chroot-of-el9\nwould build for el10 in chroot-of-el10\n"
    assert not (tmp_path / "out").exists()


def test_without_a_target_those_of_the_description_are_built(run, project, service):
    folder = project(base="")
    file = folder / "wsgi-sepkg.toml"
    file.write_text(
        '[project]\nname = "shop"\nversion = "1.0"\nsummary = "A shop"\nlicense = "MIT"\n'
        'maintainer = "Example Ltd <packages@example.org>"\ntargets = ["el10", "fedora"]\n'
        '[[changelog]]\ndate = 2026-01-05\ntext = "x"\n[path]\nmedia = "/srv/shop/media"\n'
    )
    status, out, _ = run("build", str(folder), "--engine", "mock", "--dry-run")
    assert status == 0
    assert out.splitlines() == [
        "would build for el10 in chroot-of-el10",
        "would build for fedora in chroot-of-fedora",
    ]


@pytest.mark.parametrize(
    ("name", "kind"), [("mock", "Mock"), ("copr", "Copr"), ("koji", "Koji"), ("rpmbuild", "Local")]
)
def test_each_engine_has_its_class_and_another_name_is_refused(name: str, kind: str) -> None:
    assert type(farm.engine(name, farm.Settings(project="x"))).__name__ == kind
    with pytest.raises(UsageError, match="no such engine"):
        farm.engine(f"{name}2", farm.Settings())


def test_a_build_in_a_process_of_its_own_gets_the_folders_as_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert farm.options(["a.b=c"], Path("h"), Path("r")) == (
        *("--set", "a.b=c"),
        *("--policy-headers", str(tmp_path / "h")),
        *("--policy-root", str(tmp_path / "r")),
    )


# -- on this host ----------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what is built here: ``status`` is that of the one finding of its check."""
    found: dict[str, Any] = {"status": OK}

    def built(tree: Any, outdir: Path, **places: Any) -> BuildResult:
        found.update(places)
        finding = Finding(found["status"], "httpd_t may write shop_media_t", "expect[0]")
        report = CheckReport("shop", "debian-12", "shop", "link", (finding,), (), {})
        good = found["status"] == OK
        packages = (outdir / "shop-1.0-1.noarch.rpm",) if good else ()
        return BuildResult(outdir, packages, report, ("requirements were not looked at",))

    monkeypatch.setattr(builder, "build", built)
    monkeypatch.setattr(compiling, "headers_for", lambda *_: None)
    return found


def test_one_target_is_built_here_and_its_package_and_notes_are_told(run, project, here, tmp_path):
    words = ["build", str(project()), "--target", "debian-12", "-o", str(tmp_path / "out")]
    status, out, err = run(*words)
    assert status == 0
    assert f"built shop-1.0-1.noarch\n      {tmp_path}/out/shop-1.0-1.noarch.rpm" in out
    assert "note: requirements were not looked at" in err
    assert run(*words, "--quiet")[:2] == (0, "")


def test_a_check_that_fails_is_status_1_also_when_quiet(run, project, here):
    here["status"] = FAILED
    words = ["build", str(project()), "--target", "debian-12"]
    status, out, _ = run(*words, "--quiet")
    assert status == 1
    assert "FAILED" in out
    assert "httpd_t may write shop_media_t" in out
    assert "nothing was written: the check of the policy failed" in out
    status, out, _ = run(*words, "--format", "json")
    assert status == 1
    assert json.loads(out)["check"]["ok"] is False
    assert json.loads(out)["packages"] == []


def test_a_dry_run_here_names_the_packages(run, project, here, tmp_path):
    words = ["build", str(project()), "--target", "debian-12", "-o", "out", "--dry-run"]
    status, out, _ = run(*words)
    assert status == 0
    assert out.splitlines() == [
        "would write out/shop-1.0-1.deb12.noarch.rpm",
        "would write out/shop-selinux-1.0-1.deb12.noarch.rpm",
        "would write out/shop-1.0-1.deb12.src.rpm",
    ]
    assert "headers" not in here
