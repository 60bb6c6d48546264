"""The blocks of a page of the documentation, and a reader who does what the page says.

A comment above a block tells what the block is:

``<!-- file: NAME -->``     the reader writes the block into the file NAME
``<!-- append: NAME -->``   the reader adds the block to the file NAME
``<!-- output -->``         what the commands above it print; ``...`` stands for any lines

A block marked ``sh`` without such a comment is typed into a shell that stops at the first error.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\S*)\s*$")
_COMMENT = re.compile(r"^<!-- (file|append|output)(?:: (\S+))? -->$")
_HEADING = re.compile(r"^(#+) (.+?)\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block: ``role`` is file, append, output or '', ``name`` the file it is for."""

    language: str
    text: str
    line: int
    section: str
    role: str = ""
    name: str = ""


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page in their order; ``line`` is that of the fence, 1-based."""
    return list(_blocks(page))


def _blocks(page: str) -> Iterator[Block]:
    section, role, name = "", "", ""
    start, language, inside = 0, "", False
    held: list[str] = []
    for number, line in enumerate(page.splitlines(), start=1):
        fence = _FENCE.match(line)
        if inside:
            if fence and not fence.group(1):
                yield Block(language, "\n".join(held) + "\n", start, section, role, name)
                inside, role, name = False, "", ""
            else:
                held.append(line)
        elif fence:
            start, language, inside, held = number, fence.group(1), True, []
        elif comment := _COMMENT.match(line):
            role, name = comment.group(1), comment.group(2) or ""
        elif heading := _HEADING.match(line):
            section = heading.group(2)


def follow(steps: list[Block], folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Do the steps in ``folder`` and yield what each shell block printed, both streams together.

    The folder that a block changes to is where the next one begins. Raises AssertionError, naming
    the line of the page, when a command fails or prints something else than the page says.
    """
    here, printed = folder, ""
    for step in steps:
        if step.role in ("file", "append"):
            with (here / step.name).open("a" if step.role == "append" else "w") as stream:
                stream.write(step.text)
        elif step.role == "output":
            missing = first_missing(step.text, printed)
            assert missing is None, f"line {step.line}: not printed: {missing!r}, but:\n{printed}"
        elif step.language == "sh":
            place = folder / ".place"
            script = f"{step.text}\npwd >{shlex.quote(str(place))}\n"
            done = subprocess.run(
                ["bash", "-eu", "-c", script],
                cwd=here,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=1800,
                check=False,
            )
            printed = done.stdout
            assert done.returncode == 0, f"line {step.line}: status {done.returncode}:\n{printed}"
            here = Path(place.read_text().strip())
            place.unlink()
            yield printed


def first_missing(expected: str, printed: str) -> str | None:
    """Return the first line of ``expected`` that ``printed`` lacks, None when all is there.

    Lines stand in the same order; between ``...`` and the next line anything may stand.
    """
    have = [line.rstrip() for line in printed.splitlines()]
    position, loose = 0, True
    for line in (line.rstrip() for line in expected.splitlines()):
        if line == "...":
            loose = True
            continue
        rest = have[position:] if loose else have[position : position + 1]
        if line not in rest:
            return line
        position += rest.index(line) + 1
        loose = False
    return None
