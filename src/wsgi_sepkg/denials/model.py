"""What the kernel and the userspace object managers refused, as plain frozen data: no I/O.

Texts come from logs that an attacker may have written into. Bytes of a decoded field that are no
printable UTF-8 stand as ``\\xNN``, so no text of this module can steer a terminal. Contexts,
classes and permissions hold only the characters that a policy compiler accepts for them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

# Which examples a reading keeps, by the number of its groups: {up to this many groups: examples}.
EXAMPLES = {64: 24, 512: 8, 2048: 4}
# The most groups that a reading keeps, and the most rejected records that it lists.
MOST_GROUPS = 4096
MOST_REJECTED = 1000


@dataclass(frozen=True, slots=True, order=True)
class SecurityContext:
    """A context as a record gives it: ``user:role:type[:level]``; ``level`` is "" without MLS."""

    user: str
    role: str
    type: str
    level: str = ""

    def __str__(self) -> str:
        parts = (self.user, self.role, self.type, self.level)
        return ":".join(parts if self.level else parts[:3])


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a record begins: name of the log as given ("-" is standard input), line from 1."""

    log: str
    line: int

    def __str__(self) -> str:
        return f"{self.log}:{self.line}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a record was written.

    ``ms`` is milliseconds since 1970 in UTC, None where the log gives no date that can be read in
    one way only (a localised date such as 04/09/2021, a syslog date without year). ``serial`` is
    the number of the event, None where the form of the log drops it. ``text`` is the date as it
    stands in the log.
    """

    ms: int | None
    serial: int | None
    text: str

    @property
    def event(self) -> str:
        """The event as ``seconds.milliseconds:serial``, or the text of the log."""
        if self.ms is None or self.serial is None:
            return self.text
        return f"{self.ms // 1000}.{self.ms % 1000:03d}:{self.serial}"


@dataclass(frozen=True, slots=True)
class Denial:
    """One refused (or, with auditallow, granted) access, joined from the records of its event.

    An empty text or None means: no record says it. Nothing is guessed.
    """

    kind: str
    """``AVC`` (the kernel) or ``USER_AVC`` (dbus, systemd, another object manager)."""
    granted: bool
    """True for ``avc: granted`` (an auditallow rule): nothing was refused."""
    source: SecurityContext
    """scontext: who asked."""
    target: SecurityContext
    """tcontext: what was asked for."""
    tclass: str
    """Object class; may be one that the policy at hand does not know."""
    permissions: tuple[str, ...]
    """Permissions between the braces, sorted, each once; never empty."""
    permissive: bool | None
    """True: only logged, not blocked. None: the record does not say (before kernel 3.16)."""
    origin: Origin
    """Where the record stands."""
    stamp: Stamp
    """When it happened."""
    host: str = ""
    """``node=``, ``host=`` or the host of syslog and journal."""
    path: str = ""
    """The whole path where the records give it: ``path=``, else PATH joined with CWD and
    ``name=``. Absolute, or a thing of the kernel such as ``socket:[1480]`` or
    ``/memfd:libffi (deleted)``."""
    name: str = ""
    """``name=``: the last component only, as the kernel knows it."""
    dev: str = ""
    """Device of the file system: ``dm-0``, ``tmpfs``."""
    ino: int | None = None
    """Inode number."""
    path_context: str = ""
    """The label that the PATH record gives for that object (``obj=``)."""
    path_mode: str = ""
    """Its mode as written, ``0100644`` or ``file,644``."""
    path_owner: str = ""
    """Its owner as written, ``48`` or ``apache``."""
    pid: int | None = None
    """Process that asked."""
    comm: str = ""
    """Its name for the kernel, at most 15 bytes; ``(gunicorn)`` in a child of systemd before
    exec."""
    exe: str = ""
    """Its program (SYSCALL)."""
    command: tuple[str, ...] = ()
    """Its command line: EXECVE, else PROCTITLE (which the kernel cuts at 128 bytes). An
    interpreted PROCTITLE cannot be split; it is one element."""
    uid: str = ""
    """Effective user as written (SYSCALL ``euid=``, else ``uid=``)."""
    syscall: str = ""
    """Number or name, as written."""
    success: bool | None = None
    """Whether the system call went through all the same (SYSCALL ``success=``)."""
    exit: str = ""
    """Its result as written: ``-13``, ``EACCES(Permission denied)``."""
    port: int | None = None
    """``dest=`` of name_connect, ``src=`` of name_bind, else the far or local port. From 0."""
    address: str = ""
    """``daddr``/``faddr``, else ``saddr``/``laddr``; else the address of SOCKADDR."""
    family: str = ""
    """``inet``, ``inet6``, ``local``, ``netlink``; "" where nothing tells."""
    protocol: str = ""
    """``tcp``, ``udp``, ``dccp``, ``sctp`` by the class, else ""."""
    capability: int | None = None
    """Number of the capability."""
    ioctlcmd: str = ""
    """ioctl as written: ``0x5401``, ``TCGETS``."""
    function: str = ""
    """What a userspace manager was asked: ``function=`` of systemd, ``interface.member`` of
    dbus."""
    details: tuple[tuple[str, str], ...] = ()
    """Every other field of the record, in its order."""

    @property
    def levels(self) -> str:
        """How the levels stand: see `compare_levels`."""
        return compare_levels(self.source.level, self.target.level)

    @property
    def constraints(self) -> tuple[str, ...]:
        """What a constraint of the policy may have refused, if type enforcement allows it.

        Any of ``level`` (the source does not dominate the target), ``role`` and ``user`` (they
        differ, and the target is a process). The record does not tell which rule it was: only
        the policy does. Source: policy/constraints and policy/mcs of refpolicy.
        """
        found = []
        if self.levels in ("dominated", "apart"):
            found.append("level")
        if self.target.role != "object_r":
            if self.source.role != self.target.role:
                found.append("role")
            if self.source.user != self.target.user:
                found.append("user")
        return tuple(found)

    @property
    def object(self) -> str:
        """What was asked for, in one text: path, name, port, capability, function, or class."""
        if self.path or self.name:
            return self.path or self.name
        if self.port is not None:
            return f"{self.protocol or self.tclass} {self.port}"
        if self.capability is not None:
            return f"capability {self.capability}"
        return self.function or self.tclass


@dataclass(frozen=True, slots=True)
class Example:
    """One object of a group, and how many records of the group name it (exactly)."""

    denial: Denial
    """Its earliest record, joined."""
    count: int


@dataclass(frozen=True, slots=True)
class Group:
    """Denials that are equal but for the process, the time and the single object.

    Equal are: kind, granted, user, role and type of source and target, class, permissions,
    permissive, and how the two levels stand to each other.
    """

    hash: str
    """12 hex digits over what is equal; the same on every host and in every run."""
    count: int
    """Records, exactly."""
    first: Stamp
    """Of the earliest record; a dated one where there is any."""
    last: Stamp
    """Of the latest record."""
    objects: int
    """Different objects (path, name, port, ...). Exact while `objects_exact`, else an estimate
    (of k smallest hashes)."""
    objects_exact: bool
    examples: tuple[Example, ...]
    """A bounded choice of objects, most frequent first, then earliest; never empty. All of them
    while their number is below the bound of `EXAMPLES`, else those with the smallest hashes: an
    even sample, the same in whatever order logs are read or summaries merged."""

    @property
    def denial(self) -> Denial:
        """The first example."""
        return self.examples[0].denial


@dataclass(frozen=True, slots=True, order=True)
class Rejected:
    """A record that cannot be believed; no denial was made of it."""

    origin: Origin
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the log says about the policy itself; equal ones are counted together."""

    kind: str
    """``enforcing``, ``policyload``, ``boolean`` or ``error`` (SELINUX_ERR: a context or a
    transition that the policy does not know or allow)."""
    text: str
    """In the words of the record, without what changes from record to record."""
    count: int
    origin: Origin
    """Of the first one."""
    stamp: Stamp
    fields: tuple[tuple[str, str], ...] = ()
    """Fields of the record: ``op``, ``seresult``, ``oldcontext``, ``newcontext``, ``scontext``,
    ``tcontext``, ``tclass``, ``enforcing``, ``old_enforcing``, ``bool``, ``val``, ..."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one or many logs say. Groups are sorted: most records first, then by hash."""

    logs: tuple[str, ...]
    """Names of the logs, sorted."""
    lines: int
    """Lines of all logs."""
    records: tuple[tuple[str, int], ...]
    """Records of each kind that concern SELinux, by kind: AVC, USER_AVC, SELINUX_ERR, MAC_STATUS
    and others; those that were rejected are counted too."""
    groups: tuple[Group, ...]
    rejected: tuple[Rejected, ...]
    """The first `MOST_REJECTED` by log and line."""
    rejected_count: int
    """All of them."""
    rejected_reasons: tuple[tuple[str, int], ...]
    """How many for each reason, most first."""
    notices: tuple[Notice, ...]
    """Sorted by kind and text."""
    dropped: int = 0
    """Records of groups beyond `MOST_GROUPS`: counted, not kept. 0 in every sane log."""

    @property
    def denied(self) -> int:
        """Records in all groups."""
        return sum(group.count for group in self.groups)


