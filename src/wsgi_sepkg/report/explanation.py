"""An explanation as JSON for programs, as text for a terminal, as Markdown and as SARIF."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import Any

import typer
from msgspec import json

from wsgi_sepkg.denials.explain import Explained, Explanation
from wsgi_sepkg.denials.ladder.fixes import Fix
from wsgi_sepkg.report import counted


def as_json(explanation: Explanation) -> str:
    """Return the explanation as JSON: ``rejected``, and ``denials`` with their ``fixes``."""
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


# -- for people ------------------------------------------------------------------------------------

_WORDS = {
    "allow": "grant",
    "boolean": "boolean",
    "fcontext": "label",
    "relabel": "relabel",
    "port": "port label",
    "domain": "wrong domain",
    "dontaudit": "noise",
    "app_config": "configuration",
    "bug": "fault elsewhere",
    "deny": "leave denied",
    "none": "nothing to do",
}


def summary(explanation: Explanation) -> str:
    """Return one line: how many records and groups, how many rejected, what was asked."""
    reading = explanation.reading
    text = (
        f"{counted(reading.denied, 'denial')} in {counted(len(reading.groups), 'group')}, "
        f"{counted(reading.rejected_count, 'record')} rejected, {counted(reading.lines, 'line')}"
    )
    if reading.dropped:
        text += f", {counted(reading.dropped, 'record')} beyond the groups that are kept"
    return f"{text}; asked: {', '.join(explanation.asked)}"


def heading(explained: Explained) -> str:
    """Return who was refused what, how often, in a line."""
    group, denial = explained.group, explained.group.denial
    program = f" ({denial.comm})" if denial.comm else ""
    target = "itself" if denial.source.type == denial.target.type else denial.target.type
    verb = "was allowed" if denial.granted else "was refused"
    times = "once" if group.count == 1 else f"{group.count} times"
    thing = denial.object
    if group.objects > 1:
        about = "" if group.objects_exact else "about "
        thing += f" and {about}{group.objects - 1} more"
    wanted = " ".join(denial.permissions)
    tail = "" if thing == denial.tclass else f": {thing}"
    what = f"{wanted} on {denial.tclass} of {target}"
    return f"{denial.source.type}{program} {verb} {what}, {times}{tail}"


def _opened(fix: Fix) -> str:
    parts = list(fix.opens)
    if fix.opens_count is not None:
        parts.append(f"{counted(fix.opens_count, 'access vector')} in the policy")
    elif fix.id.startswith("boolean:"):
        parts.append("not counted: no policy was asked (--policy FILE counts it)")
    return "; ".join(parts)


def lines(explained: Explained, verbose: bool = False) -> list[tuple[str, str]]:
    """Return (label, text) for everything that is said of a group, the answer first."""
    answer = explained.answer
    first, *others = explained.fixes
    found = [("why", first.says), (f"fix: {_WORDS[first.kind]}", first.cure)]
    if first.grants:
        found.append(("grants", first.grants + (f" ({first.verified})" if first.verified else "")))
    if first.opens or first.opens_count is not None:
        found.append(("opens", _opened(first)))
    firsts = {a.fixes[0].id for a in explained.answers}
    for fix in others if verbose else [f for f in others if not f.weak or f.id in firsts][:3]:
        text = fix.grants or fix.cure
        if fix.verified:
            text += f" ({fix.verified})"
        if _opened(fix):
            text += f". Opens: {_opened(fix)}"
        found.append((f"or {_WORDS[fix.kind]}", text))
    found += [("refused", f"{r.what}: {r.reason}") for r in answer.refused]
    found += [("note", note) for note in answer.notes]
    if answer.problem is not None and verbose:
        problem = answer.problem
        found.append((f"problem {problem.number}", f"{problem.symptom}: {problem.cause}"))
    if verbose:
        found += [("source", ref) for ref in first.refs]
    return found


def as_text(explanation: Explanation, verbose: bool = False, width: int = 0) -> str:
    """Return the explanation for a terminal; ``width`` in columns, 0 takes the terminal's."""
    width = width or shutil.get_terminal_size().columns
    colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def styled(text: str, **style: Any) -> str:
        return typer.style(text, **style) if colored else text

    out: list[str] = []
    for number, explained in enumerate(explanation.explained, start=1):
        out += [
            styled(line, bold=True) for line in _wrapped(f"{number}. {heading(explained)}", width)
        ]
        rows = lines(explained, verbose)
        margin = max((len(label) for label, _ in rows), default=0) + 2
        for label, text in rows:
            color = {"fix": "green", "ref": "red", "or ": "yellow"}.get(label[:3])
            style: dict[str, Any] = {"fg": color} if color else {"dim": True}
            shown = styled(label, **style) + " " * (margin - len(label))
            for line in _wrapped(text, width - 3 - margin):
                out.append(f"   {shown}{line}".rstrip())
                shown = " " * margin
        out.append("")
    reading = explanation.reading
    shown_ones = reading.rejected if verbose else reading.rejected[:10]
    for rejected in shown_ones:
        told = f"rejected  {rejected.origin}: {rejected.reason}"
        out += [styled(line, fg="yellow") for line in _wrapped(told, width)]
    if reading.rejected_count > len(shown_ones):
        out.append(f"rejected  and {reading.rejected_count - len(shown_ones)} more")
    for notice in reading.notices:
        told = f"{notice.kind}  {notice.text} ({notice.count})"
        out += [styled(line, dim=True) for line in _wrapped(told, width)]
    out += _wrapped(summary(explanation), width)
    return "\n".join(out) + "\n"


