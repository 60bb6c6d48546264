"""rpmbuild for several targets: this program itself, once for each target, side by side.

The policy of each package is checked here as in a build of one target, since it is the same build.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsgi_sepkg import errors, process
from wsgi_sepkg.engines.base import Results, Submission
from wsgi_sepkg.engines.own import OwnProcess
from wsgi_sepkg.errors import BuildStopped, CheckFailed, WsgiSepkgError
from wsgi_sepkg.policy.check import FAILED


class Local(OwnProcess):
    """One process of ``wsgi-sepkg build --target NAME`` for each target."""

    name = "rpmbuild"
    interval = 0.2

    def __init__(self, project: Path, options: Sequence[str] = ()) -> None:
        """``project`` is the description's file; ``options`` are passed to each build."""
        self._project = project
        self._options = tuple(options)

    def root(self, target: str) -> str:
        """Return the target itself: the root is this host."""
        return target

    def prepare(self, submission: Submission) -> None:
        """Nothing can be known before the build itself looks."""

    def submit(self, submission: Submission) -> str:
        """Start the build; it goes on when this program is killed."""
        (target,) = submission.roots
        command: list[str | Path] = [sys.executable, "-m", "wsgi_sepkg", "build", self._project]
        command += ["--target", target, "--outdir", submission.work / "result", "--format", "json"]
        process.start([*command, *self._options], submission.work)
        return submission.key

    def phase(self, submission: Submission) -> str:
        """Return the tool: the build does not say how far it is."""
        return "rpmbuild"

    def fetch(self, submission: Submission, build: str, target: str, folder: Path) -> Results:
        """Copy packages, logs and what else the build wrote."""
        packages: list[Path] = []
        logs: list[Path] = []
        for path in sorted((submission.work / "result").glob("*")):
            if path.is_file():
                copy = Path(shutil.copyfile(path, folder / path.name))
                (packages if path.suffix == ".rpm" else logs).append(copy)
        return Results(tuple(packages), tuple(logs))

    def failure(
        self, submission: Submission, build: str, target: str, results: Results
    ) -> WsgiSepkgError:
        """Return the error that the build told."""
        output = submission.work / "output.log"
        status = process.ended(submission.work)
        text = output.read_text(encoding="utf-8", errors="replace") if output.is_file() else ""
        said = _json(text)
        if status == 1 and said.get("check"):
            found = said["check"].get("findings", [])
            failed = [str(f["text"]) for f in found if f["status"] == FAILED]
            lines = "".join(f"\n    {line}" for line in failed)
            return CheckFailed(
                f"the check of the policy failed{lines}",
                f"`wsgi-sepkg check --target {target}` tells all of it",
            )
        if status is None or status < 0 or status > 128 or not said.get("error"):
            return BuildStopped(
                "the build was ended before it was done", "build again", text.splitlines()[-4:]
            )
        kinds = {2: errors.UsageError, 3: errors.WrongHost, 4: errors.BuildFailed}
        kind: type[WsgiSepkgError] = kinds.get(status, WsgiSepkgError)
        hint = str(said.get("hint", ""))
        hint = hint.replace(str(submission.work / "result"), str(_place(results, submission)))
        return kind(str(said["error"]), hint)


def _place(results: Results, submission: Submission) -> Path:
    found = [*results.logs, *results.packages]
    return found[0].parent if found else submission.work / "result"


def _json(text: str) -> dict[str, Any]:
    """Return the JSON object in the output: messages of standard error may stand around it."""
    start = text.find("{\n")
    while start >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            start = text.find("{\n", start + 1)
        else:
            return found if isinstance(found, dict) else {}
    return {}
