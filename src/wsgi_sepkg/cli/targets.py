"""``wsgi-sepkg targets``."""

from __future__ import annotations

from typing import Annotated

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg targets el9")(targets)


def targets(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="One target, with all that is known.", show_default=False
        ),
    ] = "",
    format_: common.OutputFormat = common.Format.text,
) -> None:
    """List the supported targets, or show what is known of one and where it is from."""
    from wsgi_sepkg import targets as known
    from wsgi_sepkg.report import targets as report

    common.state["format"] = format_
    host = known.host_target()
    chosen = [known.load(n) for n in ([name] if name else known.names())]
    if format_ is common.Format.json:
        common.show(report.as_json(chosen, host))
    elif name:
        common.show(report.as_text(chosen[0], host))
    else:
        common.show(report.as_table(chosen, host))
