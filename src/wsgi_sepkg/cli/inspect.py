"""``wsgi-sepkg inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg inspect out/*-selinux-*.rpm")(inspect)


def inspect(
    rpms: Annotated[list[Path], typer.Argument(metavar="RPM...", help="RPM files.")],
    format_: common.OutputFormat = common.Format.text,
    verbose: common.Verbose = False,
) -> None:
    """Tell what packages will do to a host: scriptlets, policy, labels. Nothing of them is run."""
    from wsgi_sepkg.package.inspect import inspect as read
    from wsgi_sepkg.report import inspection

    common.state["format"] = format_
    results = [read(path) for path in rpms]
    if format_ is common.Format.json:
        texts = [inspection.as_json(result).decode().strip() for result in results]
        common.show("[" + ",\n".join(texts) + "]")
        return
    for result in results:
        common.show(inspection.as_text(result, verbose))
