"""``wsgi-sepkg explain-config``."""

from __future__ import annotations

from typing import Annotated

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("explain-config", epilog="Example: wsgi-sepkg explain-config path.media")(
        explain_config
    )


def explain_config(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY", help="A key or table, e.g. connect.through; all of them without one."
        ),
    ] = "",
) -> None:
    """Say what a key of wsgi-sepkg.toml means."""
    from wsgi_sepkg.project.reference import explain

    common.show(explain(key))
