"""A draft as the text of wsgi-sepkg.toml; and what a later draft would change in a file."""

from __future__ import annotations

import json
from typing import Any

import tomlkit

from wsgi_sepkg.discover.environment import is_proposal
from wsgi_sepkg.discover.propose import TABLES, Draft, Entry, Question, once
from wsgi_sepkg.discover.value import readable

_WIDTH = 98


def text_of(draft: Draft) -> str:
    """Return the description as TOML, each line with where it came from."""
    lines = ["# Written by wsgi-sepkg init: read, correct, and keep under version control.", ""]
    for note in draft.notes:
        lines += _comment(f"NOTE: {note}")
    if draft.notes:
        lines.append("")
    questions = once(draft.open)
    for table in TABLES:
        entries = [e for e in draft.entries if e.table == table]
        asked = [q for q in questions if q.key.split(".")[0] == table]
        aside = draft.aside.get(table, [])
        if not (entries or asked or aside):
            continue
        lines.append(f"[{table}]")
        for entry in entries:
            for comment in entry.comments:
                lines += _comment(comment)
            lines += [f"{key} = {literal(value)}" for key, value in entry.values.items()]
        for question in asked:
            lines += _open(question)
        for comment in aside:
            lines += _comment(comment)
        lines.append("")
    for entry in draft.entries:
        if entry.table not in TABLES:
            lines += [*_array_entry(entry), ""]
    for comment in draft.aside.get("connect", []):
        lines += _comment(comment)
    for question in questions:
        if question.key.split(".")[0] not in TABLES:
            lines += [*_open(question), ""]
    for line in draft.plan:
        lines += [f"# {line}".rstrip()] if is_proposal(line) else _comment(line)
    return "\n".join(lines).rstrip("\n") + "\n"


def _array_entry(entry: Entry) -> list[str]:
    lines = [line for comment in entry.comments for line in _comment(comment)]
    single = entry.table.startswith("process.")
    lines.append(f"[{entry.table}]" if single else f"[[{entry.table}]]")
    return lines + [f"{key} = {literal(value)}" for key, value in entry.values.items()]


def _open(question: Question) -> list[str]:
    where = f" ({question.place})" if question.place.file else ""
    return [
        *_comment(f"OPEN {question.key}: {question.text}{where}"),
        f"# {question.key.split('.')[1]} = "
        + (" | ".join(json.dumps(c) for c in question.choices) if question.choices else '"..."'),
    ]


def _comment(text: str) -> list[str]:
    """Return a comment, folded at words; nothing in it can end it."""
    words = readable(text).split(" ")
    lines, line = [], "#"
    for word in words:
        if len(line) + 1 + len(word) > _WIDTH and line not in ("#", "#  "):
            lines.append(line)
            line = "#  "
        line += f" {word}"
    return [*lines, line]


def literal(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(k)} = {literal(v)}" for k, v in value.items())
        return "{ " + inner + " }" if inner else "{}"
    if isinstance(value, list):
        parts = [literal(v) for v in value]
        short = "[" + ", ".join(parts) + "]"
        if len(short) <= 70:
            return short
        return "[\n" + "".join(f"    {p},\n" for p in parts) + "]"
    return str(tomlkit.item(value).as_string())


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else literal(name)
