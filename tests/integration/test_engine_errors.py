"""What goes wrong in mock, Copr and Koji, row by row: the error, its status, what it says to do.

The stand-ins of tests/services are made to misbehave; the clients of Copr and Koji are the real
ones. The rows are those that the services were seen to answer with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from services.copr_server import CoprServer
from services.koji_server import KojiServer
from shop import description, source

from wsgi_sepkg.engines import download, job
from wsgi_sepkg.engines.base import Engine, State
from wsgi_sepkg.engines.copr import Copr
from wsgi_sepkg.engines.job import Entry, Job, Runner, Sent
from wsgi_sepkg.engines.koji import Koji
from wsgi_sepkg.engines.mock import Mock
from wsgi_sepkg.package import build as builder
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.project.load import load

pytestmark = pytest.mark.integration

SERVICES = Path(__file__).parents[1] / "services"
CHROOT = "epel-9-x86_64"


@pytest.fixture(scope="module")
def srpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    tree = generate(load(source(folder / "source", description()), target="el9"))
    (package,) = builder.srpm(tree, folder).packages
    return package


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wait less between attempts, and keep the home of the user out of it."""
    monkeypatch.setattr(download, "PAUSE", 0.05)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith(("COPR_", "WSGI_SEPKG_")):
            monkeypatch.delenv(name)


@pytest.fixture
def copr(tmp_path: Path) -> Iterator[CoprServer]:
    with CoprServer(tmp_path / "server") as server:
        server.projects["jdoe", "shop"] = [CHROOT, "fedora-43-x86_64"]
        yield server


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KojiServer]:
    monkeypatch.setenv("WSGI_SEPKG_KOJI_PASSWORD", "pa55-word")
    with KojiServer(tmp_path / "server") as server:
        yield server


def new_job(
    engine: Engine, srpm: Path | None, outdir: Path, roots: dict[str, str], **more: Any
) -> Job:
    made = Job.create(outdir, engine.name, "shop", {})
    made.record.entries = [Entry(target, root) for target, root in roots.items()]
    for targets in [list(roots)] if engine.together else [[t] for t in roots]:
        sent = Sent(job.new_key(), targets, "shop-1.0-1", "0" * 64, **more)
        if srpm is not None:
            (made.folder / srpm.name).write_bytes(srpm.read_bytes())
            sent.srpm = srpm.name
        made.record.sent.append(sent)
    made.save()
    return made


def drive(engine: Engine, srpm: Path | None, outdir: Path, root: str, **more: Any) -> Entry:
    """Build for one target and return what came of it."""
    made = new_job(engine, srpm, outdir, {"el9": root}, **more)
    Runner(made, engine, timeout=60).run()
    (entry,) = Job.read(made.folder).record.entries
    return entry


def expect(entry: Entry, kind: str, status: int, *says: str) -> None:
    """An error of that kind and status, whose words hold all of ``says``, the cure among them."""
    assert entry.failure is not None, f"{entry.target} was built"
    text = f"{entry.failure.message}\n{entry.failure.hint}"
    assert (entry.failure.kind, entry.failure.status) == (kind, status), text
    assert entry.failure.hint
    for words in says:
        assert words in text, text


# -- mock ------------------------------------------------------------------------------------------

