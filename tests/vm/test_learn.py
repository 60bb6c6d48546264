"""A thin description grows from what an enforcing kernel denied, and ends where a person's did.

Two boots, so `make vm-full` runs it. In the first the web server's domain is permissive and the
audit log is collected; in the second the learned package runs with nothing permissive.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from vm_tools import EXAMPLE, JOBS, build_example, job_files

from wsgi_sepkg.denials import read
from wsgi_sepkg.denials.learn import Learned, learn
from wsgi_sepkg.denials.replay import Vector, granted
from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.machine.trial import refusals
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.policy.compile import compile_modules, headers_for
from wsgi_sepkg.project.load import load

# What the visitor does in each step of the second boot.
DID = {
    "use": ("list", "static", "sign", "photo", "media"),
    "mail": ("mail",),
    "postgresql": ("list", "static", "sign"),
}

pytestmark = pytest.mark.skipif(
    not os.environ.get("WSGI_SEPKG_VM_FULL"), reason="make vm-full runs it"
)


@dataclass(frozen=True)
class Story:
    """The first boot, what was learned from its log, and the second boot."""

    collected: Outcome
    learned: Learned
    project: Path
    used: Outcome


def thin(folder: Path) -> Path:
    """Return the example without the paths that it writes and the services that it uses.

    It keeps its media: that the web server hands them out is said by no denial.
    """
    project = folder / "guestbook"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("out", "__pycache__"))
    file = project / "wsgi-sepkg.toml"
    text = re.sub(r"(?m)^(data|cache|log)\s*=.*\n", "", file.read_text(encoding="utf-8"))
    text = re.sub(r"(?ms)^\[\[(connect|expect)\]\].*?(?=^\[\[|\Z)", "", text)
    file.write_text(text, encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def story(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Tell it once; the tests read it."""
    work = tmp_path_factory.mktemp("learn")
    project = thin(work)
    collect = (JOBS / "learn-collect.sh").read_text(encoding="utf-8")
    collected = machine.run(collect, job_files(*build_example(work / "thin", project)), limit=1500)
    log = work / "audit.log"
    log.write_text(collected.text("audit.log"), encoding="utf-8")
    loaded = load(str(project), "debian-12")
    learned = learn(loaded, read([log]), headers_for(loaded.target, None), lambda edit: True)
    use = (JOBS / "learn-use.sh").read_text(encoding="utf-8")
    used = machine.run(use, job_files(*build_example(work / "full", project)), limit=1500)
    return Story(collected, learned, project, used)


def grants(project: Path, folder: Path) -> set[Vector]:
    """Return what the module of a project grants, its tunables counted as on."""
    tree = generate(load(str(project), "debian-12"))
    target = tree.loaded.target
    files = compile_modules(tree.policy, tree.sources, target, headers_for(target, None), folder)
    return granted(files)


def test_the_thin_package_was_denied_what_it_needs(story: Story) -> None:
    assert story.collected.status == 0
    denied = {
        (d.target, d.tclass)
        for d in refusals(story.collected.text("audit.log"))
        if d.source == "httpd_t"
    }
    # Not the log: Debian's httpd_t makes files of its own type there.
    assert denied == {
        ("var_lib_t", "file"),
        ("var_t", "file"),
        ("smtp_port_t", "tcp_socket"),
        ("postgresql_port_t", "tcp_socket"),
    }


def test_every_denial_was_settled(story: Story) -> None:
    print("\n".join(f"{s.state:<20} {s.denial.object} {s.why}" for s in story.learned.settled))
    assert [s for s in story.learned.of_this if not s.ok] == []
    assert story.learned.written


def test_the_learned_package_works_and_nothing_is_denied(story: Story) -> None:
    used = story.used
    assert (used.status, used.enforcing) == (0, "Enforcing")
    for step, did in DID.items():
        assert refusals(used.text(f"{step}.avc")) == (), step
        assert json.loads(used.text(f"{step}.json")) == dict.fromkeys(did, 200), step
    assert "To: guest@example.org" in used.text("mailbox")


def test_it_grants_nothing_that_the_hand_written_one_does_not(story: Story, tmp_path: Path) -> None:
    learned = grants(story.project, tmp_path / "learned")
    by_hand = grants(EXAMPLE, tmp_path / "by-hand")
    assert learned - by_hand == set()
