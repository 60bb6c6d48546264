"""The command line. One module per command: parse options, call one function, print."""

from __future__ import annotations

import sys
from collections import UserDict
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from wsgi_sepkg import __version__
from wsgi_sepkg.cli.common import fail
from wsgi_sepkg.errors import WsgiSepkgError

# Each command's module by its heading in --help, in the order in which they are needed.
HEADINGS = {
    "From an application to packages": ("init", "generate", "check", "build", "srpm", "spec"),
    "Before the packages go out": ("inspect", "simulate", "try_", "verify"),
    "On their way": ("repo", "init_pipeline"),
    "From denials back to the description": ("explain", "learn", "denials"),
    "Look up": ("targets", "explain_config", "schema"),
}


class _Commands(UserDict[str, Any]):
    """Commands by name. Only the one that is asked for is imported and built: that is most of what
    a short command takes.
    """

    def __getitem__(self, name: str) -> Any:
        heading, module = self.data[name]
        one = typer.Typer()
        import_module(f"wsgi_sepkg.cli.{module}").register(one)
        command: Any = typer.main.get_group(one).commands[name]
        command.rich_help_panel = heading
        return command


class _Group(TyperGroup):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = _Commands(
            {
                module.strip("_").replace("_", "-"): (heading, module)
                for heading, modules in HEADINGS.items()
                for module in modules
            }
        )


app = typer.Typer(
    cls=_Group,
    name="wsgi-sepkg",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="SELinux policy for Django and WSGI applications, checked and shipped as an RPM "
    "subpackage.",
    epilog="Exit status: 0 done, 1 a check found something, 2 usage or description, 3 a tool is "
    "missing, 4 a build failed, 5 a remote service failed.",
)


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
