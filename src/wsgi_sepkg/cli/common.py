"""Options and output that commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from wsgi_sepkg.errors import ConfigError, UsageError, WsgiSepkgError
from wsgi_sepkg.report import counted


class Format(StrEnum):
    """How a result is shown."""

    text = "text"
    json = "json"


Project = Annotated[
    str,
    typer.Argument(
        metavar="PROJECT",
        help="A folder that holds wsgi-sepkg.toml, or the file itself.",
        show_default="this folder",
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        "-t",
        metavar="NAME",
        help="Target; see `wsgi-sepkg targets`.",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the description for this run, e.g. project.version=1.5.",
    ),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="How the result is shown.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more: what was in order, details, sources.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be written.")]
OutDir = Annotated[
    Path, typer.Option("--outdir", "-o", metavar="DIR", help="Where results go.", show_default=True)
]
Headers = Annotated[
    Path | None,
    typer.Option(
        "--policy-headers",
        metavar="DIR",
        help="The target's policy headers (devel/include), where the host is of another.",
    ),
]
PolicyRoot = Annotated[
    Path | None,
    typer.Option(
        "--policy-root",
        metavar="DIR",
        help="A root folder with the target's policy (etc/selinux, var/lib/selinux).",
    ),
]
Vendor = Annotated[
    str,
    typer.Option(
        "--vendor",
        metavar="NAME",
        envvar="WSGI_SEPKG_VENDOR",
        help="mock: whose RHEL the roots are made of: alma, rocky, centos-stream or rhel.",
        show_default="alma",
    ),
]

Wheels = Annotated[
    Path | None,
    typer.Option(
        "--wheels",
        metavar="DIR",
        help="A folder with the wheels of bundled dependencies, instead of the package index.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]

state: dict[str, Any] = {"format": Format.text}


def fail(exc: WsgiSepkgError) -> int:
    """Show an error on standard error, and as JSON on standard output where that is wanted."""
    if state["format"] is Format.json:
        data: dict[str, Any] = {"error": exc.message, "hint": exc.hint, "status": exc.exit_status}
        if isinstance(exc, ConfigError):
            data["problems"] = [
                {
                    "file": p.place.file,
                    "line": p.place.line,
                    "key": p.place.key or p.key,
                    "message": p.message,
                    "hint": p.hint,
                    "warning": p.warning,
                }
                for p in exc.problems
            ]
        sys.stdout.write(json.dumps(data, indent=2, sort_keys=True) + "\n")
    if isinstance(exc, ConfigError):
        for problem in exc.problems:
            sys.stderr.write(f"{problem}\n")
        count = sum(not p.warning for p in exc.problems)
        sys.stderr.write(f"{counted(count, 'mistake')} in the description\n")
    else:
        sys.stderr.write(f"error: {exc}\n")
    return exc.exit_status


def load(project: str, target: str, settings: list[str] | None, format_: Format) -> Any:
    """Return the loaded description; later errors are shown in ``format_``."""
    from wsgi_sepkg.project.load import load as read

    state["format"] = format_
    loaded = read(project, target, settings or [])
    if format_ is Format.text:
        for warning in loaded.warnings:
            sys.stderr.write(f"{warning}\n")
    return loaded


def tree(loaded: Any, quiet: bool, wheels: Path | None = None, *, policy_only: bool = False) -> Any:
    """Return the rendered tree, with remarks on what is not shipped or not used."""
    from wsgi_sepkg.package import tree as trees

    with progress("gathering what travels along", quiet):
        made = trees.generate(loaded, wheels, policy_only=policy_only)
    if state["format"] is Format.text and not quiet:
        for remark in trees.remarks(made):
            note(remark)
    return made


@contextmanager
def progress(text: str, quiet: bool = False) -> Iterator[None]:
    """Show that something long goes on; only on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def show(text: str, quiet: bool = False) -> None:
    """Print a result to standard output."""
    if not quiet:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def note(text: str, quiet: bool = False) -> None:
    """Print a remark to standard error."""
    if not quiet:
        sys.stderr.write(f"note: {text}\n")


def write(output: Path | None, data: bytes) -> None:
    """Write ``data`` to ``output`` in one step, or to standard output. Raises UsageError."""
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f".{output.name}.part")
    try:
        part.write_bytes(data)
        part.replace(output)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise UsageError(f"{output} cannot be written: {exc.strerror}") from exc
