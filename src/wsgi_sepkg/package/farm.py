"""Builds for several targets, in an engine that takes source RPMs."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wsgi_sepkg import targets
from wsgi_sepkg.engines import job as kept
from wsgi_sepkg.engines.base import Engine, Request, State
from wsgi_sepkg.engines.job import Entry, Job, Sent
from wsgi_sepkg.engines.rpmbuild import Rpmbuild
from wsgi_sepkg.errors import UsageError, WsgiSepkgError
from wsgi_sepkg.package import records
from wsgi_sepkg.package.build import lay_out
from wsgi_sepkg.package.tree import Tree, generate
from wsgi_sepkg.project.load import Loaded, find, load

ENGINES = ("rpmbuild", "mock", "copr", "koji")


@dataclass(frozen=True)
class Settings:
    """What an engine has to know beside the project; kept with the job, so it holds no secret.

    ``roots`` are names of targets at the engine; ``interval`` is in seconds, 0 for the engine's.
    """

    roots: Mapping[str, str] = field(default_factory=dict)
    interval: float = 0.0
    vendor: str = ""
    copr_project: str = ""
    copr_config: str = ""
    create: bool = False
    network: bool = False
    profile: str = ""
    koji_config: str = ""
    user: str = ""
    scratch: bool = True
    scm: str = ""
    project: str = ""
    wheels: str = ""
    options: tuple[str, ...] = ()


def roots(given: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return what ``--root`` says: TARGET=NAME, or NAME alone where one target is built."""
    found = {}
    for text in given:
        target, equals, name = text.partition("=")
        if not equals and len(wanted) == 1:
            target, name = wanted[0], text
        if not target or not name:
            raise UsageError(f"--root {text}: no TARGET=NAME", "e.g. el9=epel-9-x86_64")
        targets.load(target)
        if name.endswith(".cfg"):
            name = str(Path(name).resolve())
        found[target] = name
    return found


def options(
    overrides: Sequence[str],
    headers: Path | None,
    policy_root: Path | None,
    wheels: Path | None = None,
) -> tuple[str, ...]:
    """Return the options with which this program builds for one target in a process of its own."""
    found = [word for text in overrides for word in ("--set", text)]
    if headers is not None:
        found += ["--policy-headers", str(headers.resolve())]
    if policy_root is not None:
        found += ["--policy-root", str(policy_root.resolve())]
    if wheels is not None:
        found += ["--wheels", str(wheels.resolve())]
    return tuple(found)


def described(project: str, overrides: Sequence[str]) -> list[str]:
    """Return the targets that the description lists, or the one that is taken without a list."""
    loaded = load(project, "", overrides, validate=False)
    listed = list(loaded.description.project.targets)
    return [name for name in listed if name in targets.names()] or [loaded.target.name]


def side_by_side(worker: Engine, jobs: int) -> int:
    """Return how many builds run at once: as asked for, else all in a service, a few here."""
    return jobs or (0 if worker.remote else os.cpu_count() or 1)


def discard(job: Job) -> None:
    """Take away a job of which nothing was submitted."""
    shutil.rmtree(job.folder, ignore_errors=True)


def engine(name: str, settings: Settings) -> Engine:
    """Return the engine ``name``, not connected yet. Raises UsageError when there is none."""
    if name == "mock":
        from wsgi_sepkg.engines.mock import Mock

        return Mock(settings.vendor, settings.roots)
    if name == "copr":
        from wsgi_sepkg.engines.copr import INTERVAL, Copr

        return Copr(
            settings.copr_project,
            settings.copr_config,
            settings.create,
            settings.roots,
            settings.network,
            settings.interval or INTERVAL,
        )
    if name == "koji":
        from wsgi_sepkg.engines.koji import Koji

        return Koji(
            settings.profile,
            settings.koji_config,
            settings.user,
            settings.scratch,
            settings.roots,
            settings.interval,
        )
    if name == "rpmbuild":
        from wsgi_sepkg.engines.local import Local

        return Local(Path(settings.project), settings.options)
    raise UsageError(f"{name}: no such engine", f"known: {', '.join(ENGINES)}")


