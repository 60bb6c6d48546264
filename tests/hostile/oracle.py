"""A second reader of access decisions, written apart from the program's, slow and strict.

It knows one thing: whether a piece of text is one whole access decision, and which. It reads from
left to right with string methods; the program's reader uses regular expressions. It shares no code
with it. Where the two disagree about an acceptance, one of them is wrong.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import product

LOWER = set(string.ascii_lowercase)
WORD = LOWER | set(string.digits) | {"_"}
IDENT = WORD | set(string.ascii_uppercase) | {"."}
USER = IDENT | {"-"}
NUMBERED = {"<audit-1400>": "AVC", "<audit-1107>": "USER_AVC"}
VECTOR = ("scontext", "tcontext", "tclass", "permissive")
BARE = set("comm path name exe cwd cmdline key_desc kmod ocomm srawcon trawcon".split())
KEYS = (
    "pid comm path name dev ino scontext tcontext tclass permissive capability ioctlcmd laddr "
    "lport faddr fport saddr daddr src dest netif opid ocomm key_serial key_desc kmod auid uid gid "
    "exe sauid hostname addr terminal cmdline function msgtype interface member spid tpid "
    "srawcon trawcon resid restype request cwd proctitle"
).split()


@dataclass(frozen=True)
class Vector:
    """What the record says that becomes policy."""

    granted: bool
    source: str
    target: str
    tclass: str
    permissions: frozenset[str]
    permissive: str
    comm: str | None
    name: str | None
    path: str | None


class No(Exception):
    """Not a sound record."""


def readings(piece: str, limit: int = 4) -> set[Vector]:
    """Every sound decision that ``piece`` can be; its line ends may stand in or between words."""
    body = piece.rstrip("\n")
    lines = [line.rstrip("\r") for line in body.split("\n")]
    found = set()
    for first in range(len(lines)):
        for last in range(first, min(len(lines), first + limit + 1)):
            rest = [plain(line, lines[first]) for line in lines[first + 1 : last + 1]]
            for gaps in product((" ", ""), repeat=last - first):
                text = lines[first]
                for gap, line in zip(gaps, rest, strict=True):
                    text = (
                        text.rstrip(" \t\\") + gap + line.strip()
                        if gap
                        else (text.rstrip(" \t") + line.strip())
                    )
                for start in starts(text):
                    try:
                        found.add(decision(text[start:]))
                    except No:
                        continue
    return found


def plain(line: str, first: str) -> str:
    """``line`` without the marks of a mail or a comment, where ``first`` begins with the same."""
    (one, _), (other, end) = marks(first), marks(line)
    if not one or one != other:
        return line
    return line[end:].removeprefix(" ")


def marks(text: str) -> tuple[str, int]:
    """The marks in front of ``text``, and where the last of them ends."""
    found, end, at = "", 0, 0
    while at < len(text):
        one = "//" if text.startswith("//", at) else text[at]
        if one not in ("//", ">", "#", " ", "\t"):
            break
        at += len(one)
        if one.strip():
            found, end = found + one, at
    return found, end


def starts(text: str) -> list[int]:
    """Where a record may begin in a line: at its front, or after a whole record."""
    found = [0]
    at = text.find("type=")
    while at >= 0:
        before = text[:at]
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            found.append(at)
        at = text.find("type=", at + 1)
    return found


def decision(line: str) -> Vector:
    """Read one line. Raises No."""
    line = line.split("\x1d")[0]
    at = line.find("avc:")
    if at < 0:
        raise No
    head, body = line[:at], line[at:].replace("\t", " ").rstrip(" ")
    quoted = head.rstrip(" ").endswith("msg='")
    dated = heading(head, quoted)
    # A second record in the same line ends the first.
    cut = body.find("type=")
    while cut > 0:
        head_follows = body[cut:].partition(" ")[2].startswith("msg=audit(")
        if body[:cut].count('"') % 2 == 0 and head_follows:
            body = unglued(body[:cut])
            break
        cut = body.find("type=", cut + 1)
    ticked = body.rstrip("`")
    if (
        ticked.rpartition(" ")[2].startswith(("tclass=", "permissive="))
        and len(body) - len(ticked) < 4
    ):
        body = ticked
    if quoted:
        body = plain_end(body)
        if not body.endswith("'") or body.count("'") != 1:
            raise No
        body = body[:-1]
    for char in body:
        if ord(char) < 32 or ord(char) == 127:
            raise No
    rest = body[4:].lstrip(" ")
    for verdict in ("denied", "granted"):
        if rest.startswith(verdict + " "):
            rest = rest[len(verdict) :].lstrip(" ")
            break
    else:
        raise No
    if not rest.startswith("{"):
        raise No
    inner, brace, rest = rest[1:].partition("}")
    if not brace or "{" in inner:
        raise No
    permissions = inner.split()
    if not permissions or any(not name(p) for p in permissions):
        raise No
    if not (rest.startswith(" ") and (rest.lstrip(" ") + " ").startswith("for ")):
        raise No
    pairs = split_pairs(rest.lstrip(" ")[3:], dated)
    for key in VECTOR[:3]:
        if key not in pairs:
            raise No
    check_context(pairs["scontext"])
    check_context(pairs["tcontext"])
    if not name(pairs["tclass"]):
        raise No
    permissive = pairs.get("permissive", "")
    if permissive not in ("", "0", "1"):
        raise No
    for key in ("pid", "ino"):
        got = pairs.get(key, "0")
        blotted = got == "..." or (len(got) > 1 and set(got) <= set("xXYZN#*"))
        if not blotted and not (got.isascii() and got.isdigit()):
            raise No
    return Vector(
        verdict == "granted",
        pairs["scontext"],
        pairs["tcontext"],
        pairs["tclass"],
        frozenset(permissions),
        permissive,
        *(value(pairs.get(key), dated) for key in ("comm", "name", "path")),
    )


def plain_end(text: str) -> str:
    """A user's message without the names of its users behind it."""
    message, quote, behind = text.removesuffix("`").rpartition("'")
    if not behind:
        return text.removesuffix("`")
    words = behind.removeprefix("^]").split()
    ids = {"UID", "AUID", "SAUID", "GID", "OUID", "ID"}
    named = [w.partition("=") for w in words]
    if words and all(k in ids and v[:1] == v[-1:] == '"' and len(v) > 1 for k, _, v in named):
        return message + quote
    return text


