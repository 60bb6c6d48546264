"""``wsgi-sepkg repo``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(
        epilog="Example: wsgi-sepkg repo out --key packages@example.org "
        "--url https://example.org/packages"
    )(repo)


def repo(
    built: Annotated[
        Path, typer.Argument(metavar="OUTDIR", help="The output folder of a build.")
    ] = Path("out"),
    outdir: Annotated[
        Path, typer.Option("--outdir", "-o", metavar="DIR", help="The repository to make.")
    ] = Path("repo"),
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="Name of the repository in the .repo file."),
    ] = "wsgi-sepkg",
    url: Annotated[
        str,
        typer.Option(
            "--url",
            metavar="URL",
            help="Where it will be found.",
            show_default="the folder itself",
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            "--key",
            "-k",
            metavar="KEY",
            help="Secret key of gpg that signs packages and metadata.",
            show_default="unsigned",
        ),
    ] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the packages that the repository holds already.")
    ] = False,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
) -> None:
    """Make a repository for dnf of built packages, signed where a key is given."""
    from wsgi_sepkg.package import repository

    common.state["format"] = format_
    made = repository.make(built, outdir, name, url, key, keep)
    if format_ is common.Format.json:
        data = {
            "folder": str(made.folder),
            "key": made.key,
            "parts": [
                {"place": p.place, "repo-file": str(p.repo_file), "packages": list(p.packages)}
                for p in made.parts
            ],
        }
        common.show(json.dumps(data, indent=2, sort_keys=True))
        return
    for part in made.parts:
        for package in part.packages:
            common.show(str(made.folder / part.place / package), quiet)
        common.show(str(part.repo_file), quiet)
    if not made.key:
        common.note("not signed: its .repo file tells dnf not to look for signatures; --key", quiet)
