"""``wsgi-sepkg learn``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsgi_sepkg.cli import common

if TYPE_CHECKING:
    from wsgi_sepkg.denials.changes import Edit

Logs = Annotated[
    list[str],
    typer.Argument(
        metavar="LOG...",
        help="Audit logs, plain or packed, or summaries of `denials`; '-' is standard input "
        "(then --yes is needed).",
    ),
]
Where = Annotated[
    str,
    typer.Argument(
        metavar="PROJECT", help="A folder that holds wsgi-sepkg.toml, or the file itself."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg learn . audit.log --yes")(learn)


def learn(
    project: Where,
    logs: Logs,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Accept every change instead of asking.")
    ] = False,
    target: common.Target = "",
    policy_headers: common.Headers = None,
    policy_root: common.PolicyRoot = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", min=0, metavar="N", help="Processes that read; 0 takes what pays."
        ),
    ] = 0,
    format_: common.OutputFormat = common.Format.text,
    dry_run: common.DryRun = False,
    quiet: common.Quiet = False,
) -> None:
    """Change the description so that each denial is settled, and prove it on the linked policy.

    Exit status 1 unless every denial of the application is settled.
    """
    from wsgi_sepkg.denials import read
    from wsgi_sepkg.denials.learn import learn as run
    from wsgi_sepkg.errors import UsageError
    from wsgi_sepkg.policy.compile import headers_for
    from wsgi_sepkg.report import learned as report

    asks = not yes and not dry_run
    if asks and ("-" in logs or format_ is common.Format.json):
        raise UsageError(
            "the changes cannot be asked for one by one", "accept them with --yes, or --dry-run"
        )
    if Path(project).is_file() and Path(project).suffix != ".toml":
        raise UsageError(
            f"{project} is not a description",
            "the project comes before the logs: wsgi-sepkg learn . audit.log",
        )
    loaded = common.load(project, target, None, format_)
    reading = read(logs, jobs=jobs)
    headers = headers_for(loaded.target, policy_headers, policy_root)

    def accept(edit: Edit) -> bool:
        if not asks:
            return True
        typer.echo(f"{edit.title()}\n    {edit.reason()}", err=True)
        try:
            return typer.confirm("accept", default=True, err=True)
        except typer.Abort:
            if sys.stdin.isatty():
                raise
            raise UsageError(
                "nobody answers whether to accept the change: standard input is at its end",
                "accept every change with --yes, or see them with --dry-run; nothing was written",
            ) from None

    with common.progress("linking", quiet or asks):
        result = run(loaded, reading, headers, accept, policy_root or Path("/"), dry_run)
    if format_ is common.Format.json:
        common.show(report.as_json(result))
    else:
        common.show(report.as_text(result), quiet and result.ok)
    if not result.ok:
        raise typer.Exit(1)
