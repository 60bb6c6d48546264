"""Blocks of a log, searched as bytes. Only what is denied is decoded.

Almost every record of an audit log concerns something else. `Scanner` finds access decisions in the
kernel's plain form with one regular expression that begins with a literal, counts them by the bytes
that make them equal, and decodes one of each. Everything else that may concern SELinux (other
forms, broken records) is found by its words and goes to the strict reading of `record`. The fast
form is a part of the strict one: what it accepts, the strict reading accepts, with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from typing import Literal

from wsgi_sepkg.denials import join, model, record
from wsgi_sepkg.denials.model import Notice, Origin
from wsgi_sepkg.denials.record import Decision, Head, Malformed
from wsgi_sepkg.denials.tally import Order, Pile, Tally, later, object_hash, raw_stamp

# How far from a denial the other records of its event are looked for, in bytes.
REACH = 64 << 10
# A longer line is no record.
LONGEST = 1 << 20
# Bytes of records that may wait to be read.
_MOST_HELD = 4 << 20
# Objects whose hashes are remembered, and the longest of them in bytes.
_MOST_KNOWN = 20_000
_LONGEST_KNOWN = 500

_NAME = rb'(?:"[^"\n\x00-\x1f\x7f-\xff]*"|(?:[0-9A-F]{2})+)'
_ID = rb"[A-Za-z_][A-Za-z0-9_.]{0,127}"
_LEVEL = rb"s\d{1,5}(?::c\d{1,5}(?:[.,]c\d{1,5})*)?(?:-s\d{1,5}(?::c\d{1,5}(?:[.,]c\d{1,5})*)?)?"
_CONTEXT = rb"%b:%b:%b(?::%b)?(?= )" % (_ID, _ID, _ID, _LEVEL)
# The order of the fields is that of security/lsm_audit.c, so that none can be said twice. What is
# the same in many records, verb and tail, is only cut out here; `_VERB` and `_TAIL` hold it to its
# form once for each text. An empty branch costs half of what a group that may be
# absent does.
_FAST = re.compile(
    rb"type=AVC msg=audit\((\d{10}\.\d{3}:\d{1,20})\): avc:  ([dg][^}\n]*\}) for  pid=\d{1,10}"
    rb"( comm=(" + _NAME + rb")(?: (capability=\d{1,3}) |)(?: path=(" + _NAME + rb")|)"
    rb"(?: name=(" + _NAME + rb')|)(?: dev="([^"\n\x00-\x20\x7f-\xff]*)"|))(?: ino=\d{1,20}|)'
    rb"((?= sc)|(?: ioctlcmd=0x[0-9a-f]{1,8}|)(?: laddr=[0-9a-f.:]+|)(?: lport=\d{1,5}|)"
    rb"(?: faddr=[0-9a-f.:]+|)(?: fport=\d{1,5}|)"
    rb"(?: src=\d{1,5}|)(?: dest=\d{1,5}|))"
    rb" scontext=(.*)\n(?!\s*permissive=)"
)
_VERB = re.compile(rb"(?:denied|granted)  \{ [a-z][a-z0-9_]*(?: [a-z][a-z0-9_]*)* \}")
_TAIL = re.compile(
    _CONTEXT + rb" tcontext=" + _CONTEXT + rb" tclass=[a-z][a-z0-9_]*(?: permissive=[01])? ?"
)
_MARKS = tuple(f"{mark}=".encode() for mark in join.MARKS)
# Beside "=AVC", what may belong to a record that matters. Up to five bytes are found fastest.
_NEEDLES = (b"avc:", b"X_ERR", b"MAC_", b"e=140")
_HOSTS = re.compile(rb"(?:(?:host|node)=(%b),? +)+" % record.NODE.encode())

# Where another record begins, or what another's mark stands before; a wrapped record ends there.
_START = re.compile(
    r"\s*(?:----|time->|[>#]|//|$)|.*?(?:\btype=(?:[A-Z_0-9\[\]]+) (?:msg=)?audit\(|avc:\s"
    r"|\baudit\(\d|\baudit\[\d+\]: [A-Z])"
)
# Where the message of a user's record begins; it may have been wrapped before it.
_USER_MESSAGE = re.compile(r"\s*(?:[a-z]+=[^\s'\"()=]+ )*msg='avc:\s")
_USER_HEAD = re.compile(
    rb"type=USER_AVC (?:msg=audit\(|pid=\d)|(?:^|\n)[^\n=]*\baudit\[\d+\]: USER_AVC "
)
# A head that was wrapped before its time.
_TYPE_ALONE = re.compile(r"(?:.*\s)?type=(?:USER_)?AVC\s*")
_TIME = re.compile(r"\s*msg=audit\(")
_TYPED = re.compile(rb"type=[A-Z_0-9\[\]]+ (?:msg=)?audit\(")
_NEXT_FIELD = re.compile(r"\s*(?:[A-Za-z_]+=|[{}]|for\b|denied\b|granted\b)")
_GLUED = re.compile(rf"(?:(?:host|node)={record.NODE} )?type=[A-Z_0-9]{{1,40}} msg=audit\(")
_DECISION_KINDS = ("AVC", "USER_AVC", "")
_CANDIDATE = re.compile(
    r"avc:|type=(?:USER_)?AVC\b|type=1400\b|type=UNKNOWN\[1400\]|\]: (?:USER_)?AVC "
)
# A line in no known form that is a broken record all the same.
_BROKEN = re.compile(
    r"avc:(?:\s*$|\s+(?:denied|granted)\b)|^\s*(?:[^\s=]+=[^\s=]+ )?type=(?:USER_)?AVC\b"
)
_NOTICE_KINDS = {
    "SELINUX_ERR": "error",
    "MAC_STATUS": "enforcing",
    "MAC_POLICY_LOAD": "policyload",
    "MAC_CONFIG_CHANGE": "boolean",
    "USER_SELINUX_ERR": "error",
    "USER_MAC_POLICY_LOAD": "policyload",
    "USER_MAC_CONFIG_CHANGE": "boolean",
}
_NOTICE_FIELDS = (
    "op seresult scontext tcontext tclass oldcontext newcontext taskcontext invalid_context "
    "enforcing old_enforcing enabled old-enabled bool val old_val lsm seqno"
).split()
_NOTICE_PAIR = re.compile(r'(?:^|[ (])([a-z_-]+)=("[^"]*"|[^\s)\']+)')
_RECEIVED = re.compile(r"avc:\s+received (\w+) notice \(([^()]*)\)")
# Source: security/selinux/ss/services.c of kernels before 3.13, which had no op=.
_OLD_ERROR = re.compile(
    r"security_(compute_sid|validate_transition|bounded_transition|sid_mls_copy): +[^:]*?"
    r"(?:invalid context (\S+) )?(?=for|denied|$)"
)


@dataclass(slots=True)
class _Event:
    """A record in the fast form, and the lines that may belong to its event, as they stand."""

    line: bytes
    origin: Origin
    order: Order
    companions: list[bytes]

    def read(self) -> model.Denial:
        """The denial, joined."""
        head = record.head(_text(self.line, 0)[0])
        assert head is not None
        decided = record.decision(head.body.rstrip(" "), False)
        return _joined(head, decided, self.origin, self.companions)


class Scanner:
    """Reads one log into a tally. `feed` takes bytes in their order, `finish` ends the log.

    ``owned`` is for a part of a log: bytes fed before it are context only, and `finish` is told how
    many fed at the end are. Memory: one block, twice `REACH`, and what the tally keeps.
    """

    def __init__(self, tally: Tally, log: str, context_bytes: int = 0) -> None:
        self.tally = tally
        self.log = log
        tally.logs.add(log)
        self.buf = b""
        self.at = 0  # first byte of buf that is still to be searched
        self.skip = context_bytes  # bytes that belong to the part before
        self.line = 1  # line of the byte at self.mark
        self.mark = 0
        self.overlong = False
        self.vectors: dict[tuple[bytes, bytes], Pile | Literal[False] | None] = {}
        self.generation = tally.generation
        self.held = 0  # bytes of events that wait to be read
        self.known = 0  # objects whose hashes are remembered

    def feed(self, data: bytes) -> None:
        """Search ``data``, but for its end, which waits for what follows."""
        if self.skip:
            self.buf += data
            if len(self.buf) < self.skip:
                return
            self.at = self.mark = self.skip
            self.skip = 0
        else:
            start = max(0, self.at - REACH)
            self.buf = self.buf[start:] + data
            self.at -= start
            self.mark -= start
        end = self.buf.rfind(b"\n", self.at, max(self.at, len(self.buf) - REACH)) + 1
        if end > self.at:
            self._search(end)
        elif len(self.buf) - self.at > LONGEST + REACH:
            self._cut()

    def finish(self, context_bytes: int = 0) -> None:
        """Search the rest, but for ``context_bytes`` that belong to the part that follows."""
        if self.skip:
            self.at = self.mark = min(self.skip, len(self.buf))
        end = len(self.buf) - context_bytes
        if end > self.at:
            self._search(end)
        self.tally.lines += self.line - 1
        if self.buf and not context_bytes and not self.buf.endswith(b"\n"):
            self.tally.lines += 1
        self.tally.read_held()
        self.tally.forget()
        self.buf = b""

    def _cut(self) -> None:
        """A line without end: it is no record, and it must not fill the memory."""
        piece = self.buf[self.at : len(self.buf) - REACH]
        if not self.overlong and any(n in piece for n in (b"=AVC", *_NEEDLES)):
            self._count("AVC")
            self.tally.reject(self._origin(self.at), "a line longer than 1 MiB")
        self.overlong = True
        self.at += len(piece)
        self.mark = self.at

    def _line_at(self, pos: int) -> int:
        """The line of the byte at ``pos``."""
        low, high = sorted((pos, self.mark))
        between = self.buf[low:high]
        # Four times as fast as to count them.
        ends = len(between) - len(between.replace(b"\n", b""))
        self.line += ends if pos >= self.mark else -ends
        self.mark = pos
        return self.line

    def _origin(self, pos: int) -> Origin:
        return Origin(self.log, self._line_at(pos))

    def _count(self, kind: str) -> None:
        self.tally.records[kind or "AVC"] += 1

    def _search(self, end: int) -> None:
        """Search whole lines up to ``end``."""
        buf, start = self.buf, self.at
        if self.overlong:
            start = buf.find(b"\n", start, end) + 1
            if not start:
                self.at = end
                return
            self.overlong = False
        fast, slow = self._fast(start, end)
        for needle in _NEEDLES:
            if needle == b"avc:" and buf.count(needle, start, end) == len(fast):
                continue
            found = buf.find(needle, start, end)
            while found >= 0:
                begin = buf.rfind(b"\n", start, found) + 1 or start
                if begin not in fast:
                    slow.add(begin)
                stop = buf.find(b"\n", found, end)
                found = buf.find(needle, stop, end) if stop >= 0 else -1
        for begin in sorted(slow):
            self._slow(begin)
        self._line_at(end)
        self.at = end

    # -- the fast form ---------------------------------------------------------------------------

    def _fast(self, start: int, end: int) -> tuple[set[int], set[int]]:
        """Count the records in the kernel's plain form.

        Return where their lines begin, and where lines begin that the strict reading has to decide.
        """
        self._keep_up()
        buf, tally, vectors = self.buf, self.tally, self.vectors
        find, match = buf.find, _FAST.match
        done: set[int] = set()
        slow: set[int] = set()
        add = done.add
        at = find(b"=AVC", start, end)
        while at >= 0:
            begin = at - 4
            # Not bounded by ``end``: behind it stands what the record may go on with.
            m = match(buf, begin)
            if begin > start and buf[begin - 1] != 10:
                begin = buf.rfind(b"\n", start, begin) + 1 or start
                if m and not _HOSTS.fullmatch(buf, begin, m.start()):
                    m = None
            if m is None:
                slow.add(begin)
                at = find(b"\n", at, end)
                at = find(b"=AVC", at, end) if at >= 0 else -1
                continue
            at = find(b"=AVC", m.end(), end)
            event, verb, thing, after, tail = m.group(1, 2, 3, 9, 10)
            try:
                pile = vectors[verb, tail]
            except KeyError:
                pile = self._vector(m, verb, tail)
            if pile is False:
                slow.add(begin)
                continue
            add(begin)
            if pile is None:
                tally.dropped += 1
                continue
            pile.count += 1
            high = pile.high
            newest = event > high if len(event) == len(high) else self._newer(pile, event)
            if newest:
                pile.high = event
            elif event != high and later(pile.low, event):
                pile.low = event
            if after:
                thing += after
            digest = pile.known.get(thing)
            if digest is None:
                self._object(pile, m, thing, begin)
                continue
            seen = pile.objects.get(digest)
            if seen is None:
                continue
            seen.count += 1
            if not newest or seen.order[0]:
                self._earlier(pile, digest, m, begin)
        if done:
            tally.records["AVC"] += len(done)
        return done, slow

    def _newer(self, pile: Pile, event: bytes) -> bool:
        if not pile.high:
            pile.low = pile.high = event
            return True
        return later(event, pile.high)

    def _vector(self, m: re.Match[bytes], verb: bytes, tail: bytes) -> Pile | Literal[False] | None:
        """The pile of what makes records equal; False when the strict reading has to decide."""
        if len(self.vectors) > 20_000:
            self.vectors.clear()
        pile: Pile | Literal[False] | None = False
        if _VERB.fullmatch(verb) and _TAIL.fullmatch(tail.removesuffix(b"\r")):
            line = m[0].decode("latin-1").rstrip("\r\n ")
            decided = record.decision(line[line.index("avc: ") :], False)
            if decided.permissive is not None or not _longer(decided.tclass):
                pile = self.tally.pile(key("AVC", decided))
        self._keep_up()
        self.vectors[verb, tail] = pile
        return pile

    def _keep_up(self) -> None:
        """Forget the piles, where the tally has let one go."""
        if self.generation != self.tally.generation:
            self.vectors.clear()
            self.generation = self.tally.generation

    def _object(self, pile: Pile, m: re.Match[bytes], thing: bytes, begin: int) -> None:
        """Meet an object of ``pile`` that is not in its memory: keep it or not."""
        comm, path, name, dev, after = m.group(4, 6, 7, 8, 9)
        identity = _plain(comm)
        if path is not None:
            identity += b"\0path=" + _plain(path)
        elif name is not None:
            identity += b"\0name=" + _plain(name) + b" dev=" + (dev or b"")
        else:
            identity += b"\0"
        if after or m[5]:
            marks = [w for w in after.split() if w.startswith(_MARKS)]
            if m[5]:
                marks.append(m[5])
            identity = b"\0".join([identity, *sorted(marks)])
        digest = int.from_bytes(blake2b(identity, digest_size=8).digest())
        if len(thing) <= _LONGEST_KNOWN:
            self.known += 1
            if self.known > _MOST_KNOWN:
                self.tally.forget()
                self.known = 1
            pile.known[thing] = digest
        if digest > pile.limit:
            pile.more = True
            return
        seen = pile.objects.get(digest)
        if seen is not None:
            seen.count += 1
            self._earlier(pile, digest, m, begin)
        else:
            self.tally.put(pile, digest, self._event(m, begin))

    def _earlier(self, pile: Pile, digest: int, m: re.Match[bytes], begin: int) -> None:
        """Put a record in the place of a later one that stands for its object."""
        seen = pile.objects[digest]
        stamp = raw_stamp(m[1])
        if seen.order[0] or (stamp.ms, stamp.serial) < seen.order[1:3]:
            self.tally.put(pile, digest, self._event(m, begin), 0)

    def _event(self, m: re.Match[bytes], begin: int) -> _Event:
        """The event of a record in the fast form, to be read only if it stays."""
        line = self.buf[begin : m.end()]
        stamp, origin, host = raw_stamp(m[1]), self._origin(begin), ""
        if begin != m.start():
            head = record.head(_text(line, 0)[0])
            assert head is not None
            host = head.host
        assert stamp.ms is not None
        assert stamp.serial is not None
        order = (0, stamp.ms, stamp.serial, host, origin.log, origin.line)
        companions = self._companions(m[1], begin)
        self.held += len(line) + sum(map(len, companions))
        if self.held > _MOST_HELD:
            self.tally.read_held()
            self.held = 0
        return _Event(line, origin, order, companions)

    # -- every other form --------------------------------------------------------------------------

    def _slow(self, begin: int) -> None:
        line, following = _text(self.buf, begin)
        if _TYPE_ALONE.fullmatch(line) and _TIME.match(_text(self.buf, following)[0]):
            return  # It is read with the line that follows.
        if _TIME.match(line):
            start = self.buf.rfind(b"\n", max(0, begin - LONGEST), max(0, begin - 1)) + 1
            before, _ = _text(self.buf, start)
            if _TYPE_ALONE.fullmatch(before):
                begin, line = start, f"{before.rstrip()} {line.lstrip()}"
        if _USER_MESSAGE.match(line):
            # Its head was wrapped into lines before, which hold nothing that is searched for.
            heads = [m.end() for m in _USER_HEAD.finditer(self.buf, max(0, begin - 1024), begin)]
            if heads and b"msg='" not in self.buf[heads[-1] : begin]:
                begin = self.buf.rfind(b"\n", 0, heads[-1]) + 1
                line, following = _text(self.buf, begin)
        pieces = _split(line)
        for index, (piece, glued) in enumerate(pieces):
            last = index == len(pieces) - 1
            self._record(piece, glued, begin, following if last else None)

    def _record(self, piece: str, glued: bool, begin: int, following: int | None) -> None:
        """One record that stands in the line at ``begin``; it may go on at ``following``."""
        try:
            head = record.head(piece)
        except Malformed as exc:
            if _CANDIDATE.search(piece):
                self._count("AVC")
                self.tally.reject(self._origin(begin), str(exc))
            return
        if head is None:
            if _BROKEN.search(piece):
                self._count("AVC")
                reason = "an access decision inside other text"
                if "=3D" in piece:
                    reason = "quoted-printable, as a mail is sent (=3D is =): decode it"
                self.tally.reject(self._origin(begin), reason)
            return
        if head.kind in _NOTICE_KINDS:
            self._count(head.kind)
            self._notice(head, begin)
            return
        if head.kind not in _DECISION_KINDS:
            if re.search(r"avc:\s+(?:denied|granted)\s", head.body):
                self._count(head.kind)
                self.tally.reject(
                    self._origin(begin), f"an access decision inside a record of type {head.kind}"
                )
            return
        self._count(head.kind)
        if not record.is_decision(head.body):
            self._notice(head, begin)
            return
        try:
            decided = self._whole(head, glued, following, record.mark(piece))
        except Malformed as exc:
            self.tally.reject(self._origin(begin), str(exc))
            return
        pile = self.tally.pile(key(head.kind or "AVC", decided))
        if pile is None:
            self.tally.dropped += 1
            return
        pile.count += 1
        origin = self._origin(begin)
        self.tally.time(pile, head.stamp, origin)
        if head.stamp.ms is not None and re.fullmatch(r"\d{10}\.\d{3}:\d+", head.event):
            event = head.event.encode()
            if self._newer(pile, event):
                pile.high = event
            elif later(pile.low, event):
                pile.low = event
        digest = object_hash(join.identity(decided, head.interpreted))
        if not self.tally.wants(pile, digest):
            return
        seen = pile.objects.get(digest)
        ms = head.stamp.ms
        if seen is not None and ms is not None and (0, ms) > seen.order[:2]:
            seen.count += 1
            return
        companions: list[bytes] = []
        if head.event and head.stamp.serial is not None:
            companions = self._companions(head.event.encode("latin-1"), begin)
        self.tally.put(pile, digest, _joined(head, decided, self._origin(begin), companions))

    def _whole(self, head: Head, glued: bool, following: int | None, mark: str) -> Decision:
        """The decision of ``head``, with the lines that it was wrapped into; ``mark`` stands before
        each of them. Raises Malformed.
        """
        body, enriched, _ = head.body.partition("\x1d")
        if glued and not body.endswith(("permissive=0", "permissive=1", "'")):
            raise Malformed("runs into the next record")
        # What enriches a record stands at its end: no further line belongs to it.
        at = None if enriched else following
        failure = Malformed("wrapped over too many lines")
        for attempt in range(12):
            line, after = ("", 0) if at is None or at >= len(self.buf) else _text(self.buf, at)
            line = record.unmarked(line, mark)
            other = _GLUED.search(line, 1) if "audit(" in line else None
            if other and _ends(body, line[: other.start()]):
                # Text that was filled anew: another record follows in the line.
                line, after = line[: other.start()], len(self.buf)
            try:
                found = _decide(head, body)
                self._check_end(found, at is None or at <= len(self.buf), line)
            except Malformed as exc:
                if attempt == 0:
                    failure = exc
                message = _USER_MESSAGE.match(line) and "msg=" not in body
                if not line or len(body) > 8192 or (_START.match(line) and not message):
                    break
                more, enriched, _ = line.partition("\x1d")
                body, at = _append(body, more), None if enriched else after
                continue
            if found.permissive is None and re.fullmatch(r"\s*permissive=[01]\s*", line):
                return _decide(head, _append(body, line))
            return found
        raise failure

    def _check_end(self, found: Decision, ended: bool, following: str) -> None:
        """Refuse a class that may have lost its end; ``following`` is the next line."""
        if found.permissive is not None or not _longer(found.tclass):
            return
        if found.tclass not in classes() or not ended:
            raise Malformed("the record is cut inside tclass")
        rest = re.match(r"[a-z0-9_]+", following)
        if rest and found.tclass + rest[0] in classes():
            raise Malformed("tclass may go on in the next line")

    def _companions(self, event: bytes, begin: int) -> list[bytes]:
        """Lines near ``begin`` with records of ``event``, each with what it may go on in."""
        buf = self.buf
        needle = b"audit(" + event + b")"
        low, high = max(0, begin - REACH), min(len(buf), begin + REACH)
        lines: list[bytes] = []
        found = buf.find(needle, low, high)
        while found >= 0 and len(lines) < 64:
            start = buf.rfind(b"\n", 0, found) + 1
            stop = buf.find(b"\n", found, high)
            end = stop if stop >= 0 else buf.find(b"\n", high)
            for _ in range(12):
                if end < 0 or _TYPED.match(buf, end + 1):
                    break
                end = buf.find(b"\n", end + 1)
            lines.append(buf[start : end + 1] if end >= 0 else buf[start:])
            found = buf.find(needle, stop, high) if stop >= 0 else -1
        return lines

    def _notice(self, head: Head, begin: int) -> None:
        received = _RECEIVED.search(head.body)
        pairs = [
            (k, record.text(v.strip('"')))
            for k, v in _NOTICE_PAIR.findall(head.body.partition("\x1d")[0])
            if k in _NOTICE_FIELDS
        ]
        if received:
            kind = {"setenforce": "enforcing", "policyload": "policyload"}.get(received[1], "other")
            pairs = [(k, record.text(v)) for k, _, v in [received[2].partition("=")]]
        elif head.kind in _NOTICE_KINDS:
            kind = _NOTICE_KINDS[head.kind]
            old = _OLD_ERROR.match(head.body)
            if old and kind == "error":
                pairs.insert(0, ("op", "security_" + old[1]))
                if old[2]:
                    pairs.append(("invalid_context", record.text(old[2])))
        else:
            kind = "other"
        text = " ".join(f"{k}={v}" for k, v in pairs if k != "seqno")[:500]
        if not text:
            text = f"{received[1]} notice" if received else record.text(head.body.strip())[:200]
        self.tally.notice(Notice(kind, text, 1, self._origin(begin), head.stamp, tuple(pairs)))


def _text(buf: bytes, begin: int) -> tuple[str, int]:
    """The line at ``begin`` without its end, and where the next one begins."""
    stop = buf.find(b"\n", begin)
    stop = len(buf) if stop < 0 else stop
    if stop - begin > LONGEST:
        return "", stop + 1
    return buf[begin:stop].decode("latin-1").rstrip("\r"), stop + 1


def _joined(
    head: Head, decided: Decision, origin: Origin, companions: Iterable[bytes]
) -> model.Denial:
    """The denial with what the other records of its event tell."""
    found = [other for lines in companions for other in _companion(lines, head)]
    return join.join(head, decided, origin, found)


def _companion(lines: bytes, head: Head) -> list[Head]:
    """Records of the event of ``head`` in the first line, with the lines that it goes on in."""
    line, at = _text(lines, 0)
    found = []
    pieces = _split(line)
    for index, (piece, _) in enumerate(pieces):
        try:
            other = record.head(piece)
        except Malformed:
            continue
        if other is None or other.kind not in join.COMPANIONS:
            continue
        if (other.event, other.host) != (head.event, head.host):
            continue
        body = other.body
        if index == len(pieces) - 1:
            mark = record.mark(piece)
            while at < len(lines):
                more, at = _text(lines, at)
                more = record.unmarked(more, mark)
                if _START.match(more):
                    break
                body += " " + more.strip()
        found.append(
            Head(other.kind, other.host, other.event, other.stamp, other.interpreted, body)
        )
    return found


def key(kind: str, decided: Decision) -> tuple[str, ...]:
    """The same as `model.vector`, before there is a denial."""
    source, target = decided.source, decided.target
    return (
        kind,
        "granted" if decided.granted else "denied",
        source.user,
        source.role,
        source.type,
        target.user,
        target.role,
        target.type,
        decided.tclass,
        " ".join(decided.permissions),
        {None: "", False: "0", True: "1"}[decided.permissive],
        model.compare_levels(source.level, target.level),
    )


@cache
def classes() -> frozenset[str]:
    """Names of the classes that the targets' policies know."""
    from wsgi_sepkg.targets import known_classes

    return known_classes()


