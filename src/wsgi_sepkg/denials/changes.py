"""Changes of a description: from a fix to the entry that it adds, and the edit that adds it.

The file is edited with tomlkit, so comments, order and spelling stay. Every entry that is added
carries the denial that caused it: its hash, how often and when.
"""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wsgi_sepkg.denials.knowledge import Knowledge
from wsgi_sepkg.denials.ladder.fixes import Fix
from wsgi_sepkg.denials.ladder.signs import stem
from wsgi_sepkg.denials.model import Denial, Group
from wsgi_sepkg.project.names import path_entries
from wsgi_sepkg.project.schema import Description

_WRITES = frozenset(
    "write append create unlink rename add_name remove_name setattr link rmdir lock".split()
)
_ORDER = ("path", "connect", "port", "boolean", "file-context", "type", "file-transition", "call")


@dataclass(frozen=True)
class Cause:
    """The denial behind a change."""

    hash: str
    count: int
    day: str
    """ISO date of the first one, '' where the log gives none that can be read."""

    def __str__(self) -> str:
        times = "once" if self.count == 1 else f"{self.count} times"
        since = f", first on {self.day}" if self.day else ""
        return f"denial {self.hash}, {times}{since}"


def cause_of(group: Group) -> Cause:
    """Return what a reason says of ``group``."""
    ms = group.first.ms
    day = ""
    if ms is not None:
        day = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).date().isoformat()
    return Cause(group.hash, group.count, day)


@dataclass(frozen=True)
class Edit:
    """One entry that is added. ``table`` is ``path`` (then ``values`` has use and path) or the name
    of an array of tables, whose keys are ``values`` in order.
    """

    table: str
    values: tuple[tuple[str, Any], ...]
    causes: tuple[Cause, ...] = field(default=(), compare=False)
    what: str = field(default="", compare=False)
    """Why, in a few words, before the causes."""

    def reason(self) -> str:
        """Return the reason that the entry carries: what it is for, and the denials behind it."""
        causes = "; ".join(str(c) for c in self.causes[:3])
        if len(self.causes) > 3:
            causes += f"; and {len(self.causes) - 3} more"
        return _plain(f"{self.what} ({causes})")[:500]

    def title(self) -> str:
        """Return the edit in a line."""
        values = dict(self.values)
        if self.table == "path":
            return f'[path] {values["use"]} = "{values["path"]}"'
        shown = ", ".join(f"{key} = {_toml(value)}" for key, value in self.values)
        return f"[[{self.table}]] {shown}"


class NoChange(Exception):
    """A fix cannot be written into the description; the text says why."""


def edits_for(
    fix: Fix, denial: Denial, group: Group, description: Description, knowledge: Knowledge
) -> tuple[Edit, ...]:
    """Return the entries that ``fix`` adds to ``description``, () where it has them already.

    Raises NoChange where the description cannot say it.
    """
    change = fix.change
    if change is None:
        raise NoChange(fix.cure)
    causes = (cause_of(group),)
    what = _plain(fix.says)
    word = change.word
    made: list[tuple[str, list[tuple[str, Any]]]] = []
    source, class_ = denial.source.type, denial.tclass
    target = "self" if source == denial.target.type else denial.target.type
    permissions = list(denial.permissions)
    if word in ("use", "label", "socket"):
        made += _path(denial, description, knowledge)
    elif word == "connect":
        made.append(("connect", [("to", change.value("service"))]))
    elif word == "connect-socket":
        service = _service_of(denial, knowledge)
        made.append(("connect", [("to", service), ("socket", True)]))
    elif word == "port-connect":
        if denial.port is None:
            raise NoChange("the record names no port")
        made.append(("connect", [("port", denial.port)]))
    elif word == "port-bind":
        if denial.port is None:
            raise NoChange("the record names no port")
        made.append(("port", [("number", denial.port), ("bind-by", [source])]))
    elif word == "boolean":
        made.append(("boolean", [("name", change.value("name")), ("value", True)]))
    elif word == "dontaudit":
        made.append(("dontaudit", _rule(source, target, class_, permissions)))
    elif word == "call" and change.value("interface"):
        made.append(("call", [("interface", change.value("interface")), ("arguments", [source])]))
    elif word in ("rule", "call"):
        made.append(("allow", _rule(source, target, class_, permissions)))
    elif word in ("library", "textrel", "program"):
        made.append(("file-context", _file_context(word, denial)))
    else:
        raise NoChange(fix.cure)
    if description.application is None or source not in _servers(description, source):
        for table, values in made:
            if table == "connect":
                values.append(("by", source))
    return tuple(
        Edit(table, tuple(values), causes, what)
        for table, values in made
        if not _has(description, table, dict(values))
    )


def _servers(description: Description, source: str) -> tuple[str, ...]:
    """Return the domains for which a connection needs no `by`: not an own one that is named."""
    return () if source in {d.name for d in description.domain} else (source,)


def _rule(source: str, target: str, class_: str, permissions: list[str]) -> list[tuple[str, Any]]:
    return [
        ("source", source),
        ("target", target),
        ("class", class_),
        ("permissions", permissions),
    ]


