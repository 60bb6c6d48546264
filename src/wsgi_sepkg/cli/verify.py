"""``wsgi-sepkg verify``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common


class Again(StrEnum):
    """Where it is built again."""

    rpmbuild = "rpmbuild"
    mock = "mock"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg verify out")(verify)


def verify(
    built: Annotated[
        Path, typer.Argument(metavar="OUTDIR", help="The output folder of a build.")
    ] = Path("out"),
    engine: Annotated[
        Again | None,
        typer.Option(
            "--engine",
            "-e",
            help="Where it is built again.",
            show_default="as before; mock for a build of Copr or Koji",
        ),
    ] = None,
    vendor: common.Vendor = "",
    policy_headers: common.Headers = None,
    policy_root: common.PolicyRoot = None,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Build again from the source package, and compare with the packages and their provenance."""
    from wsgi_sepkg.package import verify as verifying
    from wsgi_sepkg.report import verified as report

    common.state["format"] = format_
    found = []
    for record in verifying.records_of(built):
        with common.progress(f"building again what {record.name} tells of", quiet):
            chosen = engine.value if engine else ""
            one = verifying.verify(record, chosen, policy_headers, policy_root, vendor)
            found.append(one)
    bad = not all(one.ok for one in found)
    if format_ is common.Format.json:
        common.show(report.as_json(found))
    else:
        common.show(report.as_text(found, verbose), quiet and not bad)
    if bad:
        raise typer.Exit(1)