MOCK = {
    1: ("PackageBuildFailed", 4, "Bad exit status", "build again"),
    2: ("BuilderFailed", 3, "setuid wrapper", "/usr/bin/mock"),
    3: ("UsageError", 2, "no such root", "mock --list-chroots"),
    4: ("PackageBuildFailed", 4, "some packages of a chain"),
    5: ("BuilderFailed", 3, "does not know an option", "newer"),
    6: ("BuilderFailed", 3, "architecture", "--root"),
    10: ("PackageBuildFailed", 4, "Bad exit status", "build.log"),
    11: ("BuildStopped", 4, "longer than it may", "rpmbuild_timeout"),
    20: ("BuilderFailed", 3, "chroot could not be set up", "--scrub"),
    25: ("BuilderFailed", 3, "LVM"),
    30: ("DependencyMissing", 4, "No matching package to install: 'python3-absent'", "root.log"),
    31: ("DependencyMissing", 4, "pypi:absent"),
    40: ("PackageBuildFailed", 4, "cannot read the source RPM", "wsgi-sepkg srpm"),
    50: ("BuilderFailed", 3, "a command of mock failed", "--init"),
    60: ("BuilderFailed", 3, "in use by another mock", "wait"),
    65: ("BuilderFailed", 3, "thin pool"),
    70: ("BuilderFailed", 3, "may not write", "--outdir"),
    80: ("BuilderFailed", 3, "namespaces", "--privileged"),
    90: ("BuilderFailed", 3, "bootstrap", "use_bootstrap"),
    110: ("BuilderFailed", 3, "its own states", "report"),
    120: ("DependencyMissing", 4, "weak dependency", "install_weak_deps"),
    129: ("BuildStopped", 4, "hang-up", "build again"),
    141: ("BuildStopped", 4, "closed pipe", "build again"),
    143: ("BuildStopped", 4, "asked to end", "build again"),
    137: ("BuildStopped", 4, "killed", "build again"),
    99: ("PackageBuildFailed", 4, "status 99"),
}


@pytest.fixture
def mock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mock:
    """Return the engine with the stand-in for mock; roots are names that it takes as they are."""
    monkeypatch.setenv("PATH", f"{SERVICES}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MOCK_CALLS", str(tmp_path / "calls"))
    engine = Mock()
    engine.interval = 0.02
    return engine