def _path(
    denial: Denial, description: Description, knowledge: Knowledge
) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Return the [path] entry for the object of a denial."""
    if not denial.path.startswith("/"):
        raise NoChange(
            "the record names no path: turn on full auditing (auditctl -w /etc/shadow -p w) and "
            "use the application again"
        )
    written = bool(_WRITES & set(denial.permissions))
    use = knowledge.use_of(denial.path, written)
    folder = knowledge.folder_of(denial.path, denial.tclass == "dir", written)
    for named, _, entry in path_entries(description.path):
        if denial.path == entry.path or denial.path.startswith(entry.path.rstrip("/") + "/"):
            if named == use or not written:
                return []
            # A folder inside of another one: the longer path decides its label.
            folder = folder if len(folder) > len(entry.path) else ""
    if use == "secret":
        folder = denial.path
    if not folder:
        raise NoChange(
            f"{denial.path}: many programs share that folder; give the application one of its own"
        )
    return [("path", [("use", use), ("path", folder)])]


def _file_context(word: str, denial: Denial) -> list[tuple[str, Any]]:
    if not denial.path.startswith("/"):
        raise NoChange("the record names no path")
    escaped = "".join(f"\\{c}" if c in ".^$?*+|[](){}\\" else c for c in denial.path)
    type_ = {"library": "lib_t", "textrel": "textrel_shlib_t", "program": "bin_t"}[word]
    pattern = escaped
    parts = escaped.split("/")
    if word == "library" and "lib" in parts[:-1]:
        # One line for the environment: each of its libraries has the same need.
        pattern = "/".join(parts[: parts.index("lib") + 1]) + r"/.*\.so(\.[^/]*)*"
    return [("pattern", pattern), ("type", type_), ("file-type", "file")]


def _service_of(denial: Denial, knowledge: Knowledge) -> str:
    words = {"mysqld": "mysql", "memcached": "memcached", "slapd": "ldap"}
    name = stem(denial.target.type)
    found = words.get(name, name)
    if found not in knowledge.services.values():
        raise NoChange(f"no service of [[connect]] has the socket of {denial.target.type}")
    return found


def _has(description: Description, table: str, values: dict[str, Any]) -> bool:
    """Tell whether the description says it already."""
    if table == "path":
        return any(
            use == values["use"] and entry.path == values["path"]
            for use, _, entry in path_entries(description.path)
        )
    entries: Sequence[Any] = getattr(description, table.replace("-", "_"))
    for entry in entries:
        if all(
            getattr(entry, key.replace("-", "_") + ("_" if key == "class" else "")) == value
            for key, value in values.items()
        ):
            return True
    return False


def merge(edits: Iterable[Edit]) -> list[Edit]:
    """Return the edits without repeats, rules joined, a path inside another of its use left out."""
    found: dict[Any, Edit] = {}
    for edit in edits:
        values = dict(edit.values)
        key: Any = (edit.table, _frozen(edit.values))
        if edit.table in ("allow", "dontaudit"):
            key = (edit.table, values["source"], values["target"], values["class"])
        if key not in found:
            found[key] = edit
            continue
        old = found[key]
        joined = dict(old.values)
        if edit.table in ("allow", "dontaudit"):
            joined["permissions"] = sorted({*joined["permissions"], *values["permissions"]})
        causes = old.causes + tuple(c for c in edit.causes if c not in old.causes)
        found[key] = Edit(edit.table, tuple(joined.items()), causes, old.what)
    result: list[Edit] = []
    for edit in found.values():
        if edit.table == "path":
            mine = dict(edit.values)
            over = [
                other
                for other in found.values()
                if other is not edit
                and other.table == "path"
                and dict(other.values)["use"] == mine["use"]
                and mine["path"].startswith(dict(other.values)["path"] + "/")
            ]
            if over:
                continue
        result.append(edit)
    order = {name: i for i, name in enumerate(_ORDER)}
    return sorted(result, key=lambda e: order.get(e.table, len(order)))


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Return ``text`` (TOML) with ``edits`` added; comments and order are kept."""
    import tomlkit
    from tomlkit.items import AoT, Array, Table

    document = tomlkit.parse(text)
    for edit in edits:
        values = dict(edit.values)
        if edit.table == "path":
            paths = document.get("path")
            if not isinstance(paths, Table):
                paths = tomlkit.table()
                document["path"] = paths
            use, path = values["use"], values["path"]
            note = edit.reason()
            old = paths.get(use)
            if old is None:
                item = tomlkit.string(path)
                item.comment(note)
                paths.add(use, item)
                continue
            said = old.trivia.comment.lstrip("# ") if hasattr(old, "trivia") else ""
            if isinstance(old, Array):
                old.append(path)
                both = old
            else:
                both = tomlkit.array()
                both.append(old.unwrap())
                both.append(path)
                paths[use] = both
            both.comment(f"{said}; {note}" if said else note)
            continue
        entry = tomlkit.table()
        entry.trivia.indent = "\n"  # an empty line before [[...]]
        for key, value in edit.values:
            entry.add(key, value)
        entry.add("reason", edit.reason())
        array = document.get(edit.table)
        if not isinstance(array, AoT):
            array = tomlkit.aot()
            document.append(edit.table, array)
        array.append(entry)
    return tomlkit.dumps(document)


def _frozen(values: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
    return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in values)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _plain(text: str) -> str:
    """Return one printable line: what a log says may not steer a file."""
    kept = (c if unicodedata.category(c)[0] not in "CZ" or c == " " else " " for c in text)
    return " ".join("".join(kept).split())
