"""What a later reading would change in a description: only what is new, and no edit by hand lost.

Three versions are compared: what was proposed last (kept in a file beside the description), what is
proposed now, and what the description says today.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError
from tomlkit.items import AoT, Table

from wsgi_sepkg.discover.propose import TABLES, Entry
from wsgi_sepkg.discover.value import readable
from wsgi_sepkg.discover.write import literal
from wsgi_sepkg.errors import ConfigError, Problem

RECORD = ".wsgi-sepkg-init.json"
_IDS = ("to", "path", "name")


@dataclass(frozen=True)
class Update:
    """The new text, what was changed in it, and what was left because somebody edited it."""

    text: str
    changes: tuple[str, ...]
    kept: tuple[str, ...]


def record_of(entries: Sequence[Entry]) -> str:
    """Return what was proposed, as the text of the record."""
    data = {entry.name: entry.values for entry in entries}
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def read_record(text: str) -> dict[str, dict[str, Any]]:
    """Return an earlier proposal by the names of its entries; {} when it cannot be read."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {k: v for k, v in data.items() if isinstance(v, dict)}


def answers_of(text: str) -> dict[str, str]:
    """Return what a description says already, as answers to the questions of ``init``."""
    document = _parsed(text)
    found: dict[str, str] = {}
    for table in ("project", "application"):
        for key, value in (document.get(table) or {}).items():
            plain = value.unwrap() if hasattr(value, "unwrap") else value
            if isinstance(plain, list) and all(isinstance(v, str) for v in plain):
                found[f"{table}.{key}"] = ",".join(plain)
            elif isinstance(plain, str):
                found[f"{table}.{key}"] = plain
    ours = document.get("application")
    found["application.shipped"] = "yes" if ours and ours.get("exclude") != ["*"] else "no"
    return found


def updated(text: str, before: Mapping[str, Mapping[str, Any]], entries: Sequence[Entry]) -> Update:
    """Return ``text`` with what is new in ``entries`` since ``before``.

    Comments, order and edits stay. Raises ConfigError when ``text`` is no TOML.
    """
    document = _parsed(text)
    changes: list[str] = []
    kept: list[str] = []
    for entry in entries:
        old = before.get(entry.name)
        if old == entry.values:
            continue
        today = _today(document, entry)
        if today == entry.values:
            continue
        if today is None and old is None:
            answered = _answered(document, entry)
            if answered is None:
                _add(document, entry)
            else:
                document = answered
            changes.append(f"added {entry.name}: {_shown(entry.values)}")
        elif today is not None and old == today:
            _change(document, entry)
            changes.append(f"changed {entry.name}: {_shown(old)} to {_shown(entry.values)}")
        else:
            kept.append(f"{entry.name}: kept as it was edited; now found: {_shown(entry.values)}")
    names = {entry.name for entry in entries}
    for name in before:
        if name not in names:
            kept.append(f"{name}: no longer found; remove it where it is not needed")
    return Update(tomlkit.dumps(document), tuple(changes), tuple(kept))


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (ParseError, RecursionError) as exc:
        raise ConfigError([Problem("", f"not valid TOML: {exc}")]) from exc


def _shown(values: Mapping[str, Any]) -> str:
    parts = [v if isinstance(v, str) else json.dumps(v) for v in values.values()]
    return readable(", ".join(parts))[:160]


def _today(document: tomlkit.TOMLDocument, entry: Entry) -> dict[str, Any] | None:
    """Return what the description says at the place of an entry, None for nothing."""
    if entry.table in TABLES:
        value = (document.get(entry.table) or {}).get(entry.id)
        return None if value is None else {entry.id: _plain(value)}
    found = _element(document, entry)
    return None if found is None else {k: _plain(v) for k, v in found.items()}


def _plain(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value


def _element(document: tomlkit.TOMLDocument, entry: Entry) -> Table | None:
    if entry.table.startswith("process."):
        found = (document.get("process") or {}).get(entry.id)
        return found if isinstance(found, Table) else None
    listed = document.get(entry.table)
    for element in listed if isinstance(listed, AoT) else ():
        wanted = [k for k in (*_IDS, "port") if k in entry.values]
        if wanted and _plain(element.get(wanted[0])) == entry.values[wanted[0]]:
            return element if isinstance(element, Table) else None
    return None


def _answered(document: tomlkit.TOMLDocument, entry: Entry) -> tomlkit.TOMLDocument | None:
    """Return the document with an OPEN question of ``init`` replaced by its answer.

    None where the question does not stand as it was written, or at another place.
    """
    if entry.table not in TABLES:
        return None
    question = (
        rf"^# OPEN {re.escape(f'{entry.table}.{entry.id}')}: .*\n"
        rf"(?:#   .*\n)*# {re.escape(entry.id)} = .*$"
    )
    answer = "\n".join(
        [f"# {c}" for c in _comments(entry)] + [f"{entry.id} = {literal(entry.values[entry.id])}"]
    )
    text, count = re.subn(question, lambda _: answer, tomlkit.dumps(document), flags=re.MULTILINE)
    if count != 1:
        return None
    try:
        made = tomlkit.parse(text)
    except ParseError:
        return None
    return made if _today(made, entry) == entry.values else None


def _comments(entry: Entry) -> list[str]:
    return [readable(c) for c in entry.comments] or ["found by wsgi-sepkg init --update"]


def _add(document: tomlkit.TOMLDocument, entry: Entry) -> None:
    comments = _comments(entry)
    if entry.table in TABLES:
        table = document.get(entry.table)
        if table is None:
            table = tomlkit.table()
            document[entry.table] = table
        for comment in comments:
            table.add(tomlkit.comment(comment))
        table[entry.id] = entry.values[entry.id]
        return
    element = tomlkit.table()
    for comment in comments:
        element.add(tomlkit.comment(comment))
    for key, value in entry.values.items():
        element[key] = value
    if entry.table.startswith("process."):
        if "process" not in document:
            document["process"] = tomlkit.table(is_super_table=True)
        document["process"][entry.id] = element
    elif isinstance(document.get(entry.table), AoT):
        document[entry.table].append(element)
    else:
        listed = tomlkit.aot()
        listed.append(element)
        document[entry.table] = listed


def _change(document: tomlkit.TOMLDocument, entry: Entry) -> None:
    found: Any = document[entry.table] if entry.table in TABLES else _element(document, entry)
    for key in [k for k in found if entry.table not in TABLES and k not in entry.values]:
        del found[key]
    for key, value in entry.values.items():
        found[key] = value