def prepare(
    project: str,
    wanted: Sequence[str],
    overrides: Sequence[str],
    engine_name: str,
    settings: Settings,
    outdir: Path,
) -> Job:
    """Make the source RPM of each target, and a job that submits them; nothing is sent yet.

    A target whose description has a mistake, or that the engine does not know, is kept with its
    error and does not stop the others. Targets whose source RPMs are the same bytes share one
    submission where the engine builds for several at once. Raises what is wrong with all of them.
    """
    worker = engine(engine_name, settings)
    first = load(project, wanted[0] if wanted else "", overrides, validate=False)
    name = first.description.project.name
    data = {**asdict(settings), "options": list(settings.options)}
    made = Job.create(outdir, engine_name, name, data)
    known: dict[str, Sent] = {}
    for target in wanted:
        entry = Entry(target)
        made.record.entries.append(entry)
        try:
            entry.root = worker.root(target)
            loaded = load(project, target, overrides)
            nvr, digest, path = _sources(loaded, made, engine_name, settings)
        except WsgiSepkgError as exc:
            entry.state, entry.failure = State.failed, kept.failure(exc)
            continue
        shared = known.get(digest) if worker.together else None
        if shared is not None:
            shared.targets.append(target)
            continue
        sent = Sent(kept.new_key(), [target], nvr, digest, path, settings.scm)
        known[digest] = sent
        made.record.sent.append(sent)
    made.save()
    return made


def _sources(
    loaded: Loaded, made: Job, engine_name: str, settings: Settings
) -> tuple[str, str, str]:
    """Return name-version-release, SHA-256 and the place in the job's folder of the source RPM."""
    wheels = Path(settings.wheels) if settings.wheels else None
    here = engine_name == "rpmbuild" or bool(settings.scm)
    tree = generate(loaded, wheels, policy_only=here)
    nvr = f"{tree.plan.name}-{tree.plan.version}-{tree.plan.release}"
    if here:
        # The build makes it itself.
        return nvr, hashlib.sha256(settings.scm.encode()).hexdigest() if settings.scm else "", ""
    path = _source_rpm(tree, made.folder, loaded.target.name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return nvr, digest, path.relative_to(made.folder).as_posix()


def _source_rpm(tree: Tree, folder: Path, target: str) -> Path:
    """Return the source RPM of ``tree``; one that was made of the same files is taken again."""
    work = folder / "sources" / target
    spec = lay_out(tree, work / "files")
    digest = hashlib.sha256()
    for path in sorted(spec.parent.iterdir()):
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    same = folder / "sources" / digest.hexdigest()[:32]
    if not same.exists():
        built = Rpmbuild().source(Request(tree, spec, spec.parent, work, ""))
        same.mkdir()
        (package,) = built.packages
        package.rename(same / package.name)
    (found,) = same.glob("*.src.rpm")
    return found


def unfinished(made: Job) -> Job | None:
    """Return another job of the same folder that is to build the same and is not over, or None."""

    def asked(job: Job) -> tuple[object, ...]:
        sent = sorted((sorted(s.targets), s.sha256, s.scm) for s in job.record.sent)
        settings = {k: v for k, v in job.record.settings.items() if k != "interval"}
        return job.record.engine, settings, sent

    for other in reversed(Job.all(made.outdir)):
        if other.record.id != made.record.id and not other.over and asked(other) == asked(made):
            return other
    return None


def settings_of(job: Job) -> Settings:
    """Return the settings with which ``job`` was made."""
    data: dict[str, Any] = dict(job.record.settings)
    data["options"] = tuple(data.get("options", ()))
    return Settings(**data)


def record(made: Job) -> list[Path]:
    """Write SBOM and provenance beside the packages of each target, and return their paths.

    A build of rpmbuild has written its own.
    """
    settings = settings_of(made)
    sent = {target: s for s in made.record.sent for target in s.targets}
    written: list[Path] = []
    for entry in made.record.entries:
        packages = [Path(p) for p in entry.packages]
        if entry.state is not State.succeeded or made.record.engine == "rpmbuild" or not packages:
            continue
        how = records.How(made.record.engine, entry.target, entry.root, sent[entry.target].build)
        description = None if settings.scm or not settings.project else find(settings.project)
        # What was in the build root decides about the bytes: mock keeps a list of it.
        roots = [Path(p) for p in entry.logs if Path(p).name == "installed_pkgs.log"]
        written += records.write(packages[0].parent, packages, how, description, roots)
    return written
