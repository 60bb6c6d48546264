"""What the tool costs, as ratios to a peer or to the bare tool, measured in one run.

    .venv/bin/python benchmarks/run.py [--runs N] [--json FILE]

The two commands of a pair take turns. Starts are compared by processor time (user and system,
children included), which a busy machine changes little; ``check`` and ``build`` by the time that a
person waits, since they do some of their work while the linker runs.
"""

from __future__ import annotations

import _ctypes
import argparse
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "guestbook"
PYTHON = sys.executable
PROGRAM = str(Path(PYTHON).parent / "wsgi-sepkg")


@dataclass(frozen=True)
class Cost:
    """Medians over the runs: processor and wall seconds, peak memory of the largest process."""

    cpu: float
    wall: float
    memory_mb: float


@dataclass(frozen=True)
class Row:
    """One comparison: ``ratio`` of ``by`` (cpu or wall), ``limit`` what it must not pass.

    ``most`` are processor seconds and MB that ours must not pass either, where they are promised.
    """

    name: str
    against: str
    ours: Cost
    theirs: Cost
    ratio: float
    limit: float
    by: str
    most: tuple[float, float] = (math.inf, math.inf)

    @property
    def held(self) -> bool:
        """Tell whether the ratio, and what is promised, keep to their limits."""
        seconds, memory = self.most
        return (
            self.ratio <= self.limit and self.ours.cpu <= seconds and self.ours.memory_mb <= memory
        )


