"""One audit record as text: its head, its fields, and the strict reading of an access decision.

The grammar is what the kernel (security/selinux/avc.c, security/lsm_audit.c, kernel/audit.c), the
userspace object managers (libselinux avc.c, dbus, systemd), auditd, ausearch and journald write.
Whatever departs from it is refused with the reason: a wrong denial would become a wrong grant.

Lines are handled as text in which each character is one byte (latin-1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from wsgi_sepkg.denials.model import SecurityContext, Stamp


class Malformed(ValueError):
    """A record that must not be believed; the text says why."""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the body of a record.

    ``kind`` is the name of the record type ("" for a bare ``avc:``); ``event`` the text between the
    parentheses of ``audit(...)``, "" where the form of the log drops it; ``interpreted`` whether
    ausearch has already translated the fields.
    """

    kind: str
    host: str
    event: str
    stamp: Stamp
    interpreted: bool
    body: str


# include/uapi/linux/audit.h
NUMBERS = {
    "1107": "USER_AVC",
    "1300": "SYSCALL",
    "1302": "PATH",
    "1306": "SOCKADDR",
    "1307": "CWD",
    "1309": "EXECVE",
    "1327": "PROCTITLE",
    "1400": "AVC",
    "1401": "SELINUX_ERR",
    "1402": "AVC_PATH",
    "1403": "MAC_POLICY_LOAD",
    "1404": "MAC_STATUS",
    "1405": "MAC_CONFIG_CHANGE",
}

# include/uapi/linux/capability.h, in the order of their numbers
CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
    "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio "
    "sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time "
    "sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog "
    "wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
).split()

# What is decided, and becomes policy.
VECTOR = ("scontext", "tcontext", "tclass")
# Fields that hold names chosen by users; ausearch -i writes them without quotes, spaces and all.
TEXTS = frozenset(
    "comm path name exe cwd proctitle cmdline key_desc kmod ocomm srawcon trawcon".split()
)
# Where such a text may end in an interpreted record: the next of these.
_KNOWN = (
    "pid comm path name dev ino scontext tcontext tclass permissive capability ioctlcmd laddr "
    "lport faddr fport saddr daddr src dest netif opid ocomm key_serial key_desc kmod auid uid gid "
    "exe sauid hostname addr terminal cmdline function msgtype interface member spid tpid "
    "srawcon trawcon resid restype request cwd proctitle"
).split()
_NEXT = re.compile(r" (?:" + "|".join(_KNOWN) + r")=")

