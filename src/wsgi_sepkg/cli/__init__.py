"""The command line. One module per command: parse options, call one function, print."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.models import CommandInfo, TyperInfo

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

# In the order in which they are needed; the headings are those of --help.
for heading, commands in {
    "From an application to packages": (init, generate, check, build, srpm, spec),
    "Before the packages go out": (inspect, simulate, try_, verify),
    "On their way": (repo, init_pipeline),
    "From denials back to the description": (explain, learn, denials),
    "Look up": (targets, explain_config, schema),
}.items():
    for command in commands:
        command.register(app)
    registered: list[CommandInfo | TyperInfo] = [*app.registered_commands, *app.registered_groups]
    for made in registered:
        if not isinstance(made.rich_help_panel, str):
            made.rich_help_panel = heading


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
