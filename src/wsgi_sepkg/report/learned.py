"""The result of learning as text and as JSON."""

from __future__ import annotations

import difflib

from msgspec import json

from wsgi_sepkg.denials.learn import Learned
from wsgi_sepkg.report import counted


def diff(learned: Learned) -> str:
    """Return the change of the file as a unified diff, '' for none."""
    name = learned.file.name
    return "".join(
        difflib.unified_diff(
            learned.before.splitlines(keepends=True),
            learned.after.splitlines(keepends=True),
            name,
            name,
        )
    )


def as_text(learned: Learned) -> str:
    """Return the diff, what became of each denial, N of N, and what else became allowed."""
    out = []
    change = diff(learned)
    if change:
        out += [change]
    if learned.refused:
        out += ["not accepted:", *(f"  {edit.title()}" for edit in learned.refused), ""]
    for settled in learned.settled:
        denial = settled.denial
        wanted = " ".join(denial.permissions)
        what = f"{denial.source.type} {denial.target.type}:{denial.tclass} {{ {wanted} }}"
        out.append(f"{settled.state:<18} {what} {denial.object}")
        out.append(f"{'':<18} {settled.why}")
    mine = learned.of_this
    out.append("")
    out.append(
        f"replayed on the linked policy of {learned.target}: {sum(s.ok for s in mine)} of "
        f"{len(mine)} settled; {len(learned.settled) - len(mine)} not of this application"
    )
    out.append(
        f"became allowed: {counted(len(learned.asked_for), 'access vector')} of what was denied, "
        f"{len(learned.more)} more"
    )
    out += [f"  {s} {t}:{c} {p}" for s, t, c, p in learned.more]
    out += [f"FAILED  {text}" for text in learned.failed]
    if learned.written:
        out.append(f"wrote {learned.file}")
    elif learned.failed:
        out.append(f"{learned.file} was left as it was")
    elif not change:
        out.append("nothing to change")
    return "\n".join(out) + "\n"


def as_json(learned: Learned) -> str:
    """Return the same as JSON."""
    data = {
        "file": str(learned.file),
        "target": learned.target,
        "diff": diff(learned),
        "edits": [
            {"table": e.table, "values": dict(e.values), "reason": e.reason()}
            for e in learned.edits
        ],
        "not_accepted": [e.title() for e in learned.refused],
        "denials": [
            {
                "hash": s.group.hash,
                "source": s.denial.source.type,
                "target": s.denial.target.type,
                "class": s.denial.tclass,
                "permissions": list(s.denial.permissions),
                "object": s.denial.object,
                "state": s.state,
                "settled": s.ok,
                "why": s.why,
                "fix": s.answer.fixes[0].kind,
            }
            for s in learned.settled
        ],
        "became_allowed": {
            "denied_before": [list(v) for v in learned.asked_for],
            "more": [list(v) for v in learned.more],
        },
        "failed": list(learned.failed),
        "written": learned.written,
        "ok": learned.ok,
    }
    return json.format(json.encode(data), indent=2).decode()
