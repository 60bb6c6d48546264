"""The files of ``init-pipeline``, run as each service runs them, where this program is not."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "guestbook"
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--net"]
if os.getuid():
    UNSHARE += ["--user", "--map-root-user"]


def _can_unshare() -> bool:
    command = [*UNSHARE, "true"]
    return bool(shutil.which("unshare")) and not subprocess.run(command, check=False).returncode


pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("rpmspec"), reason="rpmbuild is not installed"),
    pytest.mark.skipif(not _can_unshare(), reason="this host gives no namespace of its own"),
]


def wsgi_sepkg(*arguments: str | Path, cwd: Path | None = None) -> str:
    command = [sys.executable, "-m", "wsgi_sepkg", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The root of a service: the system's tools read-only, no network, a Python that cannot be run, and
# of everything else the checkout at /src and the folder of results at /out alone.
ENTER = """
set -eu
root=$1 src=$2 out=$3 stubs=$4; shift 4
mount -t tmpfs none "$root"
cd "$root"
mkdir usr etc proc dev tmp src out stubs var root
mount --rbind /usr usr
mount --rbind /etc etc
mount -t proc none proc
mount --rbind /dev dev
for name in bin sbin lib lib32 lib64 libx32; do [ ! -e "/$name" ] || ln -s "usr/$name" .; done
for python in /usr/bin/python3* /usr/local/bin/python3*; do
  [ ! -f "$python" ] || mount --bind /dev/null ".$(readlink -f "$python")"
