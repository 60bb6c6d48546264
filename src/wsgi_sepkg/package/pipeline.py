"""Files with which Copr, Packit, Koji, GitLab and GitHub make the source RPM without this program.

The spec and the generated sources are committed; a shell script beside them packs the application
and calls rpmbuild. Its source RPM is the one of ``wsgi-sepkg srpm``, to the byte.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsgi_sepkg.engines.reproducible import MACROS
from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.package import build, plan, tree
from wsgi_sepkg.package.archive import listing
from wsgi_sepkg.package.tree import Tree, Written
from wsgi_sepkg.policy import render
from wsgi_sepkg.project.load import load
from wsgi_sepkg.project.names import environment_folder
from wsgi_sepkg.targets import Target

KINDS = ("copr", "packit", "koji", "gitlab", "github")
SCRIPT = f"{plan.PACKAGING_FOLDER}/make-srpm.sh"
ARCHIVE_LIST = f"{plan.PACKAGING_FOLDER}/archive.files"
DIST_GIT = "dist-git"
MARKER = "Written by wsgi-sepkg init-pipeline: run that again instead of changing this file."


@dataclass(frozen=True)
class Pipeline:
    """What one kind of pipeline needs: ``files`` are relative to ``top``, the repository."""

    kind: str
    top: Path
    tree: Tree
    targets: tuple[Target, ...]
    files: Mapping[str, bytes]


def targets_of(project: str, chosen: Sequence[str], settings: Sequence[str] = ()) -> list[Tree]:
    """Return the trees of the targets of one pipeline, which are the same files.

    ``chosen`` are names of targets; without any, those of ``project.targets`` that have a place to
    be built in. Raises UsageError when there is none, or when the files of two differ.
    """
    names = list(chosen)
    if not names:
        listed = load(project, settings=settings).description.project.targets
        names = list(dict.fromkeys(listed)) or ["el9", "el10", "fedora"]
    loads = [load(project, name, settings) for name in names]
    if any(environment_folder(loaded.description) for loaded in loads):
        raise UsageError(
            "the wheels of bundled dependencies are in no repository, and a pipeline of this kind "
            "makes its source RPM of what is committed",
            "let the pipeline run `wsgi-sepkg srpm`, or `wsgi-sepkg build --engine`",
        )
    trees = [tree.generate(loaded) for loaded in loads]
    built = [t for t in trees if t.loaded.target.mock_root]
    if not built:
        raise UsageError(
            f"nobody builds for {', '.join(names)}: a pipeline needs a target of Fedora or RHEL",
            "name one with --target, e.g. --target el9; `wsgi-sepkg targets` lists them",
        )
    first = built[0]
    for other in built[1:]:
        differing = sorted(
            name
            for name in {*first.files, *other.files}
            if first.files.get(name) != other.files.get(name)
        )
        if differing:
            raise UsageError(
                f"the files for {first.loaded.target.name} and {other.loaded.target.name} differ, "
                f"and a pipeline has one source RPM: {', '.join(differing)}",
                "name targets that agree with --target; what makes them differ is an override in "
                "[target.NAME], or another version of Python",
            )
    return built


def pipeline(kind: str, trees: Sequence[Tree]) -> Pipeline:
    """Return the files of a pipeline for the targets of ``trees``. Nothing is written.

    Raises UsageError for an unknown kind, or a folder whose name no Makefile can hold.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind}: no such pipeline", f"known: {', '.join(KINDS)}")
    made = trees[0]
    folder = made.loaded.folder.resolve()
    top = _repository(folder)
    place = folder.relative_to(top).as_posix()
    if not re.fullmatch(r"[A-Za-z0-9._/-]+", place):
        raise UsageError(
            f"the folder {place!r} cannot stand in a Makefile or in YAML",
            "use letters, digits, '.', '_' and '-' in the names of folders",
        )
    at = "" if place == "." else f"{place}/"
    targets = tuple(t.loaded.target for t in trees)
    words: dict[str, Any] = {
        "marker": MARKER,
        "name": made.plan.name,
        "spec": made.spec_name,
        "spec_path": at + made.spec_name,
        "spec_folder": place,
        "script": at + SCRIPT,
        "list": ARCHIVE_LIST,
        "folders": f"{plan.POLICY_FOLDER} {plan.PACKAGING_FOLDER}",
        "defines": sorted(MACROS.items()),
        "archive": made.plan.application is not None,
        "root": "",
        "chroots": [t.copr_chroot for t in targets],
        "images": [_image(t) for t in targets],
    }
    application = made.loaded.description.application
    files = {}
    if application is not None:
        source = os.path.relpath((folder / application.source).resolve(), folder)
        words["root"] = shlex.quote(source)
        files[at + ARCHIVE_LIST] = "\n".join([*listing(made.archive_members()), ""])
    environment = render.environment("templates")

    def text(template: str) -> str:
        return environment.get_template(f"pipelines/{template}").render(words)

    if kind == "koji":
        flat = _flat(made, text("dist-git.mk.j2"))
        return Pipeline(
            kind, folder, made, targets, {f"{DIST_GIT}/{n}": c for n, c in flat.items()}
        )
    files[at + SCRIPT] = text("make-srpm.sh.j2")
    match kind:
        case "copr":
            files[".copr/Makefile"] = text("copr.mk.j2")
        case "packit":
            files[".packit.yaml"] = text("packit.yaml.j2")
        case "gitlab":
            files[".gitlab-ci.yml"] = text("gitlab-ci.yml.j2")
        case "github":
            files[".github/workflows/rpm.yml"] = text("github.yml.j2")
    return Pipeline(kind, top, made, targets, {n: t.encode() for n, t in files.items()})


