"""Denials made from one line, as the examples of the knowledge write them."""

from __future__ import annotations

import re

from wsgi_sepkg.denials.model import Denial, Origin, SecurityContext, Stamp

_FIELDS = re.compile(r" (path|comm|port|role|session|name|granted|level)=")
_PROCESSES = ("process", "capability", "socket", "system", "dbus", "memprotect", "fd", "lockdown")


def denial(text: str) -> Denial:
    """Return the denial that ``SOURCE TARGET:CLASS PERMISSION,... key=value ...`` says."""
    head, *rest = _FIELDS.split(text)
    more = dict(zip(rest[::2], rest[1::2], strict=True))
    source, vector, permissions = head.split()
    target, tclass = vector.split(":")
    process = tclass.startswith(_PROCESSES) or tclass.endswith("_socket") or source == target
    if "port" in more:
        process = False
    role = more.get("role", "system_r" if process else "object_r")
    path = more.get("path", "")
    return Denial(
        kind="AVC",
        granted="granted" in more,
        source=SecurityContext("system_u", more.get("session", "system_r"), source, "s0"),
        target=SecurityContext("system_u", role, target, more.get("level", "s0")),
        tclass=tclass,
        permissions=tuple(sorted(permissions.split(","))),
        permissive=False,
        origin=Origin("example", 1),
        stamp=Stamp(1_700_000_000_000, 1, "1700000000.000:1"),
        path=path,
        name=more.get("name", ""),
        comm=more.get("comm", ""),
        port=int(more["port"]) if "port" in more else None,
        protocol=tclass.removesuffix("_socket") if "port" in more else "",
    )