_DATE = (
    r"(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|[^\s\d\[\]=:\"']{2,12} {1,2}\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)?)"
)
# Somebody else's words in a mail, or a comment of a script: the mark stands before every line.
_MARK = r"[ \t]*(?:(?:[>#]|//)[ \t]?){0,8}"
_MARKED = re.compile(_MARK)
# An item of a list in Markdown, a line of a diff, or one that a pastebin numbered.
_ITEM = r"(?:[-*+] {0,3}|\d{1,6}[.)] {1,3})?"
# The name or address of a host that auditd or a collector puts before a record.
NODE = r"[A-Za-z0-9_.:-]{1,255}(?<!:)"
# What grep, a mail program or Markdown put before a line; what a shipper or journalctl (with
# -o cat, short-monotonic or --no-hostname) leaves of the usual date, host and tag. Nothing that a
# user can write into a log of the system stands before a record in these places. A host in angle
# brackets is one that somebody took out.
_PREFIX = re.compile(
    rf"{_MARK}{_ITEM}(?P<tick>`{{0,3}})"
    r"(?:\d{1,9}:|[A-Za-z0-9_./-]{1,255}:(?:\d{1,9}:)?(?=type=|node=|host=))?"
    rf"(?:(?:host|node)=(?P<node>{NODE}),? +)*"
    r"(?:<\d{1,3}>)?"
    rf"(?:(?P<date>{_DATE}) (?P<host>[A-Za-z0-9_.:-]{{1,255}}|<[A-Za-z_-]{{1,40}}>) "
    r"(?P<tag>[A-Za-z0-9_./@-]{1,64})"
    # systemd's word before the message, where it has no right to write to the audit log.
    r"(?:\[\d+\])?:(?: selinux: (?=avc:)| |(?![A-Z]))"
    rf"|(?:(?P<date2>{_DATE}) |\[ {{0,8}}\d{{1,8}}\.\d{{6}}\] |\.{{3}} ?)?"
    r"(?:(?P<host2>[A-Za-z0-9_.-]{1,255}) )?"
    r"(?P<tag2>audit|kernel)(?:\[\d+\])?: (?!avc:)"
    rf"|(?P<date3>{_DATE}) (?=type=|node=|host=))?"
    # On a serial console the kernel's messages stand behind the prompt.
    r"(?:(?:[A-Za-z0-9_.-]{1,64} login: )?"
    r"\[ {0,8}\d{1,8}\.\d{6}\](?:\[ {0,8}[TC]\d{1,8}\])? "
    r"|\[[A-Z][a-z]{2} [A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d \d{4}\] )?"
    r"(?:audit: )?"
    rf"(?:(?:host|node)=(?P<node2>{NODE}),? +)?"
)
# Markdown that was opened in a line before.
_TICKED = re.compile(r"( (?:tclass=[a-z0-9_]+|permissive=[01]))`{1,3}$")
_TYPED = re.compile(
    r"type=(?:(?P<type>[A-Z][A-Z0-9_]*)|(?P<number>\d{4})|UNKNOWN\[(?P<unknown>\d{4})\]) "
    r"(?:msg=)?audit\((?P<event>[^()]{1,80})\) {0,2}: ?"
)
# What is left when the time was taken out of a record before it was shown.
_UNTIMED = re.compile(r"type=(AVC|USER_AVC) (?=avc: |pid=\d+ )")
# journald names the types that it does not know by their number.
_JOURNAL = re.compile(r"(<audit-\d{4}>|[A-Z][A-Z0-9_]*) ")
_JOURNAL_ALONE = re.compile(r"(AVC) (?=avc: )")
_OLD = re.compile(r"audit\((?P<event>[^()]{1,80})\): ?(?=avc: )")
# setroubleshoot (audit_data.py) writes the milliseconds without the zeros in front.
_RAW_EVENT = re.compile(r"(\d{9,11})\.(\d{1,3}):(\d{1,20})")
# A date by strftime("%x %T") in some locale; ausearch's own form.
_DATE_EVENT = re.compile(r"([^()=:\"'{}\x00-\x1f\x7f]{1,40}? \d\d:\d\d:\d\d\.\d{3}):(\d{1,20})")
# A time that somebody blotted out, or cut short, before showing the record.
_BLOTTED_EVENT = re.compile(
    r"[XYZN#*]{2,}(?:[.:][XYZN#*\d]+)*|\d{0,10}\.{3}"
    r"|\d{1,10}[xX]{2,10}(?:[.:][xX\d]{1,20})*"
)
_ISO = re.compile(r"\d{4}-.*(?:Z|[+-]\d\d:?\d\d)")

