"""Build again from the source package of a build, and compare with what it left."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsgi_sepkg import process, targets
from wsgi_sepkg.engines.base import Progress, Submission
from wsgi_sepkg.engines.reproducible import MACROS
from wsgi_sepkg.errors import BuildFailed, ToolFailed, UsageError, WsgiSepkgError
from wsgi_sepkg.package.compare import Comparison, compare, headers, texts
from wsgi_sepkg.package.records import (
    PROVENANCE,
    STATEMENT,
    How,
    sha256,
    source_digests,
)
from wsgi_sepkg.policy.compile import headers_for

# A build in these is the same to the byte; a service adds its own words to the headers.
EXACT = ("rpmbuild", "mock")


@dataclass(frozen=True)
class Verified:
    """One build, verified: ``faults`` say what is wrong beside the comparisons of its packages."""

    record: Path
    how: How
    faults: tuple[str, ...]
    signed: tuple[str, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def ok(self) -> bool:
        """Tell whether everything is as it was recorded, and comes out of the source again."""
        return not self.faults and not any(c.other for c in self.comparisons)


def records_of(folder: Path) -> list[Path]:
    """Return the provenance files of a build. Raises UsageError when there are none."""
    found = sorted([*folder.glob(f"*{PROVENANCE}"), *folder.glob(f"*/*{PROVENANCE}")])
    found = [p for p in found if not p.parent.name.startswith(".")]
    if not found:
        raise UsageError(
            f"{folder} holds no provenance of a build",
            f"name the --outdir of a build: it leaves a file that ends in {PROVENANCE}",
        )
    return found


def verify(
    record: Path,
    engine: str = "",
    policy_headers: Path | None = None,
    policy_root: Path | None = None,
    vendor: str = "",
) -> Verified:
    """Verify the build of one provenance file.

    The packages have to be those of the record, but for a signature; the source package has to hold
    what the record names; and built again, by ``engine`` (the one of the record; mock for a
    service), it has to give the same packages. Raises UsageError for a record that cannot be read,
    WrongHost, ToolMissing, BuildFailed.
    """
    statement = _read(record)
    parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
    how = How(parameters["engine"], parameters["target"], parameters["root"])
    folder = record.parent
    faults: list[str] = []
    signed: list[str] = []
    present: list[Path] = []
    recorded = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    for name, digest in recorded.items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is not there")
            continue
        present.append(path)
        if sha256(path) != digest:
            # A signature made since is no change of the package: the comparison below tells.
            signed.append(name)
        _intact(path, faults)
    source = next((p for p in present if p.name.endswith(".src.rpm")), None)
    if source is None or faults:
        faults += [] if source is not None else ["without its source package nothing is built"]
        return Verified(record, how, tuple(faults), tuple(signed), ())
    faults += _sources(source, statement)
    chosen = engine or (how.engine if how.engine in EXACT else "mock")
    exact = how.engine in EXACT and chosen == how.engine
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as temporary:
        work = Path(temporary)
        if chosen == "rpmbuild":
            again = _here(source, how.target, work, policy_headers, policy_root)
        else:
            again = _mock(source, how, work, vendor)
        made = {p.name: p for p in again}
        comparisons = []
        for path in present:
            if path == source and not exact:
                continue  # a service makes it anew; what it holds was compared above
            if path.name not in made:
                faults.append(f"{path.name} does not come out of its source")
                continue
            comparisons.append(compare(path, made[path.name], exact))
        for name in sorted(set(made) - {p.name for p in present}):
            if not name.endswith(".src.rpm"):
                faults.append(f"{name} comes out of the source and is not there")
    return Verified(record, how, tuple(faults), tuple(signed), tuple(comparisons))


def _read(record: Path) -> dict[str, Any]:
    try:
        data = json.loads(record.read_text(encoding="utf-8"))
        parameters = data["predicate"]["buildDefinition"]["externalParameters"]
        good = data["_type"] == STATEMENT and parameters["target"] in targets.names()
        good = good and all("/" not in s["name"] and s["digest"]["sha256"] for s in data["subject"])
        if not good or not isinstance(parameters["engine"], str):
            raise KeyError("target")
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            f"{record} is no provenance that can be read: {exc}", "build again, or restore the file"
        ) from exc
    return dict(data)


def _intact(path: Path, faults: list[str]) -> None:
    """Look whether a package holds what its own headers say."""
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as database:
        command = ["rpmkeys", "--dbpath", database, "--checksig", "--nosignature"]
        said = process.run([*command, path], check=False)
    if said.status or "digests OK" not in said.stdout:
        faults.append(f"{path.name} is damaged: it does not hold what its headers say")


def _sources(source: Path, statement: dict[str, Any]) -> list[str]:
    """Return how the source package differs from what the record names."""
    inputs = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    wanted = {entry["name"]: entry["digest"]["sha256"] for entry in inputs}
    faults = []
    for name, digest in source_digests(source).items():
        if name not in wanted:
            faults.append(f"{name}, a source, is not in the record")
        elif wanted[name] != digest:
            faults.append(f"{name}, a source, is not the one of the record")
    return faults


def _here(
    source: Path, target: str, work: Path, given: Path | None, policy_root: Path | None
) -> list[Path]:
    """Build by rpmbuild on this host, as the engine does."""
    known = targets.load(target)
    found = headers_for(known, given, policy_root)
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    if found.folder is not None:
        environment["WSGISEPKG_HEADERS"] = str(found.folder)
    if policy_root is not None:
        environment["WSGISEPKG_ROOT"] = str(policy_root.resolve())
    command: list[str | Path] = ["rpmbuild", "-ra"]
    for name, value in {"_topdir": str(work / "rpm"), "dist": known.dist, **MACROS}.items():
        command += ["--define", f"{name} {value}"]
    if not process.run(["rpm", "-qa", "--qf", "x"], check=False).stdout:
        command.append("--nodeps")
    log = work / "rpmbuild.log"
    try:
        process.run([*command, source], cwd=work, env=environment, log=log, timeout=3600)
    except ToolFailed as exc:
        lines = "".join(f"\n    {line}" for line in exc.decisive)
        raise BuildFailed(f"{source.name} does not build again{lines}") from exc
    return [*(work / "rpm").glob("SRPMS/*.rpm"), *(work / "rpm").glob("RPMS/*/*.rpm")]


def _mock(source: Path, how: How, work: Path, vendor: str) -> list[Path]:
    """Build by mock, in the root of the record or the one of the target."""
    from wsgi_sepkg.engines.mock import Mock

    data = headers(source)
    name, version, release = (texts(data, tag)[0] for tag in ("name", "version", "release"))
    worker = Mock(vendor, {how.target: how.root} if how.engine == "mock" and how.root else {})
    submission = Submission(
        key="wsgisepkg-verify",
        roots={how.target: worker.root(how.target)},
        nvr=f"{name}-{version}-{release}",
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        srpm=source.resolve(),
        scm="",
        work=work / "mock",
        created=time.time(),
        project=name,
    )
    submission.work.mkdir()
    worker.prepare(submission)
    build = worker.submit(submission)
    try:
        progress = Progress(worker.follow(submission, build)[how.target].state)
        while not progress.state.over:
            time.sleep(worker.interval)
            progress = worker.follow(submission, build)[how.target]
    except BaseException:
        worker.cancel(submission, build)
        raise
    (work / "results").mkdir()
    results = worker.fetch(submission, build, how.target, work / "results")
    if progress.state.value != "succeeded":
        error: WsgiSepkgError = worker.failure(submission, build, how.target, results)
        raise error
    return list(results.packages)
