"""What an expression of a settings module can be, as far as reading tells.

A value is known, or a collection of values, or one of several under conditions, or unknown with
the reason. Values are never changed: an assignment makes a new one. A text may have holes, parts
that only the host knows; a hole is written between two private characters.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wsgi_sepkg.errors import Place

NOWHERE = Place()
MOST_ALTERNATIVES = 24
LONGEST_TEXT = 20_000
MOST_ITEMS = 2_000
_HOLE = re.compile("\ue000([^\ue000\ue001]*)\ue001")


@dataclass(frozen=True, slots=True)
class Known:
    """A constant. ``envs`` are environment variables that replace it when they are set.

    ``files`` are files in which the host may say another value.
    """

    value: str | int | float | bool | bytes | None
    place: Place = NOWHERE
    envs: frozenset[str] = frozenset()
    path: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list, tuple or set; ``open`` when there may be more than is known."""

    items: tuple[Value, ...] = ()
    open: bool = False
    place: Place = NOWHERE
    envs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Table:
    """A dict; ``open`` when there may be more than is known."""

    items: Mapping[Hashable, Value] = field(default_factory=dict)
    open: bool = False
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of several values.

    ``when`` are the conditions as the source says them. ``default`` says whether it holds where
    the environment sets nothing and ``DEBUG`` is off; None when that cannot be told.
    """

    value: Value
    when: tuple[str, ...] = ()
    default: bool | None = None


@dataclass(frozen=True, slots=True)
class Either:
    """One of several values."""

    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that reading cannot tell, and why; ``env`` or ``file`` names where it comes from."""

    why: str
    place: Place = NOWHERE
    env: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """A name that was not assigned."""


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function or lambda of the source, with the names that it sees."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Any


@dataclass(frozen=True, slots=True, eq=False)
class Klass:
    """A class of the source: its own names, and its bases."""

    name: str
    names: Mapping[str, Value]
    bases: tuple[Value, ...]
    scope: Any


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A module of the tree."""

    name: str
    names: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Library:
    """Something of a library, by its dotted name; ``own`` is what it carries along."""

    name: str
    own: tuple[Value, ...] = ()


Value = Known | Items | Table | Either | Unknown | Absent | Function | Klass | Module | Library
ABSENT = Absent()


def hole(name: str) -> str:
    """Return the text that stands for a part that only the host knows."""
    return f"\ue000{name}\ue001"


def has_hole(text: str) -> bool:
    """Return whether a part of the text is not known."""
    return "\ue000" in text


def holes(text: str) -> list[str]:
    """Return the names of the parts that are not known."""
    return _HOLE.findall(text)


def readable(text: str) -> str:
    """Return the text with its holes as ``<NAME>``, on one line, without control characters."""
    plain = _HOLE.sub(lambda m: f"<{m.group(1)}>", text)
    return "".join(c if c.isprintable() and c not in "\ue000\ue001" else "?" for c in plain)


def alternatives(value: Value) -> tuple[Alternative, ...]:
    """Return what a value can be."""
    return value.alternatives if isinstance(value, Either) else (Alternative(value, (), True),)


def either(parts: Iterable[Alternative]) -> Value:
    """Return one value for several alternatives; equal ones are told once."""
    flat: list[Alternative] = []
    for part in parts:
        for inner in alternatives(part.value):
            both = Alternative(
                inner.value,
                tuple(dict.fromkeys((*part.when, *inner.when))),
                _both(part.default, inner.default),
            )
            same = next((i for i, f in enumerate(flat) if _same(f.value, both.value)), -1)
            if same < 0:
                flat.append(both)
            else:
                flat[same] = Alternative(
                    flat[same].value,
                    flat[same].when if flat[same].when == both.when else (),
                    _any(flat[same].default, both.default),
                )
    if not flat:
        return ABSENT
    if len(flat) == 1:
        return flat[0].value
    if len(flat) > MOST_ALTERNATIVES:
        kept = sorted(flat, key=lambda f: f.default is not True)[: MOST_ALTERNATIVES - 1]
        return Either((*kept, Alternative(Unknown("too many cases"), (), None)))
    return Either(tuple(flat))


def mapped(value: Value, function: Callable[[Value], Value]) -> Value:
    """Return the value that comes of each alternative."""
    if not isinstance(value, Either):
        return function(value)
    return either(replace(a, value=function(a.value)) for a in value.alternatives)


def paired(one: Value, two: Value, function: Callable[[Value, Value], Value]) -> Value:
    """Return the value that comes of each pair of alternatives."""
    if not isinstance(one, Either) and not isinstance(two, Either):
        return function(one, two)
    parts = []
    for a in alternatives(one):
        for b in alternatives(two):
            when = tuple(dict.fromkeys((*a.when, *b.when)))
            if _contradict(when):
                continue
            parts.append(Alternative(function(a.value, b.value), when, _both(a.default, b.default)))
            if len(parts) > MOST_ALTERNATIVES * 2:
                return Unknown("too many cases")
    return either(parts)


def negated(condition: str) -> str:
    """Return the opposite of a condition."""
    if condition.startswith("not (") and condition.endswith(")"):
        return condition[5:-1]
    return f"not ({condition})"


def place_of(value: Value) -> Place:
    """Return where a value was written, NOWHERE when that is not known."""
    if isinstance(value, Either):
        return next((p for a in value.alternatives if (p := place_of(a.value)).file), NOWHERE)
    return value.place if isinstance(value, Known | Items | Table | Unknown) else NOWHERE


def envs_of(value: Value) -> frozenset[str]:
    """Return the environment variables that a value depends on."""
    if isinstance(value, Known | Items):
        return value.envs
    if isinstance(value, Unknown) and value.env:
        return frozenset((value.env,))
    return frozenset()


def with_envs(value: Value, envs: frozenset[str]) -> Value:
    """Return the value, which those environment variables can replace."""
    if not envs:
        return value
    if isinstance(value, Known | Items):
        return replace(value, envs=value.envs | envs)
    if isinstance(value, Unknown) and not value.env:
        return replace(value, env=min(envs))
    return value


def texts(value: Value) -> Iterator[Known]:
    """Yield the known texts in a value, one level of collections down."""
    for a in alternatives(value):
        if isinstance(a.value, Known) and isinstance(a.value.value, str):
            yield a.value
        elif isinstance(a.value, Items):
            for item in a.value.items:
                if isinstance(item, Known) and isinstance(item.value, str):
                    yield item


def get(value: Value, key: Hashable) -> Value:
    """Return what a table has at ``key``, ABSENT where it has nothing."""

    def one(table: Value) -> Value:
        if isinstance(table, Table):
            if key in table.items:
                return table.items[key]
            return Unknown("not all keys are known", table.place) if table.open else ABSENT
        return table if isinstance(table, Unknown) else ABSENT

    return mapped(value, one)


def _same(one: Value, two: Value) -> bool:
    if one is two:
        return True
    if isinstance(one, Known) and isinstance(two, Known):
        return type(one.value) is type(two.value) and one.value == two.value
    if isinstance(one, Unknown) and isinstance(two, Unknown):
        return (one.why, one.env, one.file) == (two.why, two.env, two.file)
    return isinstance(one, Absent) and isinstance(two, Absent)


def _both(one: bool | None, two: bool | None) -> bool | None:
    if one is False or two is False:
        return False
    return None if one is None or two is None else True


def _any(one: bool | None, two: bool | None) -> bool | None:
    if one or two:
        return True
    return None if one is None or two is None else False


def _contradict(when: tuple[str, ...]) -> bool:
    return any(negated(condition) in when for condition in when)