_DECISION = re.compile(
    r"avc:[ ]{1,4}(?P<verdict>denied|granted)[ ]{1,4}\{(?P<permissions>[^{}]*)\}[ ]{1,4}for(?= |$)"
)
_PERMISSION = re.compile(r"[a-z][a-z0-9_]*")
_KEY = re.compile(r" +([A-Za-z_][A-Za-z0-9_-]*)=")
_QUOTED = re.compile(r'"([^"]*)"(?= |$)')
_CURLY = re.compile(
    "(?:\u00e2\u0080[\u009c\u009d])([^\u00e2 ]*)(?:\u00e2\u0080[\u009c\u009d])(?= |$)"
)
_TOKEN = re.compile(r"[^ \"]+(?= |$)")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+~,()\[\]%*#=?!^$|{}-]*")
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
# CIL lets a name hold a hyphen (udica calls a block after its container: web-app.process). Without
# a block in front it is refused: it may be what a hyphenated line has left.
_CONTEXT = re.compile(
    r"([A-Za-z_][A-Za-z0-9_.-]*):([A-Za-z_][A-Za-z0-9_.]*)"
    r":((?:[A-Za-z][A-Za-z0-9_-]*\.)?[A-Za-z_][A-Za-z0-9_.]*)(?::(.+))?"
)
_CATEGORIES = r"(?::c\d{1,5}(?:[.,]c\d{1,5})*)?"
_LEVEL = re.compile(rf"s\d{{1,5}}{_CATEGORIES}(?:-s\d{{1,5}}{_CATEGORIES})?")
# Translated by mcstransd: names that an administrator chose.
_TRANSLATED = re.compile(r"(?:s\d{1,5}:)?[A-Z][A-Za-z0-9_.,:-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1c\x1e\x1f\x7f]")
_NUMBER = re.compile(r"\d{1,20}")
_BLOTTED = re.compile(r"\.{3}|[xXYZN#*]{2,20}")
# Fields that somebody left out before showing the record.
_LEFT_OUT = re.compile(r" +(?:\.{3}|\[\.{3}\])(?= )")
# auditd's enrichment of a user's message, without the character 0x1d that a terminal swallows or
# less shows as two.
_ENRICHED = re.compile(r"'(?: |\^\])?(?:(?:UID|AUID|SAUID|GID|OUID|ID)=\"[^\"']*\" ?)+$")
_USER_BODY = re.compile(r"(?:user )?(?:(?!msg=|type=)[a-z]+=[^ '\"()]* )*msg='")


def head(line: str) -> Head | None:
    """Read the head of ``line``; None when the line is no audit record in any known form."""
    prefix = _PREFIX.match("" if line.startswith("type=") else line)
    assert prefix is not None  # it matches nothing, too
    at = prefix.end()
    if line.endswith("`"):
        line = line.rstrip(" `") if prefix["tick"] else _TICKED.sub(r"\1", line)
    node = prefix["node"] or prefix["node2"]
    host = text(node or prefix["host"] or prefix["host2"] or "")
    date = prefix["date"] or prefix["date2"] or prefix["date3"] or ""
    tag = prefix["tag"] or prefix["tag2"]
    typed = _TYPED.match(line, at)
    if typed:
        number = typed["number"] or typed["unknown"]
        kind = typed["type"] or NUMBERS.get(number, number)
        stamp, interpreted = _stamp(typed["event"])
        return Head(kind, host, typed["event"], stamp, interpreted, line[typed.end() :])
    untimed = _UNTIMED.match(line, at)
    if untimed:
        return Head(untimed[1], host, "", _dated(date), False, line[untimed.end() :])
    named = _JOURNAL.match(line, at) if tag == "audit" else _JOURNAL_ALONE.match(line, at)
    if named and (tag == "audit" or not (tag or node)):
        kind = named[1].strip("<>").removeprefix("audit-")
        return Head(NUMBERS.get(kind, kind), host, "", _dated(date), False, line[named.end() :])
    old = _OLD.match(line, at)
    if old and tag in (None, "kernel") and not node:
        stamp, interpreted = _stamp(old["event"])
        return Head("AVC", host, old["event"], stamp, interpreted, line[old.end() :])
    if line.startswith("avc: ", at):
        return Head("", host, "", _dated(date), False, line[at:])
    return None


def _stamp(event: str) -> tuple[Stamp, bool]:
    raw = _RAW_EVENT.fullmatch(event)
    if raw:
        ms = int(raw[1]) * 1000 + int(raw[2])
        return Stamp(ms, int(raw[3]), event), False
    dated = _DATE_EVENT.fullmatch(event)
    if dated:
        # Local time of an unknown zone, in a locale that may put the month first: left as text.
        return Stamp(None, int(dated[2]), text(dated[1])), True
    if _BLOTTED_EVENT.fullmatch(event):
        return Stamp(None, None, ""), False
    raise Malformed("the time and serial of the event cannot be read")


