"""``wsgi-sepkg init-pipeline``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from wsgi_sepkg.cli import common
from wsgi_sepkg.report import counted


class Kind(StrEnum):
    """Who makes the source RPM."""

    copr = "copr"
    packit = "packit"
    koji = "koji"
    gitlab = "gitlab"
    github = "github"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg init-pipeline copr examples/guestbook --dry-run")(
        init_pipeline
    )


def init_pipeline(
    kind: Annotated[
        Kind,
        typer.Argument(
            metavar="KIND",
            help="Who makes the source RPM: copr, packit, koji, gitlab or github.",
            show_default=False,
        ),
    ],
    project: common.Project = ".",
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="A target of the pipeline, as often as needed; without one, project.targets.",
        ),
    ] = None,
    settings: common.Settings = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files that were edited, or are not ours.")
    ] = False,
    dry_run: common.DryRun = False,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
) -> None:
    """Write what Copr, Packit, Koji, GitLab or GitHub needs to make the source RPM by itself.

    The generated policy and the spec are written too: commit both. wsgi-sepkg is not needed there.
    """
    from wsgi_sepkg.package import pipeline

    common.state["format"] = format_
    trees = pipeline.targets_of(project, target or [], settings or [])
    made = pipeline.pipeline(kind.value, trees)
    done = pipeline.write(made, force=force, dry_run=dry_run)
    if format_ is common.Format.json:
        data = {
            "kind": kind.value,
            "targets": [t.name for t in made.targets],
            "written": [str(d.folder / name) for d in done for name in d.written],
            "dry-run": dry_run,
        }
        common.show(json.dumps(data, indent=2, sort_keys=True))
        return
    would = "would write" if dry_run else "wrote"
    for each in done:
        for name in each.written:
            common.show(f"{would} {each.folder / name}", quiet)
    count = sum(len(d.unchanged) for d in done)
    common.show(f"{counted(count, 'file')} unchanged", quiet or not count)
    common.show(f"for {', '.join(t.name for t in made.targets)}: commit what was written", quiet)
