"""``wsgi-sepkg explain``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wsgi_sepkg.cli import common


class Format(StrEnum):
    """How the explanation is shown."""

    text = "text"
    json = "json"
    sarif = "sarif"
    markdown = "markdown"


Logs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="LOG...",
        help="Audit logs, plain or packed, or summaries of `denials`; '-' is standard input.",
        show_default="standard input",
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="Binary policy to ask, such as one brought from the host of the log.",
        show_default="the installed one",
    ),
]
NoPolicy = Annotated[
    bool, typer.Option("--no-policy", help="Ask no policy; the facts of the target serve.")
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", min=0, metavar="N", help="Processes that read; 0 takes what pays."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: ausearch -m avc --raw | wsgi-sepkg explain")(explain)


def explain(
    logs: Logs = None,
    target: common.Target = "",
    policy: PolicyFile = None,
    no_policy: NoPolicy = False,
    policy_headers: common.Headers = None,
    jobs: Jobs = 0,
    format_: Annotated[Format, typer.Option("--format", help="How it is shown.")] = Format.text,
    verbose: common.Verbose = False,
) -> None:
    """Say what each denial means, the narrowest fix, the next wider ones and what they open."""
    from wsgi_sepkg.denials import read

    if format_ is Format.json:
        common.state["format"] = common.Format.json
    with common.progress("reading"):
        reading = read(logs or ["-"], jobs=jobs, meanwhile=lambda: _prepare(target))

        from wsgi_sepkg.denials.explain import explain as run
        from wsgi_sepkg.report import explanation as report

        result = run(reading, target, policy, not no_policy, policy_headers)
    if format_ is Format.json:
        common.show(report.as_json(result))
    elif format_ is Format.sarif:
        common.show(report.as_sarif(result))
    elif format_ is Format.markdown:
        common.show(report.as_markdown(result))
    else:
        common.show(report.as_text(result, verbose))


def _prepare(target: str) -> None:
    from wsgi_sepkg.denials.explain import prepare
    from wsgi_sepkg.report import explanation  # noqa: F401  (the import takes the time)

    prepare(target)
