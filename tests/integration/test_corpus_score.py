"""Real denials with an expert's judgement, where their folder lies beside the checkout."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

# Beside the checkout, or beside the repository that a worktree belongs to.
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
PROGRAM = Path(sys.executable).parent / "wsgi-sepkg"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside the checkout")
def test_the_judged_fix_is_the_answer() -> None:
    """The figures are those that docs/explanation/the-ladder.md states."""
    command = [sys.executable, CORPUS / "score.py", "--corpus", CORPUS, "--verbose"]
    command += [PROGRAM, "explain", "--no-policy", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)

    figures = re.search(
        r"ran (\d+)/(\d+); records accounted (\d+)/(\d+); vocabulary faults (\d+); "
        r"judged fix first (\d+)/(\d+), anywhere (\d+)/(\d+)",
        done.stdout,
    )
    assert figures is not None, done.stderr
    ran, rows, records, of, faults, first, judged, anywhere, _ = map(int, figures.groups())
    assert (ran, records, faults) == (rows, of, 0)
    assert first >= 0.85 * judged, done.stdout
    assert anywhere >= 0.95 * judged, done.stdout
