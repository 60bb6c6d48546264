"""Counting denials in bounded memory, so that counts add up in any order.

A tally keeps for each group the exact number of its records and, of its objects, those with the
smallest hashes (a "k minimum values" sketch): whichever order records come in and tallies are
merged in, the same objects stay, each with its exact count, because an object that falls out of one
part has k smaller ones in the whole too. Groups themselves are kept the same way, once there are
more than a sane log ever has.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Protocol

from wsgi_sepkg.denials import model
from wsgi_sepkg.denials.model import (
    Denial,
    Example,
    Group,
    Notice,
    Origin,
    Reading,
    Rejected,
    Stamp,
)

_SPACE = float(1 << 64)
_MOST_NOTICES = 1000
_NOWHERE = Origin("", 0)


# What makes one record earlier than another, the same wherever it is asked.
Order = tuple[int, int, int, str, str, int]


class Held(Protocol):
    """A record that is read and joined when it is asked for: most give way to another before."""

    order: Order

    def read(self) -> Denial: ...


@dataclass(slots=True)
class Seen:
    """One object of a group: exact count, and its earliest record."""

    count: int
    told: Denial | Held
    order: Order

    @property
    def denial(self) -> Denial:
        """What ``told`` says."""
        if not isinstance(self.told, Denial):
            self.told = self.told.read()
        return self.told


@dataclass(slots=True)
class Pile:
    """A group in the making. ``objects`` is by hash of the object's identity."""

    key: tuple[str, ...]
    hash: str
    count: int = 0
    first: Stamp | None = None
    first_origin: Origin | None = None
    last: Stamp | None = None
    last_origin: Origin | None = None
    objects: dict[int, Seen] = field(default_factory=dict)
    limit: int = 1 << 64
    """Hashes from here on are not kept."""
    more: bool = False
    known: dict[bytes, int] = field(default_factory=dict)
    """The scanner's memory: raw fields to the hash of their object, kept or not."""
    low: bytes = b""
    """Earliest event of the log that is being read, as it stands there; `settle` counts it in."""
    high: bytes = b""
    """Latest one."""