done
mount --bind "$src" src
mount --bind "$out" out
mount --bind "$stubs" stubs
exec chroot . /usr/bin/env -i PATH=/stubs:/usr/sbin:/usr/bin HOME=/root LANG=C "$@"
"""


@dataclass(frozen=True)
class Service:
    """A checkout in the root of a service, and the folder in which it leaves what it made."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "src"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(
        self, *command: str, cwd: str = "/src", status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', cwd, *command]
        places = [self.folder / "root", self.checkout, self.out, self.folder / "stubs"]
        done = subprocess.run(
            [*UNSHARE, "sh", "-c", ENTER, "sh", *map(str, places), *inside],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def srpm(self) -> Path:
        (found,) = self.folder.glob("**/*.src.rpm")
        return found


@pytest.fixture
def service(tmp_path):
    """Return a checkout of the example with the files of a pipeline, in the root of a service."""

    def made(kind: str, place: str = ".", *options: str) -> Service:
        top = tmp_path / kind
        for name in ("root", "out", "stubs", "src"):
            (top / name).mkdir(parents=True)
        # dnf is asked for what is there already.
        stub = top / "stubs" / "dnf"
        stub.write_text('#!/bin/sh\necho "dnf $*" >>/out/dnf.log\n')
        stub.chmod(0o755)
        work = tmp_path / f"{kind}-work"
        project = work / place
        shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("out"))
        subprocess.run(["git", "init", "-q", work], check=True)
        wsgi_sepkg("init-pipeline", kind, project, *(options or ("-t", "el9", "-t", "fedora")))
        subprocess.run(["git", "-C", work, "add", "-A"], check=True)
        commit = ["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-qm", "x"]
        subprocess.run(["git", "-C", work, *commit], check=True)
        # What is not committed is not there.
        subprocess.run(["git", "clone", "-q", work, top / "src"], check=True)
        return Service(top)

    return made


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Return the source RPM that this program makes."""
    folder = tmp_path_factory.mktemp("reference")
    project = folder / "guestbook"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("out"))
    wsgi_sepkg("srpm", project, "--target", "el9", "--outdir", folder / "out")
    (package,) = (folder / "out").glob("*.src.rpm")
    return package


def contents(package: Path) -> list[str]:
    """Return name and digest of the files of a source RPM, the spec's and the sources'."""
    form = "[%{FILENAMES} %{FILEDIGESTS}\n]"
    command = ["rpm", "-qp", "--qf", form, package]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_root_of_a_service_has_neither_python_nor_this_program(service):
    root = service("copr")
    assert root.run("python3", "-c", "1", status=126)
    assert root.run("wsgi-sepkg", status=127)
    assert root.run("sh", "-c", f"test ! -e {ROOT}")


@pytest.mark.parametrize("place", [".", "apps/guestbook"])
@pytest.mark.parametrize("spec", ["guestbook.spec", ""])
def test_copr_makes_the_source_rpm_of_wsgi_sepkg_to_the_byte(service, reference, place, spec):
    root = service("copr", place)
    root.run(
        *("make", "-f", "/src/.copr/Makefile", "srpm", "outdir=/out"),
        f"spec=/src/{place}/{spec}",
        cwd=f"/src/{place}",
    )
    assert root.srpm().name == "guestbook-1.4-1.src.rpm"
    assert root.srpm().read_bytes() == reference.read_bytes()


def test_copr_is_told_when_it_asks_for_another_spec(service):
    root = service("copr")
    command = ("make", "-f", "/src/.copr/Makefile", "srpm", "outdir=/out", "spec=/src/other.spec")
    assert "guestbook.spec alone" in root.run(*command, status=2).stderr
    assert not list(root.out.iterdir())


def test_a_file_that_is_gone_is_named_and_nothing_is_made(service):
    root = service("copr")
    (root.checkout / "entries" / "views.py").unlink()
    command = ("make", "-f", "/src/.copr/Makefile", "srpm", "outdir=/out", "spec=")
    done = root.run(*command, status=2)
    assert "entries/views.py" in done.stderr
    assert "init-pipeline again" in done.stderr
    assert not list(root.out.iterdir())


def test_gitlab_makes_the_source_rpm_of_wsgi_sepkg_to_the_byte(service, reference):
    root = service("gitlab")
    said = yaml.safe_load((root.checkout / ".gitlab-ci.yml").read_text())
    job = said["srpm"]
    assert job["artifacts"]["paths"] == ["out/*.src.rpm"]
    # A runner joins the lines of a script and stops at the first that fails.
    root.run("sh", "-ec", "\n".join(job["script"]))
    assert root.srpm().parent == root.checkout / "out"
    assert root.srpm().read_bytes() == reference.read_bytes()
    assert {"el9", "fedora"} <= set(said)
    assert said["el9"]["image"] == "almalinux:9"
    assert said["el9"]["stage"] == "build"


def test_github_makes_the_source_rpm_of_wsgi_sepkg_to_the_byte(service, reference):
    root = service("github")
    said = yaml.safe_load((root.checkout / ".github" / "workflows" / "rpm.yml").read_text())
    for step in said["jobs"]["srpm"]["steps"]:
        if "run" in step:
            root.run("sh", "-ec", step["run"])
    assert root.srpm().read_bytes() == reference.read_bytes()
    assert said["jobs"]["fedora"]["needs"] == "srpm"
    assert said["jobs"]["fedora"]["container"] == "fedora:44"


def test_koji_finds_one_spec_and_all_sources_in_the_folder(service, reference):
    root = service("koji")
    folder = root.checkout / "dist-git"
    assert len(list(folder.glob("*.spec"))) == 1
    # As kojid: the command of the SCM entry, then rpmbuild on the folder.
    root.run("make", "sources", cwd="/src/dist-git")
    defines = ["--define", "_topdir /tmp", "--define", "_sourcedir /src/dist-git"]
    defines += ["--define", "_srcrpmdir /out", "--define", "dist .el9"]
    root.run("rpmbuild", "-bs", "--nodeps", *defines, "/src/dist-git/guestbook.spec")
    assert root.srpm().name == "guestbook-1.4-1.el9.src.rpm"
    assert contents(root.srpm()) == contents(reference)
    with (folder / "guestbook-1.4.tar.gz").open("ab") as stream:
        stream.write(b"x")
    assert "FAILED" in root.run("make", "sources", cwd="/src/dist-git", status=2).stdout


@pytest.mark.parametrize("place", [".", "apps/guestbook"])
def test_packit_lays_out_the_sources_and_builds_them_itself(service, reference, place):
    root = service("packit", place)
    said = yaml.safe_load((root.checkout / ".packit.yaml").read_text())
    assert said["jobs"][0]["targets"] == ["epel-9-x86_64", "fedora-44-x86_64"]

    def action(name: str) -> str:
        """Run the commands of an action as packit does: split into words, without a shell."""
        out = [root.run(*shlex.split(line)).stdout for line in said["actions"][name]]
        return "".join(out).strip()

    assert action("get-current-version") == "1.4"
    archive = action("create-archive").splitlines()[-1]
    assert (root.checkout / archive).is_file()
    action("fix-spec-file")
    folder = f"/src/{place}"
    defines = [f"_{n}dir {folder}" for n in ("source", "src", "spec", "srcrpm", "build", "rpm")]
    defines += [f"_topdir {folder}", f"_buildrootdir {folder}"]
    flags = [word for define in defines for word in ("--define", define)]
    root.run("rpmbuild", "-bs", *flags, f"/src/{said['specfile_path']}")
    assert contents(root.srpm()) == contents(reference)


def test_a_pipeline_does_not_change_what_is_packaged(service, reference, tmp_path):
    root = service("github")
    wsgi_sepkg("srpm", root.checkout, "--target", "el9", "--outdir", tmp_path / "again")
    (package,) = (tmp_path / "again").glob("*.src.rpm")
    assert package.read_bytes() == reference.read_bytes()


def test_the_script_is_plain_shell(service):
    root = service("gitlab")
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    script = root.checkout / "packaging" / "make-srpm.sh"
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.stdout == ""
