"""The schema, told: JSON Schema for editors, text for ``explain-config`` and the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.project.schema import Description
from wsgi_sepkg.targets import did_you_mean


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the description."""
    schema = msgspec.json.schema(Description)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "wsgi-sepkg.toml",
        **schema,
    }


@dataclass(frozen=True)
class Key:
    """A key of the description: ``table`` is [x] or [[x]], ``kind`` its type in words."""

    path: str
    table: str
    kind: str
    required: bool
    default: str
    text: str


def keys() -> list[Key]:
    """Return every key in the order of the schema, the tables before their keys."""
    schema = json_schema()
    definitions = schema["$defs"]
    top = definitions["Description"]
    result = []
    for name, entry in top["properties"].items():
        array = entry.get("type") == "array"
        named = entry.get("additionalProperties")
        reference = _reference(entry["items"] if array else named or entry)
        table = f"[[{name}]]" if array else f"[{name}.NAME]" if named and reference else f"[{name}]"
        body = definitions.get(reference, {})
        text = entry.get("description") or _sentence(body.get("description", ""))
        needed = name in top.get("required", [])
        result.append(Key(name, table, "table", needed, "", text))
        for key in _keys_of(body, name, table, definitions):
            result.append(key)
    return result


def _keys_of(
    body: dict[str, Any], prefix: str, table: str, definitions: dict[str, Any]
) -> Iterator[Key]:
    required = body.get("required", [])
    for name, entry in body.get("properties", {}).items():
        default = entry.get("default")
        shown = ""
        if name not in required and default not in (None, "", [], {}):
            shown = msgspec.json.encode(default).decode()
        yield Key(
            f"{prefix}.{name}",
            table,
            _kind(entry, definitions),
            name in required,
            shown,
            _text(entry),
        )
    reference = next(
        (
            _reference(option)
            for entry in body.get("properties", {}).values()
            for option in entry.get("anyOf", [])
            if _reference(option) == "PathEntry"
        ),
        "",
    )
    if reference:
        yield from _keys_of(definitions[reference], f"{prefix}.USE", table, {})


def _text(entry: dict[str, Any]) -> str:
    return str(entry.get("description", ""))


def _sentence(text: str) -> str:
    return " ".join(text.split())


def _reference(entry: dict[str, Any]) -> str:
    options = [entry, *entry.get("anyOf", [])]
    for option in options:
        if "$ref" in option:
            return str(option["$ref"]).rpartition("/")[2]
    return ""


def _kind(entry: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "enum" in entry:
        return " | ".join(str(v) for v in entry["enum"])
    if "anyOf" in entry:
        words = [_kind(option, definitions) for option in entry["anyOf"]]
        words = [w for w in dict.fromkeys(words) if w != "nothing"]
        one = " or ".join(w for w in words if not w.startswith("a list of "))
        if f"a list of {one}" in words:
            return f"{one}, or a list of these" if " or " in one else f"{one} or a list of {one}"
        return " or ".join(words)
    if "$ref" in entry:
        return "a table"
    names = {
        "string": "text",
        "integer": "whole number",
        "boolean": "true or false",
        "null": "nothing",
        "object": "a table",
    }
    if entry.get("type") == "array":
        return f"a list of {_kind(entry.get('items', {}), definitions) or 'values'}"
    if entry.get("format") == "date":
        return "a date"
    return names.get(str(entry.get("type", "")), "")


def explain(wanted: str) -> str:
    """Return what the key or table ``wanted`` means, '' for all. Raises UsageError."""
    plain = re.sub(r"\[\d*\]|[\[\]]", "", wanted).strip(".")
    known = keys()
    if plain and not any(k.path == plain for k in known):
        raise UsageError(
            f"{wanted}: no such key{did_you_mean(plain, [k.path for k in known])}",
            "`wsgi-sepkg explain-config` lists all of them",
        )
    chosen = [k for k in known if not plain or k.path == plain or k.path.startswith(plain + ".")]
    lines: list[str | None] = []
    for key in chosen:
        if key.kind == "table":
            lines += ["" if lines else None, f"{key.table}  {key.text}"]
            continue
        facts = [key.kind] if key.kind else []
        if key.required:
            facts.append("required")
        if key.default:
            facts.append(f"default {key.default}")
        name = key.path.partition(".")[2] if not plain or len(chosen) > 1 else key.path
        lines.append(f"  {name}: {key.text}" if key.text else f"  {name}")
        lines.append(f"      {', '.join(facts)}")
    return "\n".join(line for line in lines if line is not None) + "\n"