class Tally:
    """What was read so far. Not frozen: the one place of this room that changes."""

    def __init__(self) -> None:
        self.logs: set[str] = set()
        self.sources: dict[str, str] = {}
        """Logs that are files, by `sources.source_id`."""
        self.lines = 0
        self.records: Counter[str] = Counter()
        self.piles: dict[str, Pile] = {}
        self.heap: list[int] = []
        self.dropped = 0
        self.rejected: list[tuple[str, int, str]] = []
        self.reasons: Counter[str] = Counter()
        self.notices: dict[tuple[str, str], Notice] = {}
        self.keep = max(model.EXAMPLES.values())
        self.generation = 0

    def pile(self, key: tuple[str, ...]) -> Pile | None:
        """The pile of ``key``, made where there is none; None when it is not to be kept."""
        digest = model.vector_hash(key)
        found = self.piles.get(digest)
        if found is not None:
            return found
        if len(self.piles) >= model.MOST_GROUPS and int(digest, 16) > -self.heap[0]:
            return None
        made = self.piles[digest] = Pile(key, digest)
        heapq.heappush(self.heap, -int(digest, 16))
        self._bound()
        return self.piles.get(digest) and made

    def _bound(self) -> None:
        """Hold the bounds of groups and of examples."""
        while len(self.piles) > model.MOST_GROUPS:
            worst = self.piles.pop(f"{-heapq.heappop(self.heap):012x}")
            self.dropped += worst.count
            self.generation += 1
        keep = next((k for up_to, k in model.EXAMPLES.items() if len(self.piles) <= up_to), 1)
        if keep < self.keep:
            self.keep = keep
            for pile in self.piles.values():
                self._prune(pile)

    def _prune(self, pile: Pile) -> None:
        if len(pile.objects) > self.keep:
            kept = sorted(pile.objects)[: self.keep]
            pile.objects = {h: pile.objects[h] for h in kept}
            pile.limit = kept[-1]
            pile.more = True

    def wants(self, pile: Pile, digest: int) -> bool:
        """Whether an object of this hash is, or would be, among those that are kept."""
        if digest in pile.objects:
            return True
        if digest > pile.limit:
            pile.more = True
            return False
        return True

    def put(self, pile: Pile, digest: int, told: Denial | Held, count: int = 1) -> None:
        """Count ``told`` for its object. The pile's own count is the caller's to raise."""
        new = Seen(count, told, order(told) if isinstance(told, Denial) else told.order)
        seen = pile.objects.get(digest)
        if seen is None:
            pile.objects[digest] = new
            self._prune(pile)
            return
        seen.count += count
        if new.order < seen.order or (
            new.order == seen.order and repr(new.denial) < repr(seen.denial)
        ):
            seen.told, seen.order = new.told, new.order

    def forget(self) -> None:
        """Empty the scanner's memory."""
        for pile in self.piles.values():
            pile.known.clear()

    def read_held(self) -> None:
        """Read what is held, so that nothing of the log is needed any more."""
        for pile in self.piles.values():
            for seen in pile.objects.values():
                seen.told = seen.denial

    def time(self, pile: Pile, stamp: Stamp, origin: Origin) -> None:
        """Widen the span of time of ``pile``."""
        if stamp.ms is not None:
            origin = _NOWHERE  # a date needs no line to be in its place
        if pile.first is None or _early(stamp, origin) < _early(pile.first, pile.first_origin):
            pile.first, pile.first_origin = stamp, origin
        if pile.last is None or _late(stamp, origin) > _late(pile.last, pile.last_origin):
            pile.last, pile.last_origin = stamp, origin

    def settle(self, log: str) -> None:
        """Turn the raw events of the piles into stamps, at the end of ``log``."""
        for pile in self.piles.values():
            for event in {pile.low, pile.high} - {b""}:
                self.time(pile, raw_stamp(event), Origin(log, 0))
            pile.low = pile.high = b""

    def reject(self, origin: Origin, reason: str, count: int = 1) -> None:
        """Count a record that cannot be believed; the first ones are kept by name."""
        self.reasons[reason] += count
        self.rejected.append((origin.log, origin.line, reason))
        if len(self.rejected) > 2 * model.MOST_REJECTED:
            self._bound_rejected()

    def _bound_rejected(self) -> None:
        self.rejected = sorted(self.rejected)[: model.MOST_REJECTED]

    def notice(self, notice: Notice) -> None:
        """Count a notice."""
        key = notice.kind, notice.text
        old = self.notices.get(key)
        if old is not None:
            first = min(old, notice, key=lambda n: (_early(n.stamp, n.origin), n.origin, n.fields))
            notice = replace(first, count=old.count + notice.count)
        self.notices[key] = notice
        if len(self.notices) > 2 * _MOST_NOTICES:
            self._bound_notices()

    def _bound_notices(self) -> None:
        self.notices = {k: self.notices[k] for k in sorted(self.notices)[:_MOST_NOTICES]}

    def merge(self, other: Tally, base: int = 0) -> None:
        """Take in all of ``other``; ``base`` is added to its line numbers (parts of one log)."""
        self.logs |= other.logs
        self.sources |= other.sources
        self.lines += other.lines
        self.records += other.records
        self.dropped += other.dropped
        for digest, theirs in other.piles.items():
            mine = self.pile(theirs.key)
            if mine is None:
                self.dropped += theirs.count
                continue
            assert mine.hash == digest
            mine.count += theirs.count
            mine.more = mine.more or theirs.more
            if theirs.first and theirs.first_origin and theirs.last and theirs.last_origin:
                self.time(mine, theirs.first, _shift(theirs.first_origin, base))
                self.time(mine, theirs.last, _shift(theirs.last_origin, base))
            if theirs.more and len(theirs.objects) >= self.keep:
                mine.limit = min(mine.limit, max(theirs.objects))
            for object_hash, seen in theirs.objects.items():
                if not self.wants(mine, object_hash):
                    continue
                denial = seen.denial
                if base:
                    denial = replace(denial, origin=_shift(denial.origin, base))
                self.put(mine, object_hash, denial, seen.count)
        for log, line, reason in other.rejected:
            self.rejected.append((log, line + base, reason))
        self.reasons += other.reasons
        self._bound_rejected()
        for notice in other.notices.values():
            self.notice(replace(notice, origin=_shift(notice.origin, base)))
        self._bound_notices()

    def reading(self) -> Reading:
        """All of it as frozen data."""
        self._bound_rejected()
        self._bound_notices()
        groups = [_group(pile) for pile in self.piles.values()]
        return Reading(
            logs=tuple(sorted(self.logs)),
            lines=self.lines,
            records=tuple(sorted(self.records.items())),
            groups=tuple(sorted(groups, key=lambda g: (-g.count, g.hash))),
            rejected=tuple(Rejected(Origin(log, line), why) for log, line, why in self.rejected),
            rejected_count=self.reasons.total(),
            rejected_reasons=tuple(sorted(self.reasons.items(), key=lambda r: (-r[1], r[0]))),
            notices=tuple(self.notices[key] for key in sorted(self.notices)),
            dropped=self.dropped,
        )


