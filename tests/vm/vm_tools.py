"""What the jobs of the machine tests are made of."""

from __future__ import annotations

from pathlib import Path

from wsgi_sepkg.package.build import build
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.project.load import load

ROOT = Path(__file__).parents[2]
JOBS = Path(__file__).parent / "jobs"


def job_files(*packages: Path) -> dict[str, Path | str]:
    """Return what lies beside a job's script: the jobs' helpers and packages."""
    return {path.name: path for path in [*JOBS.iterdir(), *packages]}


def build_example(folder: Path, source: Path, *settings: str) -> tuple[Path, ...]:
    """Return the binary packages of ``source``, built into ``folder`` for the machine's target."""
    made = build(generate(load(str(source), "debian-12", list(settings))), folder, "rpmbuild")
    assert made.report is not None
    assert made.report.ok
    return tuple(path for path in made.packages if not path.name.endswith(".src.rpm"))
