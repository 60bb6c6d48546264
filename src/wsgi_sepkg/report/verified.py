"""What a verification found, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from wsgi_sepkg.package.verify import Verified


def as_text(found: Sequence[Verified], verbose: bool = False) -> str:
    """Return one block for each build: what is the same, what may differ, what is wrong."""
    lines = []
    for one in found:
        lines.append(f"{one.record}: built by {one.how.engine} for {one.how.target}")
        for fault in one.faults:
            lines.append(f"  FAILED  {fault}")
        for c in one.comparisons:
            if c.same:
                but = " but the signature" if c.name in one.signed else ""
                lines.append(f"  same    {c.name}: every byte{but}")
            elif not c.other:
                tags = ", ".join(tag for tag, _ in c.expected)
                lines.append(f"  same    {c.name}: files, dependencies and scriptlets")
                lines.append(f"          differing, as expected of a service: {tags}")
                if verbose:
                    lines += [f"          {tag}: {why}" for tag, why in c.expected]
            for tag, a, b in c.other:
                lines.append(f"  FAILED  {c.name}: {tag}: {a!r} was built, {b!r} comes out now")
        lines.append("verified" if one.ok else "NOT verified")
    return "\n".join(lines)


def as_json(found: Sequence[Verified]) -> str:
    """Return the same for programs."""
    data: list[dict[str, Any]] = [
        {
            "record": str(one.record),
            "engine": one.how.engine,
            "target": one.how.target,
            "ok": one.ok,
            "faults": list(one.faults),
            "other-bytes-than-recorded": list(one.signed),
            "packages": [
                {
                    "name": c.name,
                    "same": c.same,
                    "expected": [{"tag": t, "why": w} for t, w in c.expected],
                    "other": [{"tag": t, "was": a, "is": b} for t, a, b in c.other],
                }
                for c in one.comparisons
            ],
        }
        for one in found
    ]
    return json.dumps(data, indent=2, sort_keys=True)