def _wrapped(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` columns, 20 at least."""
    wrapper = textwrap.TextWrapper(max(20, width), break_on_hyphens=False)
    return [line for part in text.split("\n") for line in wrapper.wrap(part) or [""]]


def as_markdown(explanation: Explanation) -> str:
    """Return the explanation for a ticket."""
    out = [f"# Denials\n\n{_escaped(summary(explanation))}\n"]
    for explained in explanation.explained:
        denial = explained.group.denial
        out.append(f"## {_escaped(heading(explained))}\n")
        out.append(
            f"First {_escaped(explained.group.first.text)}, last "
            f"{_escaped(explained.group.last.text)}; `{explained.group.hash}`, "
            f"{_escaped(str(denial.origin))}\n"
        )
        out += [f"- **{label}**: {_escaped(text)}" for label, text in lines(explained, True)]
        out.append("")
    if explanation.reading.rejected_count:
        out.append(f"## Rejected records ({explanation.reading.rejected_count})\n")
        out += [
            f"- {_escaped(str(r.origin))}: {_escaped(r.reason)}"
            for r in explanation.reading.rejected
        ]
    return "\n".join(out).rstrip() + "\n"


def _escaped(text: str) -> str:
    """Return text of a log so that Markdown shows it and obeys nothing in it."""
    import re

    text = text.replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_{}\[\]>#|!~])", r"\\\1", text)


_LEVELS = {
    "none": "none",
    "dontaudit": "note",
    "deny": "warning",
    "bug": "note",
    "app_config": "warning",
}


def as_sarif(explanation: Explanation) -> str:
    """Return the explanation as SARIF 2.1.0 for code review: one result for each group."""
    from wsgi_sepkg import __version__

    rules: dict[str, Fix] = {}
    results = []
    for explained in explanation.explained:
        fix = explained.fixes[0]
        rules.setdefault(fix.id, fix)
        text = "\n".join(f"{label}: {text}" for label, text in lines(explained))
        results.append(
            {
                "ruleId": fix.id,
                "level": _LEVELS.get(fix.kind, "error"),
                "message": {"text": f"{heading(explained)}\n{text}"},
                "partialFingerprints": {"denial/v1": explained.group.hash},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": {"uri": example.denial.origin.log},
                            "region": {"startLine": max(1, example.denial.origin.line)},
                        }
                    }
                    for example in explained.group.examples[:10]
                ],
                "properties": {"records": explained.group.count, "kind": fix.kind},
            }
        )
    for rejected in explanation.reading.rejected:
        results.append(
            {
                "ruleId": "rejected",
                "level": "warning",
                "message": {"text": f"rejected: {rejected.reason}"},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": {"uri": rejected.origin.log},
                            "region": {"startLine": max(1, rejected.origin.line)},
                        }
                    }
                ],
            }
        )
    described = [
        {
            "id": name,
            "shortDescription": {"text": fix.says},
            "help": {"text": f"{fix.cure} Source: {'; '.join(fix.refs)}"},
        }
        for name, fix in sorted(rules.items())
    ]
    if explanation.reading.rejected:
        described.append(
            {"id": "rejected", "shortDescription": {"text": "a record that cannot be believed"}}
        )
    data = {
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "wsgi-sepkg",
                        "version": __version__,
                        "rules": described,
                    }
                },
                "results": results,
            }
        ],
    }
    return json.format(json.encode(data), indent=2).decode()
