"""Reading denials, beside audit2allow and ausearch, on generated logs of several sizes.

    .venv/bin/python benchmarks/denials.py [--sizes 10000,100000,1000000] [--runs N] [--write]

The commands of a size take turns, after one round that is not counted; every ratio is the median of
the rounds' own ratios, so that a busy machine weighs on both sides alike. Peers are used where they
are installed: audit2allow (policycoreutils-python-utils), ausearch (auditd). ``--ausearch FILE``
names one that is elsewhere. ``--write`` writes the table and the plot into benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import denial_logs
from run import PROGRAM, Cost

RESULTS = Path(__file__).parent / "results"
COLORS = ("#1f6feb", "#54aeff", "#8250df", "#c297ff", "#cf222e", "#1a7f37")
# What a person at a terminal waits for: a few records.
SHORT = 15


@dataclass(frozen=True)
class Row:
    """One command on one size: medians, and the median ratio of the reference to it."""

    name: str
    lines: int
    cost: Cost
    wall_ratio: float
    cpu_ratio: float


def once(command: list[str], log: Path) -> Cost:
    """Run ``command`` on ``log``; the memory is that of its largest process."""
    import time

    # With bytecode, as pip and rpm install programs: the round that is not counted keeps it.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, str(log)],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode not in (0, 1):
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def commands(policy: str, ausearch: str) -> dict[str, list[str]]:
    """The commands that are measured, each without its log."""
    found = {
        "explain --no-policy": [PROGRAM, "explain", "--no-policy"],
        "explain --no-policy -j 1": [PROGRAM, "explain", "--no-policy", "-j", "1"],
        "denials summarize": [PROGRAM, "denials", "summarize"],
        "denials summarize -j 1": [PROGRAM, "denials", "summarize", "-j", "1"],
    }
    if shutil.which("audit2allow"):
        found["audit2allow -p"] = ["audit2allow", "-p", policy, "-i"]
    if shutil.which(ausearch):
        found["ausearch -m avc"] = [ausearch, "-m", "avc", "-if"]
    return found


def first_answer(policy: str) -> dict[str, list[str]]:
    """The commands of a short log; sesearch is told the log's name and does not look at it."""
    question = f"exec sesearch -A -s httpd_t -c tcp_socket {shlex.quote(policy)}"
    found = {"explain --no-policy": [PROGRAM, "explain", "--no-policy"]}
    if policy and shutil.which("sesearch"):
        found["explain --policy"] = [PROGRAM, "explain", "--policy", policy]
        found["sesearch -A"] = ["sh", "-c", question, "sesearch"]
    return found


def measure(lines: int, runs: int, table: dict[str, list[str]], folder: Path) -> list[Row]:
    """Measure all commands on a log of ``lines`` lines."""
    log = folder / "audit.log"
    denial_logs.write(log, lines)
    costs: dict[str, list[Cost]] = {name: [] for name in table}
    for turn in range(runs + 1):
        for name, command in table.items():
            cost = once(command, log)
            if turn:
                costs[name].append(cost)
    log.unlink()
    first = costs[next(iter(table))]
    rows = []
    for name, mine in costs.items():
        pairs = list(zip(mine, first, strict=True))
        middle = Cost(
            statistics.median(c.cpu for c in mine),
            statistics.median(c.wall for c in mine),
            max(c.memory_mb for c in mine),
        )
        wall = statistics.median(a.wall / b.wall for a, b in pairs)
        cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
        rows.append(Row(name, lines, middle, wall, cpu))
        print(show(rows[-1]), flush=True)
    return rows


def show(row: Row) -> str:
    """The row as a line of a table."""
    return (
        f"| {row.lines:,} | `{row.name}` | {row.cost.wall:.2f} | {row.cost.cpu:.2f} | "
        f"{row.cost.memory_mb:.0f} | {row.wall_ratio:.1f} | {row.cpu_ratio:.1f} |"
    )


