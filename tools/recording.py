#!/usr/bin/env python3
"""Record the terminal of the README's first steps as docs/images/build.svg.

The commands are those of the README, run with the real tools in an empty folder; what they print
is drawn by rich. Run it with the project's interpreter: .venv/bin/python tools/recording.py
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

from pages import blocks, follow
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
SECTION = "Five minutes"
WIDTH = 112


def record(command: str, printed: str) -> str:
    """Return an SVG of a terminal in which ``command`` printed ``printed``."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, legacy_windows=False
    )
    console.print(Text("$ ", style="bold green") + Text(command, style="bold"))
    console.print(Text(printed.rstrip("\n")), highlight=False)
    svg = console.export_svg(title=command, unique_id="recording")
    # No font is fetched: the reader's own monospace font serves.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main() -> int:
    """Run the README's steps and write the picture of the last one."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    steps = [b for b in blocks(page) if b.section == SECTION]
    build = next(i for i, step in enumerate(steps) if "wsgi-sepkg build" in step.text)
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        path = f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin"
        *_, printed = follow(steps[: build + 1], Path(folder), {"PATH": path, "NO_COLOR": "1"})
        if folder in printed:
            print(f"a path of this machine is in the output:\n{printed}", file=sys.stderr)
            return 1
    target = ROOT / "docs" / "images" / "build.svg"
    target.write_text(record("wsgi-sepkg build", printed), encoding="utf-8")
    print(f"wrote {target.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