def _dated(date: str) -> Stamp:
    if not _ISO.fullmatch(date):
        return Stamp(None, None, text(date))
    try:
        when = datetime.fromisoformat(date.replace(",", "."))
    except ValueError:
        return Stamp(None, None, text(date))
    return Stamp(int(when.astimezone(UTC).timestamp() * 1000), None, date)


def text(value: str) -> str:
    """``value`` (one character a byte) as text; what is not printable UTF-8 becomes ``\\xNN``."""
    if value.isascii() and value.isprintable():
        return value
    decoded = value.encode("latin-1").decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() else "".join(f"\\x{b:02x}" for b in c.encode("utf-8")) for c in decoded
    )


def unhex(value: str) -> str:
    """The bytes that ``value`` gives in hexadecimal, one character a byte."""
    return bytes.fromhex(value).decode("latin-1")


def fields(body: str, interpreted: bool) -> dict[str, str]:
    """Read ``key=value`` pairs, in their order; values keep their quotes.

    Dots may stand for fields in front of the contexts: those name the object and the program.
    Raises Malformed for other text between the fields and for a field that is said twice.
    """
    found: dict[str, str] = {}
    body = " " + body.rstrip(" ")
    at = 0
    while at < len(body):
        key = _KEY.match(body, at)
        if key is None:
            left_out = _LEFT_OUT.match(body, at)
            if left_out and not interpreted and found.keys().isdisjoint(VECTOR):
                at = left_out.end()
                continue
            raise Malformed("text that belongs to no field")
        at = key.end()
        value = _QUOTED.match(body, at) or _CURLY.match(body, at)
        if value is None and body.startswith('"', at):
            raise Malformed(f"the quotes of {key[1]} do not close")
        if key[1] in ("type", "msg"):
            raise Malformed("the head of a record among the fields")
        if value is None and interpreted and key[1] in TEXTS:
            following = _NEXT.search(body, at)
            end = following.start() if following else len(body)
            got, at = body[at:end].rstrip(" "), end
        elif value is None:
            value = _TOKEN.match(body, at)
            if value is None and not (at == len(body) or body[at] == " "):
                raise Malformed(f"the quotes of {key[1]} do not close")
            got, at = (value[0], value.end()) if value else ("", at)
        else:
            got, at = '"' + value[1] + '"', value.end()
        if key[1] in found:
            raise Malformed(f"{key[1]} is said twice")
        found[key[1]] = got
    return found


def string(value: str, interpreted: bool) -> str:
    """A name as the record means it: quoted, in hexadecimal, or (interpreted) bare.

    Source: audit_log_untrustedstring in kernel/audit.c. Raises Malformed for a bare word that
    neither the kernel nor ausearch writes.
    """
    if value.startswith('"'):
        return text(value[1:-1])
    if interpreted:
        return text(value)
    if _HEX.fullmatch(value):
        return text(unhex(value).rstrip("\0"))
    if not _PLAIN.fullmatch(value):
        raise Malformed("a name that is neither quoted nor in hexadecimal")
    return "" if value in ("(null)", "?") else value


def number(name: str, value: str) -> int:
    """``value`` as a number from 0. Raises Malformed."""
    if not _NUMBER.fullmatch(value):
        raise Malformed(f"{name} is no number")
    return int(value)


def is_blotted(value: str) -> bool:
    """Whether somebody made ``value`` unreadable, or left it out, before showing the record."""
    return _BLOTTED.fullmatch(value) is not None


def is_name(word: str) -> bool:
    """Whether ``word`` can be the name of a class or of a permission."""
    return _PERMISSION.fullmatch(word) is not None


def context(name: str, value: str) -> SecurityContext:
    """``value`` as a context. Raises Malformed where a policy compiler would refuse it."""
    found = _CONTEXT.fullmatch(value)
    if found is None:
        raise Malformed(f"{name} is no context")
    level = found[4] or ""
    if level and not (_LEVEL.fullmatch(level) or _TRANSLATED.fullmatch(level)):
        raise Malformed(f"the level of {name} is broken")
    return SecurityContext(found[1], found[2], found[3], level)


