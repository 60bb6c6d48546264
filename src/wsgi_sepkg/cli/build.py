"""``wsgi-sepkg build``: the main command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg build examples/guestbook --outdir out")(build)


def build(
    project: common.Project = ".",
    target: common.Target = "",
    settings: common.Settings = None,
    engine: Annotated[
        str, typer.Option("--engine", "-e", help="Where it is built: rpmbuild, on this host.")
    ] = "rpmbuild",
    outdir: common.OutDir = Path("out"),
    policy_headers: common.Headers = None,
    policy_root: common.PolicyRoot = None,
    dry_run: common.DryRun = False,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Build the application's RPM and its -selinux RPM, and check them before they leave."""
    from wsgi_sepkg.package import build as builder
    from wsgi_sepkg.policy.compile import headers_for
    from wsgi_sepkg.report import build as report

    loaded = common.load(project, target, settings, format_)
    builder.engine(engine)
    tree = common.tree(loaded, quiet)
    if dry_run:
        headers_for(loaded.target, policy_headers, policy_root)
        for name in report.expected_names(tree):
            common.show(f"would write {outdir / name}", quiet)
        return
    with common.progress(f"building {tree.plan.name} for {loaded.target.name}", quiet):
        result = builder.build(tree, outdir, engine, policy_headers, policy_root)
    for text in result.notes if format_ is common.Format.text else ():
        common.note(text, quiet)
    if format_ is common.Format.json:
        common.show(json.dumps(report.as_dict(result), indent=2, sort_keys=True))
    else:
        failed = result.report is not None and not result.report.ok
        common.show(report.as_text(result, verbose), quiet and not failed)
    if result.report is not None and not result.report.ok:
        raise typer.Exit(1)
