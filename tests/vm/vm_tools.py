"""What the jobs of the machine tests are made of."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import shop

from wsgi_sepkg import process
from wsgi_sepkg.machine.boot import Outcome
from wsgi_sepkg.package.build import build, lay_out
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.project.load import load

ROOT = Path(__file__).parents[2]
JOBS = Path(__file__).parent / "jobs"
EXAMPLE = ROOT / "examples" / "guestbook"

# What the matrix needs and the example has not.
_MORE = """
[[port]]
number = 24680
type = "{module}_port_t"
reason = "where other programs ask for entries"

[[boolean]]
name = "httpd_can_sendmail"
value = true
reason = "the matrix looks what becomes of it"
"""
_STUB = """
Name: {name}
Version: 1
Release: 1
Summary: What this system has, for rpm
License: MIT
BuildArch: noarch
{provides}
%description
Says to rpm what this system has.
%files
"""


def statuses(life: Outcome, step: str) -> dict[str, int]:
    """Return the HTTP statuses of a step."""
    found: dict[str, int] = json.loads(life.text(f"{step}.json"))
    return found


def job_files(*packages: Path) -> dict[str, Path | str]:
    """Return what lies beside a job's script: the jobs' helpers and packages."""
    return {path.name: path for path in [*JOBS.iterdir(), *packages]}


def build_example(folder: Path, source: Path, *settings: str) -> tuple[Path, ...]:
    """Return the binary packages of ``source``, built into ``folder`` for the machine's target."""
    made = build(generate(load(str(source), "debian-12", list(settings))), folder)
    assert made.report is not None
    assert made.report.ok
    return tuple(path for path in made.packages if not path.name.endswith(".src.rpm"))


def kept_matrix(home: Path) -> tuple[Path, ...]:
    """Return the packages of matrix.toml, built once for all workers: kept by what they follow."""
    digest = hashlib.sha256()
    folders = [ROOT / name for name in ("src", "specs", "templates", "examples/guestbook")]
    inputs = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    for path in sorted([*inputs, Path(__file__), Path(shop.__file__)]):
        if path.suffix != ".pyc":
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    home.mkdir(exist_ok=True)
    kept = home / digest.hexdigest()[:16]
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=home) as work:
                made = Path(work) / "all"
                made.mkdir()
                for package in build_matrix(Path(work)):
                    shutil.move(package, made)
                made.rename(kept)
    return tuple(sorted(kept.iterdir()))


def build_matrix(folder: Path) -> tuple[Path, ...]:
    """Return the packages that matrix.toml tells of."""
    found = []
    for version, more in {
        "1.4": [],
        "1.5": ["project.previous-priority=400"],
        "1.3": ['project.module="oldbook"'],
        "1.2": [],
    }.items():
        source = folder / version / "guestbook"
        shutil.copytree(EXAMPLE, source)
        module = "oldbook" if version == "1.3" else "guestbook"
        text = (source / "wsgi-sepkg.toml").read_text(encoding="utf-8") + _MORE
        # The example's own expectations name its types.
        text = text.replace("guestbook_content_t", f"{module}_content_t")
        text = text.replace("guestbook_media_t", f"{module}_media_t").replace("{module}", module)
        (source / "wsgi-sepkg.toml").write_text(text, encoding="utf-8")
        settings = [f'project.version="{version}"', *more]
        if version == "1.2":
            found += _at_400(folder / version, source, settings)
        else:
            found += build_example(folder / version / "made", source, *settings)
    wanted = shop.description(shop.boolean("httpd_can_sendmail"))
    found += build_example(folder / "made", shop.source(folder / "shop", wanted))
    return (*found, stub(folder, "system-policy", ["selinux-policy-targeted = 40"]))


def stub(folder: Path, name: str, provides: Iterable[str]) -> Path:
    """Return a package without files that says to rpm what the system has."""
    spec = folder / f"{name}.spec"
    lines = "\n".join(f"Provides: {said}" for said in provides)
    spec.write_text(_STUB.format(name=name, provides=lines), encoding="utf-8")
    (made,) = _rpmbuild(spec, folder / name, folder)
    return made


def _at_400(folder: Path, source: Path, settings: list[str]) -> tuple[Path, ...]:
    """Build packages like those of others, who install at priority 400."""
    spec = lay_out(generate(load(str(source), "debian-12", settings)), folder / "sources")
    text = spec.read_text(encoding="utf-8")
    for ours in ("-X 200", "-p 200", "modules/200"):
        assert ours in text
        text = text.replace(ours, ours.replace("200", "400"))
    spec.write_text(text, encoding="utf-8")
    return _rpmbuild(spec, folder, folder / "sources")


def _rpmbuild(spec: Path, folder: Path, sources: Path) -> tuple[Path, ...]:
    macros = {"_topdir": folder / "rpm", "_sourcedir": sources, "dist": ".deb12"}
    defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
    process.run(["rpmbuild", "-bb", "--nodeps", "--nocheck", *defines, spec], timeout=600)
    return tuple(sorted((folder / "rpm").glob("RPMS/*/*.rpm")))
