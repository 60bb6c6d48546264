"""What every engine does, whatever it is: one set of tests against stand-ins and real services.

Without more, the stand-ins of tests/services are used. Against real ones:

mock   where a program ``mock`` is installed; WSGI_SEPKG_CONTRACT_ROOT names the root
Copr   WSGI_SEPKG_COPR_CONFIG names the configuration; WSGI_SEPKG_COPR_PROJECT the project
Koji   WSGI_SEPKG_KOJI_URL is the hub; WSGI_SEPKG_KOJI_USER and _PASSWORD, or a profile, log in

WSGI_SEPKG_CONTRACT_TARGET is the target (el9), WSGI_SEPKG_CONTRACT_KOJI_TARGET the build target.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from services.copr_server import CoprServer
from services.koji_server import KojiServer

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "guestbook"
SERVICES = HERE.parent / "services"
TARGET = os.environ.get("WSGI_SEPKG_CONTRACT_TARGET", "el9")
ENGINES = ("mock", "copr", "koji")


@dataclass
class Service:
    """An engine, and how the tests reach it; ``count`` tells how many builds it was given."""

    engine: str
    options: list[str]
    env: dict[str, str] = field(default_factory=dict)
    count: Callable[[], int] | None = None
    hold: Callable[[bool], None] = lambda _: None
    submitted: Callable[[], bool] | None = None

    def command(self, *more: str | Path) -> list[str]:
        words = [sys.executable, "-m", "wsgi_sepkg", "build"]
        if "--follow" not in more:
            words += ["--engine", self.engine, *self.options]
        return [*words, *map(str, more)]

    def run(self, *more: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*more), env=self.all_env(), capture_output=True, text=True, timeout=1200
        )

    def all_env(self) -> dict[str, str]:
        return os.environ | self.env


@pytest.fixture(scope="module", params=ENGINES)
def service(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp(request.param)
    home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    if request.param == "mock":
        root = os.environ.get("WSGI_SEPKG_CONTRACT_ROOT", "")
        options = ["--root", f"{TARGET}={root}"] if root else []
        if shutil.which("mock"):
            yield Service("mock", options)
            return
        calls = folder / "calls"
        hold = folder / "hold"
        path = f"{SERVICES}{os.pathsep}{os.environ['PATH']}"
        env = {**home, "PATH": path, "MOCK_CALLS": str(calls), "MOCK_HOLD": str(hold)}

        def count() -> int:
            return len(calls.read_text().splitlines()) if calls.exists() else 0

        def set_hold(on: bool) -> None:
            hold.touch() if on else hold.unlink(missing_ok=True)

        yield Service("mock", options, env, count, set_hold)
    elif request.param == "copr":
        if os.environ.get("WSGI_SEPKG_COPR_CONFIG"):
            yield Service("copr", ["--create-project"])
            return
        with CoprServer(folder) as server:
            config = server.config(folder / "copr")

            def set_outcome(on: bool) -> None:
                server.outcomes["epel-9-x86_64"] = "hang" if on else "build"

            options = ["--create-project", "--poll", "0.3", "--copr-config", str(config)]
            options += ["--root", f"{TARGET}=epel-9-x86_64"]
            yield Service("copr", options, home, lambda: len(server.builds), set_outcome)
    else:
        wanted = os.environ.get("WSGI_SEPKG_CONTRACT_KOJI_TARGET", "")
        root = ["--root", f"{TARGET}={wanted or 'el9'}"]
        if os.environ.get("WSGI_SEPKG_KOJI_URL"):
            yield Service("koji", root if wanted else [])
            return
        with KojiServer(folder) as hub:
            config = hub.config(folder / "koji.conf")
            env = {**home, "WSGI_SEPKG_KOJI_PASSWORD": "pa55-word"}

            def set_task(on: bool) -> None:
                hub.outcomes["el9"] = "hang" if on else "build"

            options = ["--koji-config", str(config), "--koji-user", "packager", *root]
            options += ["--poll", "0.3"]
            yield Service("koji", options, env, lambda: len(hub.roots()), set_task)


def verify_again(service: Service, folder: Path) -> None:
    """Verify a build by mock: to the byte what mock built, else what a service must not change."""
    env = service.all_env()
    if not shutil.which("mock"):
        env["PATH"] = f"{SERVICES}{os.pathsep}{env['PATH']}"
        env["MOCK_CALLS"] = str(folder / "calls-of-verify")
    command = [sys.executable, "-m", "wsgi_sepkg", "verify", str(folder), "--format", "json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    (one,) = json.loads(done.stdout)
    exact = service.engine == "mock"
    assert len(one["packages"]) == (3 if exact else 2)
    assert all(p["same"] for p in one["packages"]) or not exact


def test_the_guest_book_is_built_from_end_to_end(service: Service, tmp_path: Path) -> None:
    done = service.run(EXAMPLE, "--target", TARGET, "--outdir", tmp_path, "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(done.stdout)
    result = data["targets"][TARGET]
    assert result["state"] == "succeeded"
    names = sorted(Path(p).name for p in result["packages"])
    assert [n.rsplit("-", 2)[0] for n in names] == ["guestbook", "guestbook", "guestbook-selinux"]
    assert all(
        Path(p).parent == tmp_path / TARGET and Path(p).is_file() for p in result["packages"]
    )
    assert any(n.endswith(".src.rpm") for n in names)
    for package in result["packages"]:
        assert subprocess.run(["rpm", "-qp", package], capture_output=True).returncode == 0
    assert any(Path(p).name == "build.log" for p in result["logs"])
    assert json.loads((tmp_path / "build.json").read_text()) == data
    (record,) = (tmp_path / TARGET).glob("*.provenance.json")
    said = json.loads(record.read_text())["predicate"]["buildDefinition"]["externalParameters"]
    assert (said["engine"], said["target"]) == (service.engine, TARGET)
    verify_again(service, tmp_path)
    assert len(result["srpm-sha256"]) == 64
    # Plain lines where there is no terminal.
    assert f"{TARGET}: succeeded" in done.stderr


def test_a_build_that_fails_is_status_4_with_the_lines_that_say_why(
    service: Service, tmp_path: Path
) -> None:
    project = tmp_path / "guestbook"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("out"))
    (project / "guestbook" / "settings.py").write_text("import nothing_of_this_name\n")
    done = service.run(project, "--target", TARGET, "--outdir", tmp_path / "out")
    assert done.returncode == 4
    assert "nothing_of_this_name" in done.stdout
    assert str(tmp_path / "out" / TARGET / "build.log") in done.stdout
    assert not list(tmp_path.glob("out/**/*.rpm")) or "--follow" in done.stderr


def test_a_killed_client_is_taken_up_and_nothing_is_submitted_twice(
    service: Service, tmp_path: Path
) -> None:
    before = service.count() if service.count else 0
    service.hold(True)
    client = subprocess.Popen(
        service.command(EXAMPLE, "--target", TARGET, "--outdir", tmp_path),
        env=service.all_env(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    name = ""
    assert client.stderr is not None
    for line in client.stderr:
        name = name or "".join(re.findall(r"^job (\S+);", line))
        if f"{TARGET}: queued" in line or f"{TARGET}: running" in line:
            break
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert name
    service.hold(False)
    done = service.run("--follow", name, "--outdir", tmp_path, "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["targets"][TARGET]["state"] == "succeeded"
    assert len(list((tmp_path / TARGET).glob("*.rpm"))) == 3
    if service.count:
        assert service.count() == before + 1
    # Followed once more, it says the same and does nothing.
    again = service.run("--follow", name, "--outdir", tmp_path, "--format", "json")
    assert json.loads(again.stdout) == json.loads(done.stdout)


def test_a_client_killed_while_it_submits_finds_its_build(service: Service, tmp_path: Path) -> None:
    if service.count is None:
        pytest.skip("a real service cannot be held in the middle of a request")
    before = service.count()
    client = subprocess.Popen(
        service.command(EXAMPLE, "--target", TARGET, "--outdir", tmp_path),
        env=service.all_env(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and service.count() == before:
        time.sleep(0.002)
    client.send_signal(signal.SIGKILL)
    client.wait()
    # The same command again, as a pipeline would repeat it, takes the build up by itself.
    done = service.run(EXAMPLE, "--target", TARGET, "--outdir", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "following" in done.stderr
    assert service.count() == before + 1


def test_a_root_that_the_engine_does_not_know_is_status_2(service: Service, tmp_path: Path) -> None:
    done = service.run(
        *(EXAMPLE, "--target", TARGET, "--outdir", tmp_path),
        *("--root", f"{TARGET}=nothing-of-this-name.cfg"),
    )
    assert done.returncode == 2
    assert "nothing-of-this-name" in done.stdout


def test_one_target_does_not_stop_another(service: Service, tmp_path: Path) -> None:
    done = service.run(
        *(EXAMPLE, "--target", TARGET, "--target", "debian-12", "--outdir", tmp_path),
        *("--format", "json"),
    )
    data = json.loads(done.stdout)["targets"]
    assert done.returncode == 2
    assert data["debian-12"]["state"] == "failed"
    assert "--root debian-12=" in data["debian-12"]["error"]["hint"]
    assert data[TARGET]["state"] == "succeeded"


def test_rpmbuild_builds_for_several_targets_and_tells_those_that_are_not_for_this_host(
    tmp_path: Path,
) -> None:
    words = [sys.executable, "-m", "wsgi_sepkg", "build", str(EXAMPLE), "--outdir", str(tmp_path)]
    words += ["--target", "debian-12", "--target", "el9", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    data = json.loads(done.stdout)["targets"]
    assert done.returncode == 3, done.stderr
    assert data["debian-12"]["state"] == "succeeded"
    assert len(list((tmp_path / "debian-12").glob("*.rpm"))) == 3
    assert data["el9"]["error"]["kind"] == "WrongHost"
    assert "--policy-headers" in data["el9"]["error"]["hint"]
