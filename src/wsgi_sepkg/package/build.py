"""The main job: a tree becomes an SRPM, or RPMs that are built and checked."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg.engines.base import Built, Request
from wsgi_sepkg.engines.rpmbuild import Rpmbuild, move_results
from wsgi_sepkg.errors import BuildFailed, WsgiSepkgError
from wsgi_sepkg.package import records
from wsgi_sepkg.package.archive import write_tarball
from wsgi_sepkg.package.tree import Tree
from wsgi_sepkg.policy.buildcheck import module_cil, read_text
from wsgi_sepkg.policy.check import CheckReport, examine
from wsgi_sepkg.policy.compile import headers_for


@dataclass(frozen=True)
class BuildResult:
    """What a build left in ``outdir``, and what the check of its policy says (None for an SRPM)."""

    outdir: Path
    packages: tuple[Path, ...]
    report: CheckReport | None
    notes: tuple[str, ...]


def lay_out(tree: Tree, folder: Path) -> Path:
    """Write spec and sources, archive and wheels included, into ``folder``; return the spec."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tree.sources.items():
        (folder / name).write_bytes(content)
    for name, path in tree.wheels.items():
        shutil.copyfile(path, folder / name)
    application = tree.loaded.description.application
    plan = tree.plan.application
    newest = tree.plan.changelog[0].date
    epoch = int(datetime.datetime.combine(newest, datetime.time(12), datetime.UTC).timestamp())
    if application is not None and plan is not None:
        write_tarball(
            tree.loaded.folder / application.source,
            tree.archive_members(),
            f"{tree.loaded.description.project.name}-{tree.plan.version}",
            epoch,
            folder / plan.archive,
        )
    spec = folder / tree.spec_name
    spec.write_bytes(tree.files[tree.spec_name])
    for path in folder.iterdir():
        # The SRPM records modes and times: they follow neither the umask nor the clock.
        path.chmod(0o644)
        os.utime(path, (epoch, epoch))
    return spec


@contextmanager
def _workplace(outdir: Path) -> Iterator[Path]:
    """A temporary folder; the log of a failed build is kept in ``outdir`` and named."""
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as temporary:
        work = Path(temporary)
        try:
            yield work
        except BuildFailed as exc:
            kept = ""
            log = work / "rpmbuild.log"
            if log.is_file():
                try:
                    outdir.mkdir(parents=True, exist_ok=True)
                    kept = str(shutil.copyfile(log, outdir / "rpmbuild.log"))
                except OSError:
                    kept = ""
            exc.hint = exc.hint.replace(str(log), kept) if kept else exc.hint
            raise
        except OSError as exc:
            raise WsgiSepkgError(f"{exc.filename or outdir}: {exc.strerror or exc}") from exc


def srpm(tree: Tree, outdir: Path) -> BuildResult:
    """Make the source RPM of ``tree`` in ``outdir``; works for every target on every host."""
    with _workplace(outdir) as work:
        spec = lay_out(tree, work / "sources")
        built = Rpmbuild().source(Request(tree, spec, work / "sources", work, ""))
        return BuildResult(outdir, move_results(built.packages, outdir), None, built.notes)


def build(
    tree: Tree,
    outdir: Path,
    headers: Path | None = None,
    policy_root: Path | None = None,
) -> BuildResult:
    """Build the RPMs of ``tree`` in ``outdir`` and check their policy.

    The policy is compiled and linked once, in the package's own %check; its result and the linked
    policy are examined here. Nothing reaches ``outdir`` when that finds a fault. Raises WrongHost,
    ToolMissing, BuildFailed.
    """
    target = tree.loaded.target
    found = headers_for(target, headers, policy_root)
    with _workplace(outdir) as work:
        spec = lay_out(tree, work / "sources")
        request = Request(
            tree,
            spec,
            work / "sources",
            work,
            target.dist,
            found.folder,
            policy_root.resolve() if policy_root is not None else None,
        )
        built = Rpmbuild().build(request)
        report = None
        if built.check is not None and (built.check / "result.json").is_file():
            result = json.loads((built.check / "result.json").read_text(encoding="utf-8"))
            texts = _module_texts(built, work, tree)
            report = examine(tree, result, texts, built.check / "root", policy_root or Path("/"))
        packages: tuple[Path, ...] = ()
        if report is None or report.ok:
            how = records.How("rpmbuild", target.name)
            kept = records.write(work / "records", built.packages, how, tree.loaded.file)
            # Records go last: where they are, all that they tell of is there too.
            packages = move_results((*built.packages, *kept), outdir)[: len(built.packages)]
        return BuildResult(outdir, packages, report, built.notes)


def _module_texts(built: Built, work: Path, tree: Tree) -> list[str]:
    """Return the modules as CIL: out of the package, or of the scratch store without one."""
    if built.packages:
        return [module_cil(str(path)) for path in _packaged_modules(built.packages, work, tree)]
    found = []
    for name in tree.plan.modules:
        for path in (work / "check" / "root").glob(f"**/active/modules/200/{name}/cil"):
            found.append(read_text(str(path)))
    return found


def _packaged_modules(packages: tuple[Path, ...], work: Path, tree: Tree) -> list[Path]:
    """Return the module files as they lie in the built package."""
    from wsgi_sepkg.package.inspect import payload_files

    folder = f"/usr/share/selinux/packages/{tree.plan.policy_types[0]}"
    wanted = [f"{folder}/{tree.plan.module}.pp.bz2"]
    if tree.plan.ports_module:
        wanted.append(f"{folder}/{tree.plan.ports_module}.cil.bz2")
    start = f"{tree.plan.selinux_name}-{tree.plan.version}-"
    package = next(
        p for p in packages if p.name.startswith(start) and not p.name.endswith(".src.rpm")
    )
    found = []
    for path, content in payload_files(package, wanted).items():
        file = work / Path(path).name
        file.write_bytes(content)
        found.append(file)
    if len(found) != len(wanted):
        raise BuildFailed(f"{package.name} lacks a policy module: {', '.join(wanted)}")
    return found
