"""A tally as a file: what a host's logs say, small, to be merged elsewhere in any order.

The form is JSON. Two readings of the same logs give the same bytes, and so do merges in any order.
A summary may come from another host: reading it checks all that could reach a policy again.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from wsgi_sepkg.denials import model, record
from wsgi_sepkg.denials.model import Denial, Notice, Origin, Stamp
from wsgi_sepkg.denials.record import Malformed
from wsgi_sepkg.denials.tally import Pile, Tally
from wsgi_sepkg.errors import UsageError
from wsgi_sepkg.report import counted

VERSION = 1


class _Seen(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    hash: int
    count: int
    denial: Denial


class _Time(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    stamp: Stamp
    origin: Origin


class _Group(Struct, frozen=True, forbid_unknown_fields=True):
    key: tuple[str, ...]
    count: int
    first: _Time
    last: _Time
    objects: list[_Seen]
    more: bool


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    wsgi_sepkg_denials: int
    logs: list[str]
    sources: dict[str, str]
    lines: int
    records: dict[str, int]
    groups: list[_Group]
    rejected: list[tuple[str, int, str]]
    reasons: dict[str, int]
    notices: list[Notice]
    dropped: int


def dump(tally: Tally) -> bytes:
    """``tally`` as a summary: the same bytes for the same content."""
    reading = tally.reading()
    groups = [
        _Group(
            pile.key,
            pile.count,
            _time(pile.first, pile.first_origin),
            _time(pile.last, pile.last_origin),
            [
                _Seen(number, seen.count, seen.denial)
                for number, seen in sorted(pile.objects.items())
            ],
            pile.more,
        )
        for _, pile in sorted(tally.piles.items())
    ]
    made = _File(
        VERSION,
        list(reading.logs),
        dict(sorted(tally.sources.items())),
        reading.lines,
        dict(reading.records),
        groups,
        tally.rejected,
        dict(sorted(tally.reasons.items())),
        list(reading.notices),
        tally.dropped,
    )
    return msgspec.json.encode(made) + b"\n"


def load(data: bytes, name: str) -> Tally:
    """Read a summary. Raises UsageError, naming ``name``, for one that is broken or was altered."""
    try:
        made = msgspec.json.decode(data, type=_File)
    except msgspec.DecodeError as exc:
        raise UsageError(f"{name} is no summary of denials: {exc}") from exc
    if made.wsgi_sepkg_denials != VERSION:
        raise UsageError(
            f"{name} is a summary of version {made.wsgi_sepkg_denials}, this program reads "
            f"{VERSION}",
            "make it again with this version",
        )
    tally = Tally()
    tally.logs = set(made.logs)
    tally.sources = dict(made.sources)
    tally.lines = made.lines
    tally.records.update(made.records)
    tally.dropped = made.dropped
    tally.rejected = list(made.rejected)
    tally.reasons.update(made.reasons)
    for notice in made.notices:
        tally.notice(notice)
    for group in made.groups:
        try:
            _fill(tally, group)
        except Malformed as exc:
            raise UsageError(f"{name} is damaged: group {list(group.key)}: {exc}") from exc
    return tally


def _fill(tally: Tally, group: _Group) -> None:
    if not group.objects or group.count < sum(seen.count for seen in group.objects):
        raise Malformed("its counts do not add up")
    for seen in group.objects:
        if model.vector(seen.denial) != group.key or seen.count < 1:
            raise Malformed("an example belongs to another group")
        check(seen.denial)
    pile = tally.pile(group.key)
    if pile is None:
        tally.dropped += group.count
        return
    pile.count += group.count
    pile.more = pile.more or group.more
    tally.time(pile, group.first.stamp, group.first.origin)
    tally.time(pile, group.last.stamp, group.last.origin)
    if group.more:
        _limit(tally, pile, group)
    for seen in group.objects:
        tally.put(pile, seen.hash, seen.denial, seen.count)


def _limit(tally: Tally, pile: Pile, group: _Group) -> None:
    if len(group.objects) >= tally.keep:
        pile.limit = min(pile.limit, max(seen.hash for seen in group.objects))


def check(denial: Denial) -> None:
    """Refuse a denial that the reader cannot have made. Raises Malformed."""
    for name, context in (("source", denial.source), ("target", denial.target)):
        if record.context(name, str(context)) != context:
            raise Malformed(f"{name} is no context")
    words = (denial.tclass, *denial.permissions)
    if not denial.permissions or not all(record.is_name(word) for word in words):
        raise Malformed("a class or permission that is no name")
    if denial.kind not in ("AVC", "USER_AVC"):
        raise Malformed("an unknown kind of record")
    for text in (denial.path, denial.name, denial.comm, denial.exe, *denial.command):
        if not text.isprintable():
            raise Malformed("a text that is not printable")


def merge(parts: list[tuple[str, Tally]]) -> Tally:
    """Merge named tallies. Raises UsageError when two of them hold the same log."""
    total = Tally()
    for name, tally in parts:
        twice = total.sources.keys() & tally.sources.keys()
        if twice:
            log = tally.sources[min(twice)]
            raise UsageError(
                f"{name}: {log} is in an earlier summary already; its denials would count twice",
                "leave one of the two out",
            )
        total.merge(tally)
    return total


def _time(stamp: Stamp | None, origin: Origin | None) -> _Time:
    assert stamp is not None
    assert origin is not None
    return _Time(stamp, origin)


def line(tally: Tally) -> str:
    """One line for people: how much was read, and what of it was not understood."""
    count = sum(pile.count for pile in tally.piles.values())
    text = (
        f"{counted(tally.lines, 'line')} of {counted(len(tally.logs), 'log')}: "
        f"{counted(count, 'access decision')} in {counted(len(tally.piles), 'group')}"
    )
    if refused := tally.reasons.total():
        text += f"; {counted(refused, 'record')} rejected"
    if tally.dropped:
        text += f"; {counted(tally.dropped, 'record')} of further groups counted but not kept"
    return text