def unglued(text: str) -> str:
    """A record that another one follows in its line. Raises No when its end is not sure."""
    ended = text.rstrip(" ")
    for prefix in ("node=", "host="):
        before, found, host = ended.rpartition(prefix)
        if found and host and set(host) <= USER | {":", ","}:
            text, ended = before, before.rstrip(" ")
            break
    if text == ended and not ended.endswith(("permissive=0", "permissive=1", "'")):
        raise No
    return ended


def heading(head: str, quoted: bool) -> bool:
    """Whether the head is that of an interpreted record. Raises No for none that is known."""
    text = head.rstrip(" ")
    kind = ""
    if "audit(" in text:
        before, _, after = text.rpartition("audit(")
        stamp, close, tail = after.partition(")")
        if not close:
            raise No
        if quoted:
            if not tail.startswith(":") and not tail.lstrip(" ").startswith(":"):
                raise No
        elif tail.strip(" ") != ":":
            raise No
        dated = check_stamp(stamp)
        words = before.replace("msg=", "").lstrip(" \t>#/").split()
        kind = words[-1] if words else ""
        if kind.startswith("type="):
            kind = kind[5:]
            if kind not in ("AVC", "USER_AVC", "1400", "1107", "UNKNOWN[1400]", "UNKNOWN[1107]"):
                raise No
            before = before[: before.rindex("type=")]
        elif kind not in ("", "kernel:", "audit:") and not kind.endswith("]"):
            raise No
    else:
        dated = False
        before = text
        words = text.split()
        untimed = [w for w in words if w in ("type=AVC", "type=USER_AVC")]
        if len(untimed) == 1 and (words[-1] == "type=AVC" or quoted):
            start = words.index(untimed[0])
            if any("=" in w and not w.startswith(("node=", "host=")) for w in words[:start]):
                raise No
            if quoted and (untimed[0] == "type=AVC" or not words[start + 1].startswith("pid=")):
                raise No
            return False
        words = [NUMBERED.get(word, word) for word in words]
        if quoted or (words and words[-1] in ("AVC", "USER_AVC")):
            named = [w for w in words if w in ("AVC", "USER_AVC")]
            alone = text.lstrip(" \t>#/`") in ("AVC", "1:AVC")
            if not named or not ("audit[" in text or "audit:" in text or alone):
                raise No
            kind = named[0]
            before = " ".join(words[: words.index(kind)])
    if quoted and kind not in ("USER_AVC", "1107", "UNKNOWN[1107]"):
        raise No
    if len(before.strip()) > 1000 or '"' in before or "'" in before:
        raise No
    for word in before.split():
        if "=" in word and not word.startswith(("node=", "host=")):
            raise No
    return dated