def compare_levels(source: str, target: str) -> str:
    """How two levels or ranges stand: ``equal``, ``dominates``, ``dominated``, ``apart``.

    As the constraints of MCS do, the high ends are compared. ``unknown`` where one of them is
    missing or is a translated name. Source: policy/mcs of refpolicy; libsepol mls_level.
    """
    if source == target:
        return "equal"
    high = _high(source), _high(target)
    if high[0] is None or high[1] is None:
        return "unknown"
    (sens_a, cats_a), (sens_b, cats_b) = high[0], high[1]
    if (sens_a, cats_a) == (sens_b, cats_b):
        return "equal"
    if sens_a >= sens_b and cats_a >= cats_b:
        return "dominates"
    if sens_a <= sens_b and cats_a <= cats_b:
        return "dominated"
    return "apart"


def _high(level: str) -> tuple[int, frozenset[int]] | None:
    """The high end of a range: sensitivity and categories; None for a translated name."""
    sens, _, cats = level.rpartition("-")[2].partition(":")
    if not (sens[:1] == "s" and sens[1:].isdigit()):
        return None
    found: set[int] = set()
    for part in cats.split(",") if cats else ():
        low, _, high = part.partition(".")
        high = high or low
        if not (low[:1] == high[:1] == "c" and low[1:].isdigit() and high[1:].isdigit()):
            return None
        if int(high[1:]) > 65535:
            return None
        found.update(range(int(low[1:]), int(high[1:]) + 1))
    return int(sens[1:]), frozenset(found)


def vector(denial: Denial) -> tuple[str, ...]:
    """What makes two denials equal; the parts of `Group`'s key, in a fixed order."""
    return (
        denial.kind,
        "granted" if denial.granted else "denied",
        denial.source.user,
        denial.source.role,
        denial.source.type,
        denial.target.user,
        denial.target.role,
        denial.target.type,
        denial.tclass,
        " ".join(denial.permissions),
        {None: "", False: "0", True: "1"}[denial.permissive],
        denial.levels,
    )


def vector_hash(key: tuple[str, ...]) -> str:
    """The stable hash of a group: the first 12 hex digits of SHA-256 over the parts of its key."""
    return hashlib.sha256("\0".join(key).encode()).hexdigest()[:12]