@pytest.mark.parametrize("status", MOCK)
def test_each_status_of_mock(status, mock, srpm, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCK_STATUS", str(status))
    expect(drive(mock, srpm, tmp_path, "alma+epel-9-x86_64"), *MOCK[status])


def test_mock_under_a_plain_root_account_is_told_by_its_words(mock, srpm, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "mock"
    program.parent.mkdir()
    said = "mock will not run from the root account (needs an unprivileged uid)"
    program.write_text(f"#!/bin/sh\necho 'RuntimeError: {said}' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    entry = drive(mock, srpm, tmp_path, "x")
    expect(entry, "BuilderFailed", 3, "plain root account", "SUDO_UID")


def test_mock_that_is_not_installed_is_status_3(srpm, tmp_path, monkeypatch):
    monkeypatch.setattr("wsgi_sepkg.process.shutil.which", lambda *_, **__: None)
    expect(drive(Mock(), srpm, tmp_path, "x"), "ToolMissing", 3, "dnf install mock")


def test_a_mock_that_was_killed_is_not_waited_for(mock, srpm, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCK_SLEEP", "60")
    made = new_job(mock, srpm, tmp_path, {"el9": "x"})
    Runner(made, mock).run(wait=False)
    work = made.submission(made.record.sent[0]).work
    os.killpg(int((work / "pid").read_text()), 9)
    Runner(made, mock).run()
    expect(made.record.entries[0], "BuildStopped", 4, "killed")


def test_the_arguments_of_mock(mock, srpm, tmp_path):
    entry = drive(mock, srpm, tmp_path / "out", "alma+epel-9-x86_64")
    assert entry.state is State.succeeded, entry.failure
    (call,) = map(json.loads, (tmp_path / "calls").read_text().splitlines())
    assert call[call.index("--root") + 1] == "alma+epel-9-x86_64"
    assert call[call.index("--uniqueext") + 1].startswith("wsgisepkg-")
    assert Path(call[call.index("--resultdir") + 1]).name == "result"
    assert call[call.index("--enable-plugin") + 1] == "root_cache"
    assert "_buildhost reproducible" in call
    assert call[-2] == "--rebuild"
    assert call[-1].endswith(".src.rpm")


def test_mock_behind_sudo_works_where_its_account_can(mock, srpm, tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_UID", "65534")
    monkeypatch.setattr("wsgi_sepkg.engines.mock.os.geteuid", lambda: 0)
    owners: list[int] = []
    monkeypatch.setattr("wsgi_sepkg.engines.mock.os.chown", lambda _, uid, __: owners.append(uid))
    (tmp_path / "closed").mkdir(mode=0o700)
    entry = drive(mock, srpm, tmp_path / "closed", "alma+epel-9-x86_64")
    assert entry.state is State.succeeded, entry.failure
    assert owners == [65534]
    (call,) = map(json.loads, (tmp_path / "calls").read_text().splitlines())
    result = Path(call[call.index("--resultdir") + 1])
    assert result.parent.parent == Path("/var/tmp")
    assert Path(call[-1]).parent == result.parent
    assert not result.parent.exists()  # fetched, and gone
    assert len(entry.packages) == 3


def test_no_more_mocks_than_jobs_at_once(mock, srpm, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCK_STATUS", "10")
    monkeypatch.setenv("MOCK_SLEEP", "0.3")
    made = new_job(mock, srpm, tmp_path, {"el8": "a", "el9": "b", "el10": "c"})
    running: list[int] = []

    def watch(job: Job) -> None:
        states = [e.state for e in job.record.entries]
        running.append(sum(s in (State.queued, State.running) for s in states))

    Runner(made, mock, 2, watch=watch).run()
    assert max(running) == 2
    assert all(e.failure and e.failure.status == 4 for e in made.record.entries)


def test_a_canceled_mock_ends(mock, srpm, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCK_SLEEP", "60")
    made = new_job(mock, srpm, tmp_path, {"el9": "x"})
    Runner(made, mock).run(wait=False)
    Runner(made, mock).cancel()
    assert made.record.entries[0].state is State.canceled
    sent = made.submission(made.record.sent[0])
    done = subprocess.run(["pgrep", "-f", sent.key], capture_output=True)
    for _ in range(100):
        if done.returncode:
            break
        time.sleep(0.05)
        done = subprocess.run(["pgrep", "-f", sent.key], capture_output=True)
    assert done.returncode == 1


# -- Copr ------------------------------------------------------------------------------------------


def copr_engine(server: CoprServer, folder: Path, **more: Any) -> Copr:
    token = more.pop("token", "")
    config = server.config(folder / "copr", token, **more.pop("config", {}))
    engine = Copr(more.pop("project", "jdoe/shop"), str(config), **more)
    engine.interval = 0.05
    return engine


def failing(where: str, kind: str, value: float = 0, times: int = 1) -> Callable[..., None]:
    return lambda server: server.faults.add(where, kind, value, times)


COPR: dict[str, tuple[Any, dict[str, Any], str, int, tuple[str, ...]]] = {
    "a bad or expired token": (None, {"token": "old"}, "ServiceRefused", 5, ("token", "/api/")),
    "no token": (
        None,
        {"config": {"without": ("token", "login")}},
        "UsageError",
        2,
        ("no login", "COPR_TOKEN"),
    ),
    "not my project": (
        lambda s: s.projects.update({("other", "shop"): [CHROOT]}),
        {"project": "other/shop"},
        "ServiceRefused",
        5,
        ("may not do that", "edit-permissions"),
    ),
    "no such project": (
        None,
        {"project": "jdoe/nope"},
        "UsageError",
        2,
        ("jdoe/nope", "--create-project"),
    ),
    "a chroot that is not enabled": (
        lambda s: s.projects.update({("jdoe", "shop"): ["epel-8-x86_64"]}),
        {},
        "UsageError",
        2,
        ("has no chroot epel-9-x86_64", "--create-project"),
    ),
    "a request that is not taken": (
        failing("POST /api_3/build/create", "status", 400),
        {},
        "UsageError",
        2,
        ("does not take the request", "--root"),
    ),
    "an error of the server's own": (
        failing("GET /api_3/mock-chroots", "status", 500),
        {},
        "ServiceFailed",
        5,
        ("HTTP 500", "--follow"),
    ),
    "a time-out of the server": (
        failing("GET /api_3/mock-chroots", "status", 504),
        {},
        "ServiceFailed",
        5,
        ("took too long", "--follow"),
    ),
    "no Copr at the address": (
        failing("GET /api_3/mock-chroots", "garbage"),
        {},
        "ServiceFailed",
        5,
        ("is no Copr", "copr_url"),
    ),
    "a proxy's page for an error": (
        failing("GET /api_3/mock-chroots", "garbage", 502),
        {},
        "ServiceFailed",
        5,
        ("502",),
    ),
    "a line that is cut at once": (
        failing("GET /api_3/mock-chroots", "cut"),
        {},
        "ServiceFailed",
        5,
        ("cannot be reached", "--follow"),
    ),
    "a service that stops to answer": (
        failing("GET /api_3/build/1", "cut", times=99),
        {},
        "ServiceFailed",
        5,
        ("cannot be reached", "--follow "),
    ),
    "a build that failed": (
        lambda s: s.outcomes.update({CHROOT: "failed"}),
        {},
        "PackageBuildFailed",
        4,
        ("build 1 failed", "Bad exit status", "/coprs/build/1", "build.log"),
    ),
    "a chroot that was skipped": (
        lambda s: s.outcomes.update({CHROOT: "skipped"}),
        {},
        "PackageBuildFailed",
        4,
        ("skipped", "ExclusiveArch"),
    ),
    "http without saying so": (
        None,
        {"config": {"encrypted": "true"}},
        "UsageError",
        2,
        ("should not be http", "/api/"),
    ),
}


@pytest.mark.parametrize("row", COPR)
def test_each_error_of_copr(row, copr, srpm, tmp_path):
    spoil, options, kind, status, says = COPR[row]
    if spoil is not None:
        spoil(copr)
    expect(
        drive(copr_engine(copr, tmp_path, **dict(options)), srpm, tmp_path, CHROOT),
        kind,
        status,
        *says,
    )


def test_a_chroot_that_copr_does_not_have_is_named_with_the_nearest(copr, srpm, tmp_path):
    entry = drive(copr_engine(copr, tmp_path), srpm, tmp_path, "epel-9-x86_46")
    expect(entry, "UsageError", 2, "did you mean epel-9-x86_64", "list-chroots")
    assert copr.builds == {}


def test_a_copr_that_is_down_is_status_5(copr, srpm, tmp_path):
    engine = copr_engine(copr, tmp_path)
    copr.__exit__()
    expect(drive(engine, srpm, tmp_path, CHROOT), "ServiceFailed", 5, "cannot be reached")


def test_a_configuration_that_is_not_there_is_status_2(srpm, tmp_path):
    engine = Copr("jdoe/shop", str(tmp_path / "nothing"))
    expect(drive(engine, srpm, tmp_path, CHROOT), "UsageError", 2, "nothing is missing", "/api/")


def test_a_project_that_is_there_already_is_no_error_and_gets_its_chroots(copr, srpm, tmp_path):
    copr.projects["jdoe", "shop"] = ["epel-8-x86_64"]
    entry = drive(copr_engine(copr, tmp_path, create=True), srpm, tmp_path, CHROOT)
    assert entry.state is State.succeeded, entry.failure
    assert copr.projects["jdoe", "shop"] == ["epel-8-x86_64", CHROOT]


def test_a_finished_build_of_copr_may_be_canceled(copr, srpm, tmp_path):
    engine = copr_engine(copr, tmp_path)
    made = new_job(engine, srpm, tmp_path, {"el9": CHROOT})
    Runner(made, engine).run()
    engine.cancel(made.submission(made.record.sent[0]), "1")  # 409 of the service


def test_a_canceled_build_of_copr_is_told(copr, srpm, tmp_path):
    copr.outcomes[CHROOT] = "hang"
    engine = copr_engine(copr, tmp_path)
    made = new_job(engine, srpm, tmp_path, {"el9": CHROOT})
    Runner(made, engine).run(wait=False)
    engine.cancel(made.submission(made.record.sent[0]), "1")
    Runner(made, engine).run()
    expect(made.record.entries[0], "BuildStopped", 4, "canceled")


@pytest.mark.parametrize("forgets", [False, True], ids=["by-address", "by-record"])
def test_an_upload_whose_answer_was_lost_is_found_and_not_sent_again(forgets, copr, srpm, tmp_path):
    copr.faults.add("POST /api_3/build/create/upload", "after")
    copr.forget_source = forgets
    entry = drive(copr_engine(copr, tmp_path), srpm, tmp_path, CHROOT)
    assert entry.state is State.succeeded, entry.failure
    assert len(copr.builds) == 1


def test_an_upload_that_never_arrived_is_sent_by_following(copr, srpm, tmp_path):
    copr.faults.add("POST /api_3/build/create/upload", "cut")
    engine = copr_engine(copr, tmp_path)
    made = new_job(engine, srpm, tmp_path, {"el9": CHROOT})
    Runner(made, engine).run()
    expect(made.record.entries[0], "ServiceFailed", 5, f"--follow {made.record.id}")
    assert copr.builds == {}
    Runner(Job.read(made.folder), engine).run()
    assert len(copr.builds) == 1
    assert Job.read(made.folder).record.entries[0].state is State.succeeded


def test_cut_lines_between_questions_and_in_downloads_are_overcome(copr, srpm, tmp_path):
    copr.faults.add("GET /api_3/build/1", "cut", times=3)
    copr.faults.add("GET /results", "half", times=2)
    copr.faults.add("GET /api_3/build/1", "slow", 0.2)
    entry = drive(copr_engine(copr, tmp_path), srpm, tmp_path, CHROOT)
    assert entry.state is State.succeeded, entry.failure
    for package in entry.packages:
        assert subprocess.run(["rpm", "-qp", package], capture_output=True).returncode == 0


def test_targets_of_one_source_rpm_are_one_build_of_copr(copr, srpm, tmp_path):
    engine = copr_engine(copr, tmp_path)
    copr.outcomes["fedora-43-x86_64"] = "failed"
    roots = {"el9": CHROOT, "fedora-43": "fedora-43-x86_64"}
    made = new_job(engine, srpm, tmp_path, roots)
    Runner(made, engine).run()
    assert len(copr.builds) == 1
    el9, fedora = made.record.entries
    assert el9.state is State.succeeded
    assert len(el9.packages) == 3
    expect(fedora, "PackageBuildFailed", 4, "fedora-43-x86_64")
    assert (tmp_path / "fedora-43" / "build.log").is_file()


def test_a_source_stage_that_fails_ends_every_target_with_its_log(copr, srpm, tmp_path):
    copr.source_fails = True
    engine = copr_engine(copr, tmp_path)
    made = new_job(engine, srpm, tmp_path, {"el9": CHROOT, "fedora-43": "fedora-43-x86_64"})
    Runner(made, engine, timeout=60).run()
    for entry in made.record.entries:
        expect(entry, "PackageBuildFailed", 4, "cannot be imported", "builder-live.log")


@pytest.mark.parametrize("row", ["a bad or expired token", "no Copr at the address", "no token"])
def test_no_secret_of_copr_is_shown_or_kept(row, copr, srpm, tmp_path, capfd):
    spoil, options, *_ = COPR[row]
    if spoil is not None:
        spoil(copr)
    drive(copr_engine(copr, tmp_path, **dict(options)), srpm, tmp_path / "out", CHROOT)
    written = [p.read_bytes() for p in (tmp_path / "out").rglob("*.json")]
    said = capfd.readouterr()
    for secret in (b"t0ken-secret", b"l0gin"):
        assert not any(secret in text for text in [*written, said.out.encode(), said.err.encode()])


def test_login_and_token_of_the_environment_go_before_a_file(copr, srpm, tmp_path, monkeypatch):
    for name, value in {"LOGIN": copr.login, "TOKEN": copr.token, "URL": copr.url}.items():
        monkeypatch.setenv(f"COPR_{name}", value)
    engine = Copr("jdoe/shop", str(tmp_path / "nothing"))
    engine.interval = 0.05
    assert drive(engine, srpm, tmp_path, CHROOT).state is State.succeeded


# -- Koji ------------------------------------------------------------------------------------------


def koji_engine(server: KojiServer, folder: Path, **more: Any) -> Koji:
    config = server.config(folder / "koji.conf", **more.pop("config", {}))
    return Koji(config=str(config), user=more.pop("user", "packager"), interval=0.05, **more)


def ends(text: str, child: str = "buildArch") -> Callable[[KojiServer], None]:
    return lambda server: server.outcomes.update({"el9": f"{child}|{text}"})


_SEE = "error building package (arch noarch), mock exited with status"
KOJI: dict[str, tuple[Any, dict[str, Any], str, int, tuple[str, ...]]] = {
    "a bad password": (
        lambda s: s.users.clear(),
        {},
        "ServiceRefused",
        5,
        ("invalid username or password", "authtype"),
    ),
    "no user for a password": (None, {"user": ""}, "UsageError", 2, ("--koji-user", "PASSWORD")),
    "no permission": (
        failing("build", "fault", 1004),
        {},
        "ServiceRefused",
        5,
        ("may not do that", "permission"),
    ),
    "a build that failed": (
        ends(f"{_SEE} 10; see build.log for more information"),
        {},
        "PackageBuildFailed",
        4,
        ("mock exited with status 10", "the decisive line", "build.log", "taskID=1"),
    ),
    "a chroot that failed": (
        ends(f"{_SEE} 30; see root.log for more information"),
        {},
        "PackageBuildFailed",
        4,
        ("status 30", "root.log"),
    ),
    "a package that is not in the tag": (
        ends("package shop not in list for tag el9"),
        {},
        "PackageBuildFailed",
        4,
        ("not in list for tag", "koji add-pkg"),
    ),
    "a source RPM where none is allowed": (
        lambda s: setattr(s, "allow_srpm", False),
        {"scratch": False},
        "PackageBuildFailed",
        4,
        ("build_from_srpm", "--scratch", "--scm"),
    ),
    "a repository that is not allowed": (
        ends("evil.example:/x is not in the list of allowed SCMs", "buildSRPMFromSCM"),
        {},
        "PackageBuildFailed",
        4,
        ("allowed_scms", "buildSRPMFromSCM"),
    ),
    "a clone that failed": (
        ends('Error running GIT command "git clone", see checkout.log', "buildSRPMFromSCM"),
        {},
        "PackageBuildFailed",
        4,
        ("cannot clone", "checkout.log"),
    ),
    "no spec": (ends("No spec file found"), {}, "PackageBuildFailed", 4, ("no single spec",)),
    "a damaged source RPM": (
        ends("Downloaded rpm x.src.rpm is corrupted:"),
        {},
        "PackageBuildFailed",
        4,
        ("damaged", "build again"),
    ),
    "a name-version-release that exists": (
        ends("Build already exists (id=5, state=COMPLETE)"),
        {},
        "PackageBuildFailed",
        4,
        ("project.release",),
    ),
    "a wrong address": (
        None,
        {"config": {"server": "http://127.0.0.1:{port}/nothing"}},
        "ServiceFailed",
        5,
        ("HTTP 404", "/kojihub"),
    ),
    "an error of the hub's own": (
        failing("getBuildTarget", "fault", 1),
        {},
        "ServiceFailed",
        5,
        ("an error of its own", "--follow"),
    ),
    "a hub that is offline": (
        failing("getBuildTarget", "fault", 1014),
        {},
        "ServiceFailed",
        5,
        ("offline", "--follow"),
    ),
    "another login that is refused": (
        failing("login", "status", 401),
        {},
        "ServiceRefused",
        5,
        ("HTTP 401", "login"),
    ),
    "a locked session": (
        failing("getBuildTarget", "fault", 1006),
        {},
        "ServiceFailed",
        5,
        ("cut off", "--follow"),
    ),
    "a page that is no XML-RPC": (
        failing("login", "garbage"),
        {},
        "ServiceFailed",
        5,
        ("--follow",),
    ),
    "no such profile": (
        None,
        {"profile": "brew"},
        "UsageError",
        2,
        ("brew", "--koji-profile"),
    ),
    "Kerberos without a ticket": (
        None,
        {"config": {"authtype": "kerberos"}, "user": ""},
        "ServiceRefused",
        5,
        ("Kerberos", "kinit"),
    ),
    "a certificate that is not there": (
        None,
        {"config": {"authtype": "ssl", "cert": "/not/there.pem"}},
        "ServiceRefused",
        5,
        ("/not/there.pem", "cert"),
    ),
}


@pytest.mark.parametrize("row", KOJI)
def test_each_error_of_koji(row, hub, srpm, tmp_path):
    spoil, options, kind, status, says = KOJI[row]
    options = json.loads(json.dumps(options).replace("{port}", str(hub.port)))
    if spoil is not None:
        spoil(hub)
    entry = drive(koji_engine(hub, tmp_path, **options), srpm, tmp_path, "el9")
    expect(entry, kind, status, *says)
    assert "pa55-word" not in str(entry)


def test_a_build_target_that_koji_does_not_have_is_never_submitted(hub, srpm, tmp_path):
    entry = drive(koji_engine(hub, tmp_path), srpm, tmp_path, "el99")
    expect(entry, "UsageError", 2, "no such build target", "list-targets")
    assert hub.faults.count("build") == 0


def test_a_locked_tag_is_told_before_anything_is_sent(hub, srpm, tmp_path):
    hub.outcomes["f43-locked"] = "build"
    entry = drive(koji_engine(hub, tmp_path, scratch=False), srpm, tmp_path, "f43-locked")
    expect(entry, "UsageError", 2, "locked", "--scratch")
    assert hub.roots() == []


def test_a_hub_that_is_down_is_status_5(hub, srpm, tmp_path):
    engine = koji_engine(hub, tmp_path)
    hub.__exit__()
    expect(drive(engine, srpm, tmp_path, "el9"), "ServiceFailed", 5, "cannot be reached")


def test_a_tagged_build_is_fetched_from_below_topurl(hub, srpm, tmp_path):
    entry = drive(koji_engine(hub, tmp_path, scratch=False), srpm, tmp_path, "el9")
    assert entry.state is State.succeeded, entry.failure
    assert sorted(Path(p).name.rsplit(".", 2)[1] for p in entry.packages) == [
        "noarch",
        "noarch",
        "src",
    ]
    assert (tmp_path / "el9" / "build.log").is_file()
    assert hub.roots()[0].request[2].get("scratch") is None


def test_a_repository_is_built_from_without_an_upload(hub, srpm, tmp_path):
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "scm.src.rpm").write_bytes(srpm.read_bytes())
    url = "git+https://host/shop.git#0123abc"
    entry = drive(koji_engine(hub, tmp_path), None, tmp_path, "el9", scm=url)
    assert entry.state is State.succeeded, entry.failure
    assert hub.roots()[0].request[0] == url
    assert hub.faults.count("rawUpload") == 0


def test_a_call_whose_answer_was_lost_is_found_and_not_made_again(hub, srpm, tmp_path):
    hub.faults.add("build", "after")
    entry = drive(koji_engine(hub, tmp_path), srpm, tmp_path, "el9")
    assert entry.state is State.succeeded, entry.failure
    assert len(hub.roots()) == 1


def test_a_session_that_expires_is_renewed(hub, srpm, tmp_path):
    hub.faults.add("getTaskInfo", "expire", times=1)
    entry = drive(koji_engine(hub, tmp_path), srpm, tmp_path, "el9")
    assert entry.state is State.succeeded, entry.failure
    assert hub.faults.count("login") == 2


def test_a_hub_that_errs_and_is_slow_in_between_is_asked_again(hub, srpm, tmp_path):
    hub.faults.add("getTaskInfo", "fault", 1, times=3)
    hub.faults.add("listTaskOutput", "slow", 0.2)
    entry = drive(koji_engine(hub, tmp_path), srpm, tmp_path, "el9")
    assert entry.state is State.succeeded, entry.failure


def test_a_canceled_task_is_told(hub, srpm, tmp_path):
    hub.outcomes["el9"] = "hang"
    engine = koji_engine(hub, tmp_path)
    made = new_job(engine, srpm, tmp_path, {"el9": "el9"})
    Runner(made, engine).run(wait=False)
    engine.cancel(made.submission(made.record.sent[0]), made.record.sent[0].build)
    Runner(made, engine).run()
    expect(made.record.entries[0], "BuildStopped", 4, "canceled")


def test_a_certificate_logs_in(hub, srpm, tmp_path):
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, capture_output=True, check=True)

    key = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority")
    signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext"]
    (tmp_path / "ext").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("hub", "packager"):
        request = ["-out", f"{name}.csr", "-subj", f"/CN={name}"]
        openssl("req", "-new", *key, "-keyout", f"{name}.key", *request)
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")
        both = (tmp_path / f"{name}.key").read_text() + (tmp_path / f"{name}.crt").read_text()
        (tmp_path / f"{name}.pem").write_text(both)
    with KojiServer(tmp_path / "tls") as server:
        server.use_tls(tmp_path / "hub.pem", tmp_path / "ca.crt")
        words = {
            "authtype": "ssl",
            "cert": str(tmp_path / "packager.pem"),
            "serverca": str(tmp_path / "ca.crt"),
        }
        entry = drive(koji_engine(server, tmp_path, config=words, user=""), srpm, tmp_path, "el9")
        assert entry.state is State.succeeded, entry.failure
        assert [user for _, user in server.sessions.values()] == ["packager"]


# -- how often is asked ----------------------------------------------------------------------------


def polls(
    monkeypatch: pytest.MonkeyPatch, where: str, count: int, release: Callable[[], None]
) -> None:
    """Let the module ``where`` wait ``count`` times, and call ``release`` then."""
    waited = 0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += 1
        if waited == count:
            release()
        # While it is held nothing has to be waited for; the end of the build has.
        real(0.002 if waited < count else 0.3)

    real = time.sleep
    clock = SimpleNamespace(sleep=sleep, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr(f"{where}.time", clock)


def test_copr_is_asked_no_more_often_than_by_its_own_client(copr, srpm, tmp_path, monkeypatch):
    from copr.v3 import Client
    from copr.v3.helpers import config_from_file, wait

    assert Copr().interval == 30.0  # as copr-cli
    roots = {"el9": CHROOT, "fedora-43": "fedora-43-x86_64"}
    asked = []
    for ours in (False, True):
        copr.outcomes.update(dict.fromkeys(roots.values(), "hang"))
        engine = copr_engine(copr, tmp_path)
        made = new_job(engine, srpm, tmp_path / str(ours), roots)
        Runner(made, engine).run(wait=False)
        build = Client(config_from_file(str(tmp_path / "copr"))).build_proxy.get(len(copr.builds))
        copr.faults.seen.clear()

        def release() -> None:
            asked.append(sum("/build" in name for _, name in copr.faults.seen))
            copr.outcomes.update(dict.fromkeys(roots.values(), "failed"))

        if ours:
            polls(monkeypatch, "wsgi_sepkg.engines.job", 8, release)
            Runner(made, engine).run()
        else:
            polls(monkeypatch, "copr.v3.helpers", 8, release)
            wait(build)
    theirs, mine = asked
    assert 8 <= mine <= theirs


def test_koji_is_asked_no_more_often_than_by_its_own_client(hub, srpm, tmp_path, monkeypatch):
    import koji
    from koji_cli.lib import watch_tasks

    asked = []
    for ours in (False, True):
        hub.outcomes["el9"] = "hang"
        engine = koji_engine(hub, tmp_path)
        made = new_job(engine, srpm, tmp_path / str(ours), {"el9": "el9"})
        Runner(made, engine).run(wait=False)
        hub.faults.seen.clear()

        def release() -> None:
            asked.append(len(hub.faults.seen))
            hub.outcomes["el9"] = "buildArch|it failed"

        if ours:
            polls(monkeypatch, "wsgi_sepkg.engines.job", 8, release)
            Runner(made, engine).run()
        else:
            polls(monkeypatch, "koji_cli.lib", 8, release)
            watch_tasks(koji.ClientSession(hub.url), [int(made.record.sent[0].build)], quiet=True)
    theirs, mine = asked
    assert 8 <= mine <= theirs


def test_the_interval_of_koji_is_that_of_the_profile(hub, tmp_path):
    engine = Koji(config=str(hub.config(tmp_path / "koji.conf", poll_interval=17)), user="packager")
    engine._hub()
    assert engine.interval == 17


# -- what is imported ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--help"], ["build", "--help"], ["--version"]], ids=" ".join
)
def test_help_loads_neither_client(arguments):
    code = (
        "import sys\nfrom wsgi_sepkg.cli import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "wsgi_sepkg" in loaded
    assert not loaded & {"koji", "koji_cli", "copr", "requests", "gssapi", "msgspec"}
