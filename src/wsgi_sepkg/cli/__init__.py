"""The command line. One module per command: parse options, call one function, print."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from wsgi_sepkg import __version__
from wsgi_sepkg.cli import (
    build,
    check,
    denials,
    explain,
    explain_config,
    generate,
    init,
    init_pipeline,
    inspect,
    learn,
    repo,
    schema,
    simulate,
    spec,
    srpm,
    targets,
    try_,
    verify,
)
from wsgi_sepkg.cli.common import fail
from wsgi_sepkg.errors import WsgiSepkgError

app = typer.Typer(
    name="wsgi-sepkg",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="SELinux policy for Django and WSGI applications, checked and shipped as an RPM "
    "subpackage.",
    epilog="Exit status: 0 done, 1 a check found something, 2 usage or description, 3 a tool is "
    "missing, 4 a build failed, 5 a remote service failed.",
)

for command in (
    init,
    generate,
    check,
    srpm,
    spec,
    build,
    explain,
    inspect,
    learn,
    simulate,
    schema,
    targets,
    explain_config,
    init_pipeline,
    repo,
    verify,
    try_,
    denials,
):
    command.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wsgi-sepkg {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """SELinux policy for Django and WSGI applications, checked and shipped as an RPM subpackage."""


def main() -> None:
    """Run the command line; the process ends with the documented exit status."""
    try:
        app()
    except WsgiSepkgError as exc:
        sys.exit(fail(exc))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was left half-written\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
