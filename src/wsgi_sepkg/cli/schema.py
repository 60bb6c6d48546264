"""``wsgi-sepkg schema``."""

from __future__ import annotations

import json

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg schema > wsgi-sepkg.schema.json")(schema)


def schema() -> None:
    """Print the JSON Schema of wsgi-sepkg.toml, for editors."""
    from wsgi_sepkg.project.reference import json_schema

    common.show(json.dumps(json_schema(), indent=2, sort_keys=True))