@cache
def _longer(tclass: str) -> bool:
    """Whether ``tclass`` is the beginning of another class: it may be what a cut has left."""
    return any(c != tclass and c.startswith(tclass) for c in classes())


def _plain(raw: bytes) -> bytes:
    """`record.string` of a name in the fast form, which is quoted and plain, or hexadecimal."""
    return raw[1:-1] if raw[0] == 34 else record.string(raw.decode(), False).encode()


def _decide(head: Head, body: str) -> Decision:
    body = body.replace("\t", " ").rstrip(" ")
    if head.kind == "USER_AVC":
        body = record.user_body(body)
    return record.decision(body, head.interpreted)


def _split(line: str) -> list[tuple[str, bool]]:
    """Records that share a line, each with whether the next one is glued to its end.

    Text inside open quotes is no record: a user may have written it.
    """
    if line.count("audit(") < 2 and "avc:" not in line.partition("audit(")[0]:
        return [(line, False)]
    cuts, at, single, double, record_before = [0], 0, 0, 0, False
    for start in (m.start() for m in _GLUED.finditer(line)):
        between = line[at:start]
        single += between.count("'")
        double += between.count('"')
        # What stands before may be the prefix of syslog; then it is one record.
        record_before = record_before or "avc:" in between or "audit(" in between
        at = start
        if start and record_before and single % 2 == 0 and double % 2 == 0:
            cuts.append(start)
            single = double = 0
            record_before = False
    cuts.append(len(line))
    pieces = []
    for begin, end in pairwise(cuts):
        piece = line[begin:end]
        glued = end != len(line) and not piece.endswith((" ", "\t"))
        pieces.append((piece.rstrip(" \t") if end != len(line) else piece, glued))
    return pieces


def _ends(body: str, line: str) -> bool:
    """Whether the record that goes on in ``line`` visibly ends there, outside of any quotes."""
    both = body + line
    return line.endswith((" permissive=0 ", " permissive=1 ")) and not (
        both.count('"') % 2 or both.count("'") % 2
    )


def _append(body: str, line: str) -> str:
    """``body`` with the line it goes on in: wrapped between words, or in the middle of one."""
    stripped = body.rstrip(" \t")
    if stripped.endswith("\\"):
        return stripped[:-1].rstrip() + " " + line.strip()
    inside_braces = stripped.count("{") > stripped.count("}")
    if body != stripped or line[:1].isspace() or inside_braces or _NEXT_FIELD.match(line):
        return stripped + " " + line.strip()
    return stripped + line.strip()
