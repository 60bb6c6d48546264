"""What the engines have in common that run a program on this host, one for each target."""

from __future__ import annotations

from collections.abc import Mapping

from wsgi_sepkg import process
from wsgi_sepkg.engines.base import Progress, State, Submission


class OwnProcess:
    """A program of this host; it goes on when this one is killed, and is found by its folder."""

    together = False
    remote = False

    def find(self, submission: Submission) -> str:
        """Return the key when the program was started already."""
        return submission.key if process.started(submission.work) else ""

    def follow(self, submission: Submission, build: str) -> Mapping[str, Progress]:
        """Return the state, by the exit status that the ended program left."""
        (target,) = submission.roots
        status = process.ended(submission.work)
        if status is None:
            return {target: Progress(State.running, self.phase(submission))}
        return {target: Progress(State.succeeded if status == 0 else State.failed)}

    def phase(self, submission: Submission) -> str:
        """Return what the running program does."""
        raise NotImplementedError

    def cancel(self, submission: Submission, build: str) -> None:
        """Ask the program to end."""
        process.stop(submission.work)
