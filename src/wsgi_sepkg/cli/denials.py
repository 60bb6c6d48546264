"""``wsgi-sepkg denials``: logs reduced to summaries, and summaries merged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common

_app = typer.Typer(
    no_args_is_help=True,
    help="Reduce logs to small summaries where they lie, and merge them anywhere. `explain` and "
    "`learn` read a summary like a log.",
    epilog="Example: wsgi-sepkg denials summarize -o web1.json /var/log/audit/audit.log*",
)

_Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where the summary goes.",
        show_default="standard output",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    _app.command(
        epilog="Example: wsgi-sepkg denials summarize -o web1.json /var/log/audit/audit.log*"
    )(summarize)
    _app.command(epilog="Example: wsgi-sepkg denials merge -o fleet.json web*.json")(merge)
    app.add_typer(_app, name="denials")


def summarize(
    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOG...",
            help="Logs: plain, gz, xz, zst or bz2, journal export or JSON; - is standard input. "
            "Also URLs, with the extra fleet.",
        ),
    ],
    output: _Output = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", min=0, metavar="N", help="Processes; 0 is one for each processor."
        ),
    ] = 0,
    scheduler: Annotated[
        str,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Read on the workers of this Dask cluster, e.g. tcp://10.0.0.1:8786. They must "
            "reach the logs by the same names.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Read logs and write what they deny as a summary: exact counts, bounded examples."""
    from wsgi_sepkg.denials import reading, summary

    if scheduler:
        from wsgi_sepkg.denials import fleet

        found = fleet.tally(logs, scheduler)
    else:
        found = reading.tally(logs, jobs=jobs)
    common.write(output, summary.dump(found))
    common.note(summary.line(found))


def merge(
    summaries: Annotated[
        list[Path], typer.Argument(metavar="SUMMARY...", help="Summaries, in any order.")
    ],
    output: _Output = None,
) -> None:
    """Merge summaries into one. The result does not depend on their order."""
    from wsgi_sepkg.denials import reading, summary

    parts = [(str(path), reading.read_part(reading.Part(str(path)))) for path in summaries]
    found = summary.merge(parts)
    common.write(output, summary.dump(found))
    common.note(summary.line(found))
