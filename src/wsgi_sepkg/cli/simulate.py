"""``wsgi-sepkg simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg simulate out/*.noarch.rpm --scenario erase-data-left")(
        simulate
    )


def simulate(
    rpms: Annotated[
        list[Path],
        typer.Argument(metavar="RPM...", help="The -selinux package, and its application's."),
    ],
    scenario: Annotated[
        str,
        typer.Option("--scenario", "-s", metavar="NAME", help="One scenario, or all of them."),
    ] = "all",
    old: Annotated[
        list[Path] | None,
        typer.Option(
            "--old",
            metavar="RPM",
            help="A package from before the upgrade; can be given again. Default: the same ones.",
        ),
    ] = None,
    shell: Annotated[
        str,
        typer.Option(
            "--shell",
            metavar="NAME",
            help="The program that is /bin/sh: bash or dash. Default: bash where there is one.",
            show_default=False,
        ),
    ] = "",
    format_: common.OutputFormat = common.Format.text,
    verbose: common.Verbose = False,
) -> None:
    """Run the scriptlets of packages in a scratch root, and tell what they do to a host.

    The programs of SELinux and systemd are stand-ins that keep a record; nothing of this host
    changes. The scriptlets do run: it is no sandbox for packages that nobody trusts.
    """
    from wsgi_sepkg.report import simulation
    from wsgi_sepkg.simulate.run import simulate as run

    common.state["format"] = format_
    outcomes = list(run(rpms, scenario, old or [], shell))
    if format_ is common.Format.json:
        common.show(simulation.as_json(outcomes).decode())
    else:
        common.show(simulation.as_text(outcomes, verbose or scenario != "all"))
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(1)
