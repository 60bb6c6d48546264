"""The questions of ``init`` on a terminal: what a person sees and types."""

from __future__ import annotations

import os
import pty
import select
import sys
from pathlib import Path

import pytest

from wsgi_sepkg.project.load import load

pytestmark = pytest.mark.integration

ENTRY = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'notes.settings')\n"


class Person:
    """Somebody at a terminal who waits for words and types an answer."""

    def __init__(self, words: list[str]) -> None:
        self.seen = ""
        self.pid, self.terminal = pty.fork()
        if not self.pid:  # the child: its three streams are the terminal
            os.environ |= {"TERM": "dumb", "COLUMNS": "200"}
            os.execv(sys.executable, [sys.executable, "-m", "wsgi_sepkg", *words])

    def read(self) -> bool:
        """Take what was printed; False at the end."""
        ready, _, _ = select.select([self.terminal], [], [], 120)
        assert ready, f"nothing more was printed after:\n{self.seen}"
        try:
            data = os.read(self.terminal, 4096)
        except OSError:  # the program has ended
            return False
        self.seen += data.decode("utf-8", "replace").replace("\r", "")
        return bool(data)

    def answer(self, question: str, text: str) -> None:
        """Wait until a question is printed, and type."""
        while question not in self.seen:
            assert self.read(), f"{question!r} was not asked:\n{self.seen}"
        self.seen = self.seen.partition(question)[2]
        os.write(self.terminal, f"{text}\n".encode())

    def end(self) -> int:
        """Return the exit status."""
        while self.read():
            pass
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A project that leaves two things open: who packages it, and where uploads go."""
    folder = tmp_path / "notes"
    (folder / "notes").mkdir(parents=True)
    settings = "import os\nMEDIA_ROOT = os.environ['MEDIA']\n"
    files = {"__init__": "", "wsgi": f"{ENTRY}application = None\n", "settings": settings}
    for name, text in files.items():
        (folder / "notes" / f"{name}.py").write_text(text)
    (folder / "manage.py").write_text(ENTRY)
    return folder


def test_a_person_is_asked_with_defaults_and_the_place_of_each_question(site: Path) -> None:
    answers = ("project.url=", "project.targets=debian-12", "application.requires=")
    given = [word for answer in answers for word in ("--answer", answer)]
    person = Person(["init", str(site), *given])
    person.answer("settings module that the site runs with", "")
    person.answer("folder of the code on the target (/usr/share/notes)", "")
    person.answer("the package's name (notes)", "")
    person.answer("its version (0.1)", "2.0")
    person.answer("one line about it", "")
    person.answer("its licence, an SPDX expression such as MIT  (empty: leave it open)", "MIT")
    person.answer("who packages it", "Example Ltd <packages@example.org>")
    person.answer("[notes/settings.py:2]", "/var/lib/notes/media")
    person.answer("how is it confined?", "no such way")
    person.answer("how is it confined?", "")
    person.answer("does this package ship the code?", "")
    assert person.end() == 0, person.seen
    description = load(site).description
    assert description.project.version == "2.0"
    assert description.path.media == "/var/lib/notes/media"


def test_an_empty_answer_leaves_a_question_open(site: Path) -> None:
    given = ["project.license=MIT", "project.maintainer=A <a@example.org>"]
    words = [word for answer in given for word in ("--answer", answer)]
    person = Person(["init", str(site), *words])
    for _ in range(30):
        if not person.read():
            break
        if person.seen.rstrip(" ").endswith(":"):
            os.write(person.terminal, b"\n")
    assert person.end() == 1, person.seen
    assert "# OPEN path.media" in (site / "wsgi-sepkg.toml").read_text()


def test_without_a_terminal_nothing_is_asked(site: Path) -> None:
    person = Person(["init", str(site), "--no-input"])
    assert person.end() == 1
    assert "(empty: leave it open)" not in person.seen
    assert "open: path.media" in person.seen
