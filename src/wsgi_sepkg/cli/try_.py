"""``wsgi-sepkg try``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("try", epilog="Example: wsgi-sepkg try out/*.noarch.rpm --script smoke.sh")(
        try_packages
    )


def try_packages(
    rpms: Annotated[
        list[Path],
        typer.Argument(metavar="RPM...", help="The -selinux package, and its application's."),
    ],
    script: Annotated[
        Path | None,
        typer.Option(
            "--script",
            metavar="FILE",
            help="A bash script to run after the installation.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    audit_log: Annotated[
        Path | None,
        typer.Option(
            "--audit-log",
            metavar="FILE",
            help="Keep the machine's audit log here, for `explain` and `learn`.",
            dir_okay=False,
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="A cloud image of yours (qcow2 with cloud-init) instead of the built-in machine.",
        ),
    ] = None,
    memory: Annotated[
        int,
        typer.Option("--memory", metavar="MIB", help="The machine's memory.", min=64),
    ] = 3072,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="The longest it may take.")
    ] = 900.0,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Install packages in a throw-away machine with an enforcing kernel; tell what was denied."""
    from wsgi_sepkg.errors import UsageError
    from wsgi_sepkg.machine import trial
    from wsgi_sepkg.machine.boot import Machine
    from wsgi_sepkg.machine.image import prepare
    from wsgi_sepkg.report import trial as report

    def note(text: str) -> None:
        common.note(text, quiet or format_ is common.Format.json)

    common.state["format"] = format_
    trial.suited(rpms, foreign=image is not None)
    if audit_log is not None and not audit_log.absolute().parent.is_dir():
        raise UsageError(
            f"{audit_log.parent} is no folder for the audit log", "make it, or name another file"
        )
    with common.progress("making the machine, once; then booting it", quiet):
        machine = Machine.of_disk(image) if image else Machine.of(prepare(note))
        machine = replace(machine, memory=memory)
        result = trial.attempt(machine, rpms, script, limit=timeout)
    if audit_log is not None:
        common.write(audit_log, result.audit_log)
        note(f"wrote {audit_log}")
    if format_ is common.Format.json:
        common.show(json.dumps(report.as_dict(result), indent=2, sort_keys=True))
    else:
        common.show(report.as_text(result, verbose), quiet and result.ok)
    if not result.ok:
        raise typer.Exit(1)