def write(made: Pipeline, *, force: bool = False, dry_run: bool = False) -> list[Written]:
    """Write the generated tree and the files of the pipeline, or nothing.

    Raises ForeignFile, as ``tree.write`` does, for a file that is not ours or was edited.
    """
    pipelines = {"force": force, "keep_others": True}
    record = plan.PIPELINE_RECORD
    # Both are looked at before one is written.
    tree.write(made.tree, made.tree.loaded.folder, force=force, dry_run=True)
    tree.write_files(made.files, made.top, record, dry_run=True, **pipelines)
    done = [tree.write(made.tree, made.tree.loaded.folder, force=force, dry_run=dry_run)]
    done.append(tree.write_files(made.files, made.top, record, dry_run=dry_run, **pipelines))
    return done


def _repository(folder: Path) -> Path:
    """Return the git repository that ``folder`` lies in, ``folder`` itself where it is in none."""
    for place in (folder, *folder.parents):
        if (place / ".git").exists():
            return place
    return folder


def _image(target: Target) -> dict[str, Any]:
    """Return the container image of a target, and what has to be installed there before a build."""
    tools = "dnf -y install rpm-build 'dnf-command(builddep)'"
    if "rhel" in target.macros:
        number = target.macros["rhel"]
        extra = "crb" if number != "8" else "powertools"
        prepare = [
            tools,
            "dnf -y install epel-release",
            f"dnf config-manager --set-enabled {extra}",
        ]
        return {"name": target.name, "image": f"almalinux:{number}", "prepare": prepare}
    number = "rawhide" if target.name == "rawhide" else target.macros["fedora"]
    return {"name": target.name, "image": f"fedora:{number}", "prepare": [tools]}


def _flat(made: Tree, makefile: str) -> dict[str, bytes]:
    """Return a dist-git folder: spec and sources side by side, the archive and its hash."""
    with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-") as work:
        folder = Path(work, "sources")
        build.lay_out(made, folder)
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    app = made.plan.application
    if app is not None:
        digest = hashlib.sha512(files[app.archive]).hexdigest()
        files["sources"] = f"SHA512 ({app.archive}) = {digest}\n".encode()
    else:
        files["sources"] = b""
    files["Makefile"] = makefile.encode()
    return files
