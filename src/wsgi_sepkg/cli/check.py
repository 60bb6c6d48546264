"""``wsgi-sepkg check``."""

from __future__ import annotations

from pathlib import Path

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg check examples/guestbook --verbose")(check)


def check(
    project: common.Project = ".",
    target: common.Target = "",
    settings: common.Settings = None,
    policy_headers: common.Headers = None,
    policy_root: common.PolicyRoot = None,
    format_: common.OutputFormat = common.Format.text,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Compile the policy, link it into a scratch store, ask the linked policy if all is true."""
    from wsgi_sepkg.policy.check import check as run
    from wsgi_sepkg.policy.compile import headers_for
    from wsgi_sepkg.report import check as report

    loaded = common.load(project, target, settings, format_)
    tree = common.tree(loaded, quiet, policy_only=True)
    headers = headers_for(loaded.target, policy_headers, policy_root)
    with common.progress(f"linking {tree.policy.module} with the base policy", quiet):
        result = run(tree, headers, policy_root or Path("/"))
    if format_ is common.Format.json:
        common.show(report.as_json(result))
    else:
        common.show(report.as_text(result, verbose), quiet and result.ok)
    if not result.ok:
        raise typer.Exit(1)
