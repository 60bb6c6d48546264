"""``wsgi-sepkg srpm``."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg srpm examples/guestbook --target el9 --outdir out")(
        srpm
    )


def srpm(
    project: common.Project = ".",
    target: common.Target = "",
    settings: common.Settings = None,
    outdir: common.OutDir = Path("out"),
    wheels: common.Wheels = None,
    dry_run: common.DryRun = False,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
) -> None:
    """Make the source RPM alone: for any target, on any host that has rpmbuild."""
    from wsgi_sepkg.package import build

    loaded = common.load(project, target, settings, format_)
    tree = common.tree(loaded, quiet, wheels)
    if dry_run:
        name = f"{tree.plan.name}-{tree.plan.version}-{tree.plan.release}.src.rpm"
        common.show(f"would write {outdir / name}", quiet)
        return
    with common.progress("making the source RPM", quiet):
        result = build.srpm(tree, outdir)
    if format_ is common.Format.json:
        common.show(json.dumps({"packages": [str(p) for p in result.packages]}, indent=2))
        return
    for package in result.packages:
        common.show(str(package), quiet)
