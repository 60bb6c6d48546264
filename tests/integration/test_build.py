"""``build`` end to end: what passes is written, what the check refuses is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import package_tools as tools
import pytest

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wsgi_sepkg", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Return a build of the example with an expectation that is false, and its folder."""
    folder = tmp_path_factory.mktemp("failed")
    shutil.copytree(EXAMPLE, folder / "guestbook")
    with (folder / "guestbook" / "wsgi-sepkg.toml").open("a") as stream:
        stream.write(
            '\n[[expect]]\ndeny = { source = "httpd_t", target = "guestbook_media_t", '
            'class = "file", permissions = ["write"] }\n'
        )
    done = run("build", folder / "guestbook", "--target", "debian-12", "--outdir", folder / "out")
    return done, folder


def test_a_false_expectation_is_status_1_as_in_check(failed):
    done, _ = failed
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "[expect[2]]" in done.stdout


def test_nothing_is_written_when_the_check_fails(failed):
    done, folder = failed
    assert "nothing was written" in done.stdout
    assert not list(folder.glob("out/*.rpm"))


def test_the_rest_of_the_check_is_told_too(failed):
    assert "43 held, 1 failed" in failed[0].stdout


def test_a_build_as_json_names_its_packages_and_its_check():
    data = json.loads((tools.guestbook() / "said.json").read_text())
    names = sorted(Path(p).name for p in data["packages"])
    records = ["guestbook-1.4-1.deb12.cdx.json", "guestbook-1.4-1.deb12.provenance.json"]
    assert sorted([*names, *records]) == sorted(
        p.name for p in (tools.guestbook() / "out").iterdir()
    )
    assert names == [
        "guestbook-1.4-1.deb12.noarch.rpm",
        "guestbook-1.4-1.deb12.src.rpm",
        "guestbook-selinux-1.4-1.deb12.noarch.rpm",
    ]
    assert data["check"]["ok"] is True
    assert "guestbook_media_t" in data["check"]["adds"]["types"]


def test_an_srpm_is_made_for_a_target_that_this_host_cannot_compile_for(tmp_path):
    done = run("srpm", EXAMPLE, "--target", "el9", "--outdir", tmp_path)
    assert done.returncode == 0
    (package,) = tmp_path.iterdir()
    assert package.name == "guestbook-1.4-1.src.rpm"


def test_settings_that_cannot_be_imported_fail_the_build_and_keep_its_log(tmp_path):
    folder = tmp_path / "guestbook"
    shutil.copytree(EXAMPLE, folder)
    (folder / "guestbook" / "settings.py").write_text("import nothing_of_this_name\n")
    done = run("build", folder, "--target", "debian-12", "--outdir", tmp_path / "out")
    assert done.returncode == 4
    assert "nothing_of_this_name" in done.stderr
    assert str(tmp_path / "out" / "rpmbuild.log") in done.stderr
    assert not list(tmp_path.glob("out/*.rpm"))