def page(rows: list[Row], runs: int) -> str:
    """The tables as Markdown."""
    columns = (
        "| lines | command | wall s | cpu s | MB | wall, times ours | cpu, times ours |\n"
        "|--:|--|--:|--:|--:|--:|--:|\n"
    )
    head = (
        "# Reading denials: measured\n\n"
        "Written by `benchmarks/denials.py --write`. Medians of "
        f"{runs} rounds in which the commands take turns, on {os.cpu_count()} processors "
        f"({platform.machine()}, Python {platform.python_version()}), on generated logs in which a "
        "third of the events are denials with their companions, interleaved. `times ours` is how "
        "many times as long (wall, processor) as `explain --no-policy` in the same round.\n\n"
        "![Time and memory by lines](denials.svg)\n\n"
    )
    long, short = (
        columns + "\n".join(show(row) for row in rows if (row.lines == SHORT) == is_short) + "\n"
        for is_short in (False, True)
    )
    return (
        f"{head}{long}\n## The first answer\n\nA log of {SHORT} lines. With a policy, "
        "libsepol's own reading of it is the floor: `sesearch` asks one question of the same "
        f"policy.\n\n{short}"
    )


def plot(rows: list[Row]) -> str:
    """Wall time and memory over lines, both axes logarithmic, as SVG."""
    names = list(dict.fromkeys(row.name for row in rows))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 400" font-family="sans-serif" '
        'font-size="13"><rect width="960" height="400" fill="white"/>'
    ]
    for left, title, value in (
        (60, "wall seconds", lambda r: r.cost.wall),
        (500, "peak memory of a process, MB", lambda r: r.cost.memory_mb),
    ):
        parts += panel(rows, names, left, title, value)
    for index, name in enumerate(names):
        x, y = 70 + index % 3 * 300, 365 + index // 3 * 20
        parts.append(
            f'<rect x="{x}" y="{y - 9}" width="14" height="10" fill="{COLORS[index]}"/>'
            f'<text x="{x + 20}" y="{y}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def panel(rows: list[Row], names: list[str], left: int, title: str, value) -> list[str]:
    """One diagram with its axes."""
    low, high = (f(math.log10(value(r)) for r in rows) for f in (min, max))
    low, high = math.floor(low), math.ceil(high)
    sizes = sorted({row.lines for row in rows})
    start, end = math.log10(sizes[0]), math.log10(sizes[-1])

    def at(row_lines: float, amount: float) -> tuple[float, float]:
        x = left + 380 * (math.log10(row_lines) - start) / ((end - start) or 1)
        return x, 330 - 280 * (math.log10(amount) - low) / ((high - low) or 1)

    parts = [f'<text x="{left}" y="30" font-weight="bold">{title}</text>']
    for power in range(low, high + 1):
        _, y = at(sizes[0], 10.0**power)
        parts.append(
            f'<line x1="{left}" x2="{left + 380}" y1="{y}" y2="{y}" stroke="#ddd"/>'
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{10.0**power:g}</text>'
        )
    for size in sizes:
        x, _ = at(size, 10.0**low)
        parts.append(f'<text x="{x}" y="348" text-anchor="middle">{size:,}</text>')
    for index, name in enumerate(names):
        points = [at(r.lines, value(r)) for r in rows if r.name == name]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{COLORS[index]}" stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLORS[index]}"/>' for x, y in points
        ]
    return parts


def installed_policy() -> str:
    """The newest binary policy of this host."""
    found = sorted(Path("/etc/selinux").glob("*/policy/policy.*"))
    return str(found[-1]) if found else ""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--ausearch", default="ausearch")
    parser.add_argument("--policy", default=installed_policy())
    parser.add_argument("--only", default="", help="names of commands that begin like this")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    table = commands(given.policy, given.ausearch)
    table = {k: v for k, v in table.items() if k.startswith(given.only)}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in map(int, given.sizes.split(",")):
            rows += measure(size, given.runs, table, Path(folder))
        if not given.only:
            rows += measure(SHORT, 2 * given.runs, first_answer(given.policy), Path(folder))
    if given.json:
        given.json.write_text(json.dumps([[r.name, r.lines, vars(r.cost)] for r in rows]))
    if given.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "denials.md").write_text(page(rows, given.runs))
        (RESULTS / "denials.svg").write_text(plot([row for row in rows if row.lines != SHORT]))


if __name__ == "__main__":
    main()