def once(command: list[str], environment: dict[str, str] | None = None) -> Cost:
    """Run ``command`` and return what it cost. Raises CalledProcessError when it fails."""
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    wall = time.perf_counter() - started
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def children(call: Callable[[], object]) -> Cost:
    """Return what ``call`` and the processes that it started cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    call()
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall, after.ru_maxrss / 1024)


def median(costs: list[Cost]) -> Cost:
    """Return the medians of the figures."""
    return Cost(
        statistics.median(c.cpu for c in costs),
        statistics.median(c.wall for c in costs),
        max(c.memory_mb for c in costs),
    )


def pair(
    name: str,
    against: str,
    limit: float,
    runs: int,
    ours: Callable[[], Cost],
    theirs: Callable[[], Cost],
    by: str = "wall",
) -> Row:
    """Measure two commands in turn, after a warm-up, and return the row."""
    ours()
    theirs()
    mine, other = [], []
    for _ in range(runs):
        mine.append(ours())
        other.append(theirs())
    ratios = [getattr(a, by) / getattr(b, by) for a, b in zip(mine, other, strict=True)]
    return Row(name, against, median(mine), median(other), statistics.median(ratios), limit, by)


def start(runs: int) -> list[Row]:
    """``--version`` and ``generate`` beside the bare import of typer."""
    out = tempfile.mkdtemp()
    generate = [PROGRAM, "generate", str(EXAMPLE), "--target", "debian-12", "--outdir", out, "-q"]
    imported = [PYTHON, "-c", "import typer"]
    rows = [
        pair(
            "--version",
            "import typer",
            1.7,
            runs,
            lambda: once([PROGRAM, "--version"]),
            lambda: once(imported),
            "cpu",
        ),
        pair(
            "generate",
            "import typer",
            3.0,
            runs,
            lambda: once(generate),
            lambda: once(imported),
            "cpu",
        ),
    ]
    shutil.rmtree(out)
    return rows


def check(runs: int) -> Row:
    """``check`` beside the bare semodule link that it contains."""
    from wsgi_sepkg.package.tree import generate
    from wsgi_sepkg.policy import buildcheck
    from wsgi_sepkg.policy.compile import compile_modules, headers_for
    from wsgi_sepkg.project.load import load

    loaded = load(EXAMPLE, "debian-12")
    tree = generate(loaded)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        headers = headers_for(loaded.target, None)
        files = compile_modules(tree.policy, tree.sources, loaded.target, headers, work / "m")
        store = buildcheck.find_store("/")

        def bare() -> Cost:
            root = work / "scratch"
            shutil.rmtree(root, ignore_errors=True)
            copy = buildcheck.scratch_copy(store, str(root))
            conf = root / "etc/selinux/semanage.conf"
            conf.write_text("expand-check=1\n" + conf.read_text().replace("expand-check=0", ""))
            command = ["semodule", "-p", str(root), "-S", copy.store_root, "-s", copy.policy_type]
            return once([*command, "-n", "-N", "-X", "200", "-i", str(files[0])])

        return pair(
            "check",
            "semodule -i of the module",
            1.25,
            runs,
            lambda: once([PROGRAM, "check", str(EXAMPLE), "--target", "debian-12", "-q"]),
            bare,
        )


def build(runs: int) -> Row:
    """``build`` beside ``rpmbuild -ba`` of the same spec and sources, its %check included."""
    from wsgi_sepkg.engines.rpmbuild import REPRODUCIBLE
    from wsgi_sepkg.package.build import lay_out
    from wsgi_sepkg.package.tree import generate
    from wsgi_sepkg.project.load import load

    tree = generate(load(EXAMPLE, "debian-12"))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        spec = lay_out(tree, work / "sources")
        defines = {
            "_topdir": str(work / "rpm"),
            "_sourcedir": str(work / "sources"),
            "dist": ".deb12",
            **REPRODUCIBLE,
        }
        command = ["rpmbuild", "-ba", "--nodeps"]
        for name, value in defines.items():
            command += ["--define", f"{name} {value}"]
        return pair(
            "build",
            "rpmbuild -ba",
            1.10,
            runs,
            lambda: once(
                [
                    PROGRAM,
                    "build",
                    str(EXAMPLE),
                    "--target",
                    "debian-12",
                    "-q",
                    "--outdir",
                    str(work / "out"),
                ]
            ),
            lambda: once([*command, str(spec)], {"PYTHONDONTWRITEBYTECODE": "1"}),
        )


def side_by_side(runs: int) -> Row:
    """Four targets with two at a time beside one at a time.

    Where mock is not installed, it is the stand-in of the tests: rpmbuild on this host.
    """
    targets = ("el8", "el9", "el10", "fedora-43")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        environment = {"HOME": folder, "XDG_STATE_HOME": folder}
        if shutil.which("mock") is None:
            services = ROOT / "tests" / "services"
            environment["PATH"] = f"{services}{os.pathsep}{os.environ['PATH']}"

        def at_once(jobs: int) -> Cost:
            out = work / "out"
            shutil.rmtree(out, ignore_errors=True)
            command = [PROGRAM, "build", str(EXAMPLE), "--engine", "mock", "--jobs", str(jobs)]
            command += ["--outdir", str(out), "-q"]
            for name in targets:
                command += ["--target", name]
            return once(command, environment)

        return pair(
            "build -j 2",
            "build -j 1, four targets",
            0.65,
            runs,
            lambda: at_once(2),
            lambda: at_once(1),
        )


_DENIAL = (
    "type=AVC msg=audit(17000000{n:02}.100:{n}): avc:  denied  {{ {what} }} for  pid=9 "
    'comm="httpd" {more} scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:{role}:s0 '
    "tclass={tclass} permissive=0\n"
)
_FIFTEEN = [
    *(("name_connect", f"dest={p}", "object_r:unreserved_port_t", "tcp_socket") for p in range(9)),
    ("name_connect", "dest=5432", "object_r:postgresql_port_t", "tcp_socket"),
    ("name_connect", "dest=6379", "object_r:redis_port_t", "tcp_socket"),
    ("write", 'path="/var/lib/app/db/x"', "object_r:var_lib_t", "file"),
    ("read", 'path="/srv/app/a.css"', "object_r:var_t", "file"),
    ("search", 'name="my.cnf.d"', "object_r:mysqld_etc_t", "dir"),
    ("setrlimit", "", "system_r:httpd_t", "process"),
]


def explain(runs: int) -> list[Row]:
    """``explain`` of 15 lines: with the installed policy beside one sesearch, and without any."""
    from wsgi_sepkg.denials.grounds import installed_policy

    policy = installed_policy()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "audit.log"
        log.write_text(
            "".join(
                _DENIAL.format(n=n, what=what, more=more, role=role, tclass=tclass)
                for n, (what, more, role, tclass) in enumerate(_FIFTEEN, start=10)
            )
        )
        search = ["sesearch", "-A", "-s", "httpd_t", "-t", "postgresql_port_t", str(policy)]
        command = [PROGRAM, "explain", str(log), "--format", "json"]
        return [
            pair(
                "explain",
                "one sesearch",
                2.0,
                runs,
                lambda: once(command),
                lambda: once(search),
                "cpu",
            ),
            pair(
                "  no policy",
                "import typer",
                6.0,
                runs,
                lambda: once([*command, "--no-policy"]),
                lambda: once([PYTHON, "-c", "import typer"]),
                "cpu",
            ),
        ]


def label_plan(runs: int) -> Row:
    """``init`` with the label plan of a virtual environment beside grep in its sources.

    200 distributions, each with 60 sources of 6 kB, one of which uses ctypes, and four libraries of
    this interpreter.
    """
    sample = sorted(Path(_ctypes.__file__).parent.glob("*.so"))[:4]
    source = "def handler(value):\n    return value\n" * 160
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "notes").mkdir()
        setting = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'notes.settings')\n"
        (work / "manage.py").write_text(setting)
        (work / "notes" / "wsgi.py").write_text("application = None\n")
        (work / "notes" / "settings.py").touch()
        site = work / "venv" / "lib" / "python3" / "site-packages"
        for number in range(200):
            name = f"package{number}"
            (site / name).mkdir(parents=True)
            for part in range(60):
                start = "" if part else "import ctypes\n"
                (site / name / f"module{part}.py").write_text(start + source)
            for library in sample:
                shutil.copyfile(library, site / name / library.name)
            (site / f"{name}-1.0.dist-info").mkdir()
            names = [p.relative_to(site) for p in (site / name).iterdir()]
            record = "".join(f"{name},sha256=x,1\n" for name in names)
            (site / f"{name}-1.0.dist-info" / "RECORD").write_text(record)
        (work / "venv" / "pyvenv.cfg").touch()
        command = [PROGRAM, "init", folder, "--dry-run", "--no-input", "--venv", f"{folder}/venv"]
        for key in ("name=notes", "license=MIT", "maintainer=A <a@example.org>"):
            command += ["--answer", f"project.{key}"]
        row = pair(
            "init --venv",
            "grep -r ctypes of its sources",
            30.0,
            runs,
            lambda: once(command),
            lambda: once(["grep", "-rlF", "--include=*.py", "ctypes", str(site)]),
            "cpu",
        )
    return replace(row, most=(3.0, 150.0))


def main() -> int:
    """Print the table; the status is 1 when a limit was passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    rows = [*start(options.runs * 2), *explain(options.runs)]
    rows.append(label_plan(options.runs))
    rows += [check(options.runs), build(options.runs)]
    rows.append(side_by_side(max(1, options.runs // 2)))
    print(
        f"{'command':<12}{'against':<28}{'cpu s':>8}{'cpu s':>8}{'ratio':>8}{'limit':>8}"
        f"{'wall s':>9}{'wall s':>9}{'MB':>7}"
    )
    for row in rows:
        print(
            f"{row.name:<12}{row.against:<28}{row.ours.cpu:>8.3f}{row.theirs.cpu:>8.3f}"
            f"{row.ratio:>8.2f}{row.limit:>8.2f}{row.ours.wall:>9.3f}{row.theirs.wall:>9.3f}"
            f"{row.ours.memory_mb:>7.0f}{'' if row.held else '  PASSED THE LIMIT'}"
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
