"""What the jobs of the machine tests are made of."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import ClassVar

import shop

from wsgi_sepkg import process
from wsgi_sepkg.engines import reproducible
from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.package.build import build, lay_out
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.project.load import load

ROOT = Path(__file__).parents[2]
JOBS = Path(__file__).parent / "jobs"
EXAMPLE = ROOT / "examples" / "guestbook"
_VERSIONS = (
    "selinux-policy-default",
    "policycoreutils",
    "rpm",
    "dnf",
    "apache2",
    "libapache2-mod-wsgi-py3",
    "python3-django",
    "postgresql-15",
)

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


class Noted(Machine):
    """A machine that notes what its jobs were made of, for the test that is run."""

    running_test: ClassVar[str] = ""
    made_of: ClassVar[defaultdict[str, list[str]]] = defaultdict(list)

    def run(
        self,
        script: str,
        files: Mapping[str, Path | str] | None = None,
        *,
        limit: float = 600.0,
        console: Callable[[str], None] = lambda line: None,
    ) -> Outcome:
        """Run the job, and note it."""
        Noted.made_of[Noted.running_test].append(self.key(script, named(script, files or {})))
        return super().run(script, files, limit=limit, console=console)


def named(script: str, files: Mapping[str, Path | str]) -> dict[str, Path | str]:
    """Return the files that a job names, itself or in a helper that it names."""
    found: dict[str, Path | str] = {}
    texts = [script]
    while texts:
        words = set(re.findall(r"[\w.*-]+\.(?:rpm|sh|py|tar)\b", texts.pop()))
        for name, content in files.items():
            if name not in found and any(fnmatch(Path(name).name, word) for word in words):
                found[name] = content
                if isinstance(content, Path) and content.parent == JOBS:
                    texts.append(content.read_text(encoding="utf-8"))
    return found


@cache
def versions(disk: Path) -> str:
    """Return what a disk of the machine has of what matters here, and the qemu that runs it."""
    status = process.run(["debugfs", "-R", "cat /var/lib/dpkg/status", disk]).stdout
    found = dict(re.findall(r"(?m)^Package: (\S+)$(?:\n.+)*?\nVersion: (\S+)$", status))
    (kernel,) = (name for name in found if re.match(r"linux-image-\d", name))
    said = process.run(["qemu-system-x86_64", "--version"]).stdout.partition("(")[0].strip()
    wanted = [kernel, *_VERSIONS]
    return ", ".join([*(f"{name} {found[name]}" for name in wanted), said])


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
        # What is below machine/ runs packages and makes none.
        if path.suffix != ".pyc" and path.parent.name != "machine":
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
    # The same bytes each time, as all packages of ours: a cell is known by what it is made of.
    macros = {
        "_topdir": folder / "rpm",
        "_sourcedir": sources,
        "dist": ".deb12",
        **reproducible.MACROS,
        "source_date_epoch_from_changelog": "0",
    }
    defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
    command = ["rpmbuild", "-bb", "--nodeps", "--nocheck", *defines, spec]
    process.run(command, env={"SOURCE_DATE_EPOCH": "1700000000"}, timeout=600)
    return tuple(sorted((folder / "rpm").glob("RPMS/*/*.rpm")))
