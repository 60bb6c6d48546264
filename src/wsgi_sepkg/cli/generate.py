"""``wsgi-sepkg generate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common
from wsgi_sepkg.report import counted


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg generate examples/guestbook --dry-run")(generate)


def generate(
    project: common.Project = ".",
    target: common.Target = "",
    settings: common.Settings = None,
    outdir: Annotated[
        Path | None,
        typer.Option("--outdir", "-o", metavar="DIR", help="Default: beside the description."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files that were edited, or are not ours.")
    ] = False,
    wheels: common.Wheels = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show what follows from the description; write nothing."),
    ] = False,
    dry_run: common.DryRun = False,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
) -> None:
    """Write the policy sources and the spec, to read or to commit.

    Needs nothing but Python, and pip where wheels travel along. check and build do not need the
    written files: they make their own.
    """
    from wsgi_sepkg.package import tree as trees

    loaded = common.load(project, target, settings, format_)
    tree = trees.generate(loaded, wheels, policy_only=explain)
    if explain:
        from wsgi_sepkg.report import derived

        if format_ is common.Format.json:
            common.show(derived.as_json(tree.policy, tree.plan))
        else:
            common.show(derived.as_text(tree.policy, tree.plan))
        return
    done = trees.write(tree, outdir or loaded.folder, force=force, dry_run=dry_run)
    if format_ is common.Format.json:
        data = {
            "target": loaded.target.name,
            "folder": str(done.folder),
            "written": done.written,
            "unchanged": done.unchanged,
            "removed": done.removed,
            "dry-run": dry_run,
        }
        common.show(json.dumps(data, indent=2, sort_keys=True))
        return
    would = "would write" if dry_run else "wrote"
    for name in done.written:
        common.show(f"{would} {done.folder / name}", quiet)
    for name in done.removed:
        common.show(f"{'would remove' if dry_run else 'removed'} {done.folder / name}", quiet)
    count = len(done.unchanged)
    common.show(f"{counted(count, 'file')} unchanged", quiet or not count)