def object_hash(identity: str) -> int:
    """The hash that decides whether an object is kept: 64 bits of BLAKE2b of its identity."""
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest)


def raw_stamp(event: bytes) -> Stamp:
    """The stamp of ``seconds.milliseconds:serial`` with ten digits of seconds."""
    return Stamp(int(event[:10]) * 1000 + int(event[11:14]), int(event[15:]), event.decode())


def later(event: bytes, than: bytes) -> bool:
    """Whether one raw event is later than another; both have ten digits of seconds."""
    if len(event) == len(than):
        return event > than
    return (event[:14], int(event[15:])) > (than[:14], int(than[15:]))


def order(denial: Denial) -> Order:
    """The order of a record among others."""
    stamp, origin = denial.stamp, denial.origin
    if stamp.ms is None:
        return (1, 0, 0, denial.host, origin.log, origin.line)
    serial = -1 if stamp.serial is None else stamp.serial
    return (0, stamp.ms, serial, denial.host, origin.log, origin.line)


def _early(stamp: Stamp, origin: Origin | None) -> tuple[int, int, int, str, int]:
    assert origin is not None
    if stamp.ms is None:
        return (1, 0, 0, origin.log, origin.line)
    return (0, stamp.ms, -1 if stamp.serial is None else stamp.serial, stamp.text, 0)


def _late(stamp: Stamp, origin: Origin | None) -> tuple[int, int, int, str, int]:
    undated, *rest = _early(stamp, origin)
    return (-undated, *rest)  # type: ignore[return-value]


def _shift(origin: Origin, base: int) -> Origin:
    return Origin(origin.log, origin.line + base) if base and origin.line else origin


def _group(pile: Pile) -> Group:
    assert pile.first is not None
    assert pile.last is not None
    kept = sorted(pile.objects.values(), key=lambda s: (-s.count, s.order, repr(s.denial)))
    objects = len(pile.objects)
    if pile.more:
        # The k-th smallest of n even hashes lies near k/n of their space.
        share = (max(pile.objects) + 1) / _SPACE
        objects = max(objects + 1, round((objects - 1 or 1) / share))
    return Group(
        hash=pile.hash,
        count=pile.count,
        first=pile.first,
        last=pile.last,
        objects=objects,
        objects_exact=not pile.more,
        examples=tuple(Example(seen.denial, seen.count) for seen in kept),
    )