def check_stamp(stamp: str) -> bool:
    """Whether the time is written out. Raises No."""
    time, _, serial = stamp.rpartition(":")
    shown = stamp.lstrip(string.digits)
    if stamp != shown and shown[:2].upper() == "XX" and set(shown) <= set("xX.:" + string.digits):
        return False
    if stamp.endswith("...") and set(stamp[:-3]) <= set(string.digits) and len(stamp) <= 13:
        return False
    if stamp and all(c in "XYZN#*0123456789.:" for c in stamp) and stamp[0] in "XYZN#*":
        return False
    if not (serial.isascii() and serial.isdigit()):
        raise No
    seconds, dot, ms = time.partition(".")
    if dot and seconds.isascii() and seconds.isdigit() and ms.isascii() and ms.isdigit():
        # setroubleshoot leaves the zeros in front of the milliseconds away.
        if not (9 <= len(seconds) <= 11 and 1 <= len(ms) <= 3):
            raise No
        return False
    clock = time[-12:]
    shape = "".join("9" if c.isascii() and c.isdigit() else c for c in clock)
    if shape != "99:99:99.999" or time[-13:-12] != " ":
        raise No
    return True


def split_pairs(text: str, dated: bool) -> dict[str, str]:
    """Pairs of key and value. Raises No for anything that is none, and for a key said twice."""
    pairs: dict[str, str] = {}
    at = 0
    while True:
        while at < len(text) and text[at] == " ":
            at += 1
        if at == len(text):
            return pairs
        dots = text[at:].partition(" ")[0]
        if dots in ("...", "[...]") and not dated and not set(VECTOR[:3]) & set(pairs):
            at += len(dots)
            if at == len(text):
                raise No
            continue
        equals = text.find("=", at)
        if equals < 0:
            raise No
        key = text[at:equals]
        if key in ("type", "msg"):
            raise No
        if not key or not (key[0].isalpha() or key[0] == "_") or not set(key) <= USER - {"."}:
            raise No
        at = equals + 1
        if text[at : at + 1] == '"':
            end = text.find('"', at + 1)
            if end < 0 or text[end + 1 : end + 2] not in ("", " "):
                raise No
            got, at = text[at : end + 1], end + 1
        elif dated and key in BARE:
            ends = [e for k in KEYS if (e := text.find(f" {k}=", at)) >= 0]
            end = min(ends, default=len(text))
            got, at = text[at:end].rstrip(" "), end
        else:
            end = text.find(" ", at)
            end = len(text) if end < 0 else end
            got, at = text[at:end], end
            if '"' in got:
                raise No
        if key in pairs:
            raise No
        pairs[key] = got


def value(raw: str | None, dated: bool) -> str | None:
    """A name, as bytes in latin-1; None where there is none. Raises No."""
    if raw is None:
        return None
    if raw.startswith('"'):
        return raw[1:-1]
    if dated:
        return raw
    if raw and len(raw) % 2 == 0 and set(raw) <= set("0123456789ABCDEF"):
        return bytes.fromhex(raw).decode("latin-1").rstrip("\0")
    return raw


def name(word: str) -> bool:
    """Whether ``word`` can be a class or a permission."""
    return bool(word) and word[0] in LOWER and set(word) <= WORD


def check_context(text: str) -> None:
    """Raises No unless ``text`` is a context."""
    parts = text.split(":", 3)
    if len(parts) < 3:
        raise No
    block, dot, inner = parts[2].partition(".")
    if "-" in block and block[:1].isalpha() and inner[:1] not in {*string.digits, ".", ""}:
        # Only the name of a block may have hyphens.
        parts[2] = block.replace("-", "_") + dot + inner
    for part, allowed in zip(parts, (USER, IDENT, IDENT), strict=False):
        if not part or not set(part) <= allowed or part[0] in string.digits + ".-":
            raise No
    if len(parts) == 4:
        level = parts[3]
        if not level:
            raise No
        if level[0] in string.ascii_uppercase:
            if not set(level) <= USER | {",", ":"}:
                raise No
            return
        ends = level.split("-")
        if len(ends) <= 2 and all(end_of_range(end) for end in ends):
            return
        sens, _, named = level.partition(":")
        translated = named[:1] in set(string.ascii_uppercase) and set(named) <= USER | {",", ":"}
        if not (end_of_range(sens) and translated):
            raise No


def end_of_range(text: str) -> bool:
    """Whether ``text`` is a sensitivity with categories."""
    sens, colon, cats = text.partition(":")
    if not (sens[:1] == "s" and sens[1:].isascii() and sens[1:].isdigit()):
        return False
    if not colon:
        return True
    words = cats.replace(".", ",").split(",")
    return all(w[:1] == "c" and w[1:].isascii() and w[1:].isdigit() for w in words)