@dataclass(frozen=True, slots=True)
class Decision:
    """The body of an access decision, checked; ``rest`` is every field but the vector's."""

    granted: bool
    source: SecurityContext
    target: SecurityContext
    tclass: str
    permissions: tuple[str, ...]
    permissive: bool | None
    rest: dict[str, str]


def mark(line: str) -> str:
    """What a mail program or an editor put before ``line``, and before those that it goes on in."""
    found = _MARKED.match(line)
    return found[0].strip() if found else ""


def unmarked(line: str, mark: str) -> str:
    """``line`` without ``mark``, where it begins with it."""
    found = _MARKED.match(line) if mark else None
    return line[found.end() :] if found and found[0].strip() == mark else line


def is_decision(body: str) -> bool:
    """Whether ``body`` holds an access decision, sound or broken, and no notice."""
    return re.search(r"avc:\s+received ", body) is None


def decision(body: str, interpreted: bool) -> Decision:
    """Read ``avc: denied { ... } for ...``. Raises Malformed."""
    if _CONTROL.search(body):
        raise Malformed("control characters")
    if "\\_" in body and body.count("\\_") == body.count("_"):
        raise Malformed("Markdown put a backslash before each underscore: take them out (\\_ is _)")
    found = _DECISION.match(body)
    if found is None:
        raise Malformed("not of the form avc: denied { permissions } for")
    permissions = found["permissions"].split(" ")
    permissions = [p for p in permissions if p]
    if not permissions:
        raise Malformed("no permission")
    if not all(_PERMISSION.fullmatch(p) for p in permissions):
        raise Malformed("a permission that is no name")
    rest = fields(body[found.end() :].strip(" "), interpreted)
    missing = [key for key in VECTOR if key not in rest]
    if missing:
        raise Malformed(f"{' and '.join(missing)} missing: the record is cut or incomplete")
    source = context("scontext", rest.pop("scontext"))
    target = context("tcontext", rest.pop("tcontext"))
    tclass = rest.pop("tclass")
    if not _PERMISSION.fullmatch(tclass):
        raise Malformed("tclass is no name of a class")
    permissive = rest.pop("permissive", None)
    if permissive not in (None, "0", "1"):
        raise Malformed("permissive is neither 0 nor 1")
    _check_rest(rest, tclass, interpreted)
    return Decision(
        found["verdict"] == "granted",
        source,
        target,
        tclass,
        tuple(sorted(set(permissions))),
        None if permissive is None else permissive == "1",
        rest,
    )


def _check_rest(rest: dict[str, str], tclass: str, interpreted: bool) -> None:
    for key in ("pid", "ino", "lport", "fport"):
        # The number of a process or an inode says nothing of what was denied.
        if key in rest and not (key in ("pid", "ino") and is_blotted(rest[key])):
            number(key, rest[key])
    if tclass.endswith("_socket"):
        for key in ("src", "dest"):
            if key in rest:
                number(key, rest[key])
    if "capability" in rest and rest["capability"] not in CAPABILITIES:
        # An ausearch that is older than the kernel writes unknown-capability(39).
        unknown = re.fullmatch(r"unknown-capability\((\d{1,3})\)", rest["capability"])
        number("capability", unknown[1] if unknown and interpreted else rest["capability"])
    for key in ("comm", "path", "name", "dev"):
        if key in rest:
            string(rest[key], interpreted)


def user_body(body: str) -> str:
    """The message inside ``msg='...'`` of a USER_AVC. Raises Malformed."""
    found = _USER_BODY.match(body)
    if found is None:
        if body.startswith("avc: "):
            return body
        raise Malformed("no message in quotes")
    inner = _ENRICHED.sub("'", body[found.end() :].rstrip(" "))
    inner = inner.removesuffix("`")  # Markdown that was opened before the words around it
    if not inner.endswith("'") or "'" in inner[:-1]:
        raise Malformed("the quotes of msg do not close")
    return inner[:-1]
