"""An explanation as JSON for programs, as text for a terminal, as Markdown and as SARIF."""

from __future__ import annotations

from typing import Any

from msgspec import json

from wsgi_sepkg.denials.decide import Fix
from wsgi_sepkg.denials.explain import Explained, Explanation


def as_json(explanation: Explanation) -> str:
    """Return the explanation as JSON: ``rejected`` and ``denials`` with their ``fixes`` in order."""
    reading = explanation.reading
    data = {
        "asked": list(explanation.asked),
        "target": explanation.target,
        "lines": reading.lines,
        "records": dict(reading.records),
        "denials": [_denial(e) for e in explanation.explained],
        "rejected": [
            {"log": r.origin.log, "line": r.origin.line, "reason": r.reason}
            for r in reading.rejected
        ],
        "rejected_count": reading.rejected_count,
        "notices": [
            {"kind": n.kind, "text": n.text, "count": n.count, "line": n.origin.line}
            for n in reading.notices
        ],
        "dropped": reading.dropped,
    }
    return json.format(json.encode(data), indent=2).decode()


def _denial(explained: Explained) -> dict[str, Any]:
    group, answer = explained.group, explained.answer
    denial = group.denial
    return {
        "hash": group.hash,
        "records": group.count,
        "kind": denial.kind,
        "granted": denial.granted,
        "source": denial.source.type,
        "target": denial.target.type,
        "class": denial.tclass,
        "permissions": list(denial.permissions),
        "permissive": denial.permissive,
        "first": group.first.text,
        "last": group.last.text,
        "program": denial.comm,
        "command": list(denial.command),
        "objects": [
            {
                "path": example.denial.path,
                "name": example.denial.name,
                "port": example.denial.port,
                "records": example.count,
                "line": example.denial.origin.line,
                "log": example.denial.origin.log,
            }
            for example in group.examples
        ],
        "objects_count": group.objects,
        "problem": answer.problem.number if answer.problem is not None else None,
        "fixes": [_fix(fix) for fix in explained.fixes],
        "refused": [{"what": r.what, "reason": r.reason} for r in answer.refused],
        "notes": list(answer.notes),
    }


def _fix(fix: Fix) -> dict[str, Any]:
    return {
        "kind": fix.kind,
        "id": fix.id,
        "rung": fix.rung,
        "says": fix.says,
        "cure": fix.cure,
        "grants": fix.grants,
        "opens": list(fix.opens),
        "opens_count": fix.opens_count,
        "verified": fix.verified,
        "refs": list(fix.refs),
    }
