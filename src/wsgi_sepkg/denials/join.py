"""The records of one event, joined into a denial."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from wsgi_sepkg.denials import record
from wsgi_sepkg.denials.model import Denial, Origin
from wsgi_sepkg.denials.record import Decision, Head, Malformed

# Records that tell more about a denial of the same event.
COMPANIONS = frozenset("SYSCALL PATH CWD PROCTITLE EXECVE SOCKADDR AVC_PATH".split())

# What is used of a system call and of a path.
_OF_CALL = ("syscall", "success", "exit", "pid", "uid", "euid", "exe")
_OF_PATH = ("inode", "mode", "ouid", "obj", "nametype")

_PAIR = re.compile(r'(?:^| )([a-z_A-Z0-9]+)=("[^"]*"|[^ "]*)')
_INTERPRETED_PAIR = re.compile(r"(?:^| )([a-z_A-Z0-9]+)=(.*?)(?= [a-z_A-Z0-9]+=|$)")
_SADDR = re.compile(r"saddr=\{ (.*) \}$")
_PROTOCOLS = {"tcp": "tcp", "udp": "udp", "dccp": "dccp", "sctp": "sctp"}
_FAMILIES = {
    "unix_stream_socket": "local",
    "unix_dgram_socket": "local",
}


@dataclass(slots=True)
class _Event:
    """What the companions of a denial say; several records of a kind that disagree say nothing."""

    syscall: dict[str, str] = field(default_factory=dict)
    paths: list[dict[str, str]] = field(default_factory=list)
    cwd: str = ""
    proctitle: tuple[str, ...] = ()
    execve: tuple[str, ...] = ()
    avc_path: str = ""
    sock_family: str = ""
    sock_path: str = ""
    sock_address: str = ""
    sock_port: int | None = None


def join(head: Head, decision: Decision, origin: Origin, companions: Sequence[Head] = ()) -> Denial:
    """Make the denial of ``decision``; ``companions`` are other records of the same event.

    A companion that cannot be read, or that belongs to another process, is left out: it never
    changes who was refused what.
    """
    event = _Event()
    for companion in companions:
        try:
            _add(event, companion)
        except (Malformed, ValueError):
            continue
    rest = dict(decision.rest)
    plain = head.interpreted
    pid, inode = (
        int(told) if told.isdigit() else None for told in (rest.pop("pid", ""), rest.pop("ino", ""))
    )
    call = event.syscall
    if call.get("pid", "").isdigit() and pid is not None and int(call["pid"]) != pid:
        event, call = _Event(), {}
    name = record.string(rest.pop("name", ""), plain)
    path = record.string(rest.pop("path", ""), plain) or event.avc_path
    item = _item(event, decision, name, path, inode)
    if not path and name:
        path = _whole(event, decision, name, item)
    port, address = _peer(rest, decision)
    socket = decision.tclass.endswith("_socket")
    if port is None and socket and event.sock_port is not None:
        port = event.sock_port
    if not address and socket:
        address = event.sock_address
    capability = rest.pop("capability", None)
    function = record.string(rest.pop("function", ""), plain)
    if not function and "interface" in rest:
        parts = [record.string(rest[k], plain) for k in ("interface", "member") if k in rest]
        function = ".".join(parts)
    success = {"yes": True, "no": False}.get(call.get("success", ""))
    return Denial(
        kind=head.kind or "AVC",
        granted=decision.granted,
        source=decision.source,
        target=decision.target,
        tclass=decision.tclass,
        permissions=decision.permissions,
        permissive=decision.permissive,
        origin=origin,
        stamp=head.stamp,
        host=head.host,
        path=path,
        name=name,
        dev=record.string(rest.pop("dev", ""), plain),
        ino=inode,
        path_context=item.get("obj", ""),
        path_mode=item.get("mode", ""),
        path_owner=item.get("ouid", ""),
        pid=pid,
        comm=record.string(rest.pop("comm", ""), plain),
        exe=record.string(rest.pop("exe", ""), plain) or call.get("exe", ""),
        command=event.execve or event.proctitle or _cmdline(rest, plain),
        uid=call.get("euid", call.get("uid", "")),
        syscall=call.get("syscall", ""),
        success=success,
        exit=call.get("exit", ""),
        port=port,
        address=address,
        family=_family(decision.tclass, address) or (event.sock_family if socket else ""),
        protocol=_PROTOCOLS.get(decision.tclass.removesuffix("_socket"), ""),
        capability=_capability(capability),
        ioctlcmd=rest.pop("ioctlcmd", ""),
        function=function,
        details=tuple((key, _shown(value)) for key, value in rest.items()),
    )


# Fields that tell one object of a group from another, beside path, name and device.
MARKS = ("capability", "src", "dest", "lport", "fport", "ioctlcmd", "function", "member")


def identity(decision: Decision, interpreted: bool) -> str:
    """Which object of its group a record names: the program and the path, name, port or the like.

    Only from the record itself, so that it is the same whatever the log keeps beside it.
    """
    rest = decision.rest
    comm, path, name, dev = (
        record.string(rest.get(key, ""), interpreted) for key in ("comm", "path", "name", "dev")
    )
    marks = [f"{key}={_shown(rest[key])}" for key in MARKS if key in rest]
    return compose(comm, path, name, dev, marks)


def compose(comm: str, path: str, name: str, dev: str, marks: list[str]) -> str:
    """The identity from its parts; ``marks`` are ``key=value`` of `MARKS` in any order."""
    where = f"path={path}" if path else f"name={name} dev={dev}" if name else ""
    return "\0".join([comm, where, *sorted(marks)])


def _add(event: _Event, head: Head) -> None:
    body, plain = head.body.partition("\x1d")[0], head.interpreted
    pairs = _pairs(body, plain)
    match head.kind:
        case "SYSCALL":
            if event.syscall:
                raise Malformed("two system calls")
            pairs["exe"] = record.string(pairs.get("exe", ""), plain)
            event.syscall = _some(pairs, _OF_CALL)
        case "PATH":
            named = record.string(pairs.get("name", ""), plain)
            event.paths.append(_some(pairs, _OF_PATH) | {"name": named})
        case "CWD":
            event.cwd = record.string(pairs.get("cwd", ""), plain)
        case "AVC_PATH":
            event.avc_path = record.string(pairs.get("path", ""), plain)
        case "PROCTITLE":
            event.proctitle = _title(pairs.get("proctitle", ""), body, plain)
        case "EXECVE":
            event.execve = _arguments(pairs, plain)
        case "SOCKADDR":
            _sockaddr(event, pairs.get("saddr", ""), body)
        case _:
            pass


def _pairs(body: str, interpreted: bool) -> dict[str, str]:
    """Fields of a companion; the first of each name."""
    return dict(reversed((_INTERPRETED_PAIR if interpreted else _PAIR).findall(body)))


def _some(pairs: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: record.text(pairs[name]) for name in names if name in pairs}


def _title(value: str, body: str, interpreted: bool) -> tuple[str, ...]:
    if interpreted:
        title = body.partition("proctitle=")[2].strip()
        return (record.text(title),) if title else ()
    if value.startswith('"'):
        return (record.text(value[1:-1]),)
    if not re.fullmatch(r"(?:[0-9A-F]{2})+", value):
        return (record.text(value),) if value and value != "(null)" else ()
    return tuple(record.text(part) for part in record.unhex(value).rstrip("\0").split("\0"))


def _arguments(pairs: dict[str, str], interpreted: bool) -> tuple[str, ...]:
    """argv of an EXECVE record, as far as it is all there (long ones span several records)."""
    count = pairs.get("argc", "")
    if not count.isdigit() or int(count) > 1000:
        return ()
    names = [f"a{index}" for index in range(int(count))]
    if not all(name in pairs for name in names):
        return ()
    return tuple(record.string(pairs[name], interpreted) for name in names)


def _sockaddr(event: _Event, saddr: str, body: str) -> None:
    """Source of the layout: struct sockaddr_in, sockaddr_in6 and sockaddr_un of Linux."""
    shown = _SADDR.search(body)
    if shown:
        pairs = _pairs(shown[1], True)
        event.sock_family = record.text(pairs.get("saddr_fam", ""))
        event.sock_path = record.text(pairs.get("path", ""))
        event.sock_address = record.text(pairs.get("laddr", ""))
        event.sock_port = int(pairs["lport"]) if pairs.get("lport", "").isdigit() else None
        return
    if not re.fullmatch(r"(?:[0-9A-F]{2})+", saddr):
        return
    raw = bytes.fromhex(saddr)
    family = raw[0] or (raw[1] if len(raw) > 1 else 0)  # little or big endian
    if family == 1:
        event.sock_family = "local"
        event.sock_path = record.text(raw[2:].split(b"\0")[0].decode("latin-1"))
    elif family == 2 and len(raw) >= 8:
        event.sock_family = "inet"
        event.sock_address = str(ip_address(raw[4:8]))
        event.sock_port = int.from_bytes(raw[2:4])
    elif family == 10 and len(raw) >= 24:
        event.sock_family = "inet6"
        event.sock_address = str(ip_address(raw[8:24]))
        event.sock_port = int.from_bytes(raw[2:4])
    elif family == 16:
        event.sock_family = "netlink"


def _absolute(cwd: str, path: str) -> str:
    """``path`` made absolute; ``..`` stays, since a link may stand before it."""
    if not path or path.startswith("/"):
        return path
    if not cwd.startswith("/"):
        return ""
    return posixpath.join(cwd, path.removeprefix("./") if path != "." else "")


def _item(
    event: _Event, decision: Decision, name: str, path: str, inode: int | None
) -> dict[str, str]:
    """The PATH record of the denied object: of its inode, else of its name; else nothing."""
    if inode is not None:
        same = [p for p in event.paths if p.get("inode") == str(inode)]
        if same:
            return same[0]
    for item in event.paths:
        whole = item["name"]
        if whole and (whole == path or (name and posixpath.basename(whole) == name)):
            # The parent's label is no label of the new name in it, and vice versa.
            if decision.tclass == "dir" and item.get("nametype") in ("CREATE", "DELETE"):
                continue
            return item
    return {}


def _whole(event: _Event, decision: Decision, name: str, item: dict[str, str]) -> str:
    """The path that ends in ``name``, or "" when no record of the event gives it."""
    known = [item["name"]] if item else []
    known += [p["name"] for p in event.paths]
    known += [event.sock_path] if event.sock_path else []
    for whole in known:
        if posixpath.basename(whole.rstrip("/")) == name:
            return _absolute(event.cwd, whole.rstrip("/"))
    if decision.tclass in ("dir", "lnk_file") and name != "/":
        # Refused on the way: the name is a component of the path that was asked for.
        for whole in known:
            parts = _absolute(event.cwd, whole).split("/")
            if parts.count(name) == 1:
                return "/".join(parts[: parts.index(name) + 1])
    return ""


def _peer(rest: dict[str, str], decision: Decision) -> tuple[int | None, str]:
    """Port and address, taken out of ``rest``; those of the far side first."""
    port = None
    if decision.tclass.endswith("_socket"):
        order = ("dest", "src", "fport", "lport")
        if "name_bind" in decision.permissions or "node_bind" in decision.permissions:
            order = ("src", "dest", "lport", "fport")
        for key in order:
            if key in rest:
                port = int(rest.pop(key))
                break
    address = ""
    for key in ("daddr", "faddr", "saddr", "laddr"):
        if key in rest:
            address = record.text(rest.pop(key))
            break
    return port, address


def _family(tclass: str, address: str) -> str:
    if ":" in address:
        return "inet6"
    if address.count(".") == 3:
        return "inet"
    if tclass.startswith("netlink_"):
        return "netlink"
    return _FAMILIES.get(tclass, "")


def _capability(value: str | None) -> int | None:
    if value is None:
        return None
    if value in record.CAPABILITIES:
        return record.CAPABILITIES.index(value)
    return int(re.sub(r"unknown-capability\((\d+)\)", r"\1", value))


def _cmdline(rest: dict[str, str], interpreted: bool) -> tuple[str, ...]:
    line = record.string(rest.pop("cmdline", ""), interpreted)
    try:
        return tuple(shlex.split(line))
    except ValueError:
        return (line,)


def _shown(value: str) -> str:
    return record.text(value[1:-1] if value.startswith('"') else value)
