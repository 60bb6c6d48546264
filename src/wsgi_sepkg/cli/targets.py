"""``wsgi-sepkg targets``."""

from __future__ import annotations

import json
from typing import Any

import typer

from wsgi_sepkg.cli import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: wsgi-sepkg targets --format json")(targets)


def targets(format_: common.OutputFormat = common.Format.text) -> None:
    """List the supported targets and what is known of each."""
    from wsgi_sepkg import targets as known

    host = known.host_target()
    rows: list[dict[str, Any]] = []
    for name in known.names():
        target = known.load(name)
        rows.append(
            {
                "name": name,
                "title": target.title,
                "family": target.family,
                "module-format": target.module_format,
                "policy-version": target.policy_version,
                "python": sorted(target.pythons, key=lambda v: int(v.split(".")[1])),
                "dist": target.dist,
                "this-host": name == host,
                "source": list(target.source),
            }
        )
    if format_ is common.Format.json:
        common.show(json.dumps(rows, indent=2, sort_keys=True))
        return
    common.show(f"{'target':<12} {'policy':<10} {'module':<7} {'Python':<18} description")
    for row in rows:
        here = " (this host)" if row["this-host"] else ""
        common.show(
            f"{row['name']:<12} {row['family']:<10} {row['module-format']:<7} "
            f"{', '.join(row['python']):<18} {row['title']}{here}"
        )
