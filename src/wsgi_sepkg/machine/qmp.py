"""Saving a running machine over the protocol of qemu's monitor (docs/interop/qmp-intro.txt)."""

from __future__ import annotations

import json
import shlex
import socket
import time
from collections.abc import Callable
from pathlib import Path

from wsgi_sepkg.errors import MachineFailed

_LIMIT = 120.0  # seconds; some hundred MiB are written


class NotSaved(MachineFailed):
    """A running machine could not be saved."""


def save(monitor: Path, memory: Path) -> None:
    """Write the memory of the machine that listens at ``monitor`` to a file, and end the machine.

    It is a stream of qemu's migration, which ``-incoming`` reads, and goes with the disk as it is
    now. Raises NotSaved when it cannot be written.
    """
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_LIMIT)
            line.connect(str(monitor))
            with line.makefile("rw", encoding="utf-8") as talk:

                def ask(command: str, **arguments: object) -> dict[str, object]:
                    line = json.dumps({"execute": command, "arguments": arguments})
                    print(line, file=talk, flush=True)
                    return _answer(talk.readline)

                talk.readline()  # the greeting
                ask("qmp_capabilities")
                # At once and as fast as it goes: the machine need not go on while it is saved.
                fast = {"max-bandwidth": 2**40, "downtime-limit": 1000 * int(_LIMIT)}
                ask("migrate-set-parameters", **fast)
                ask("migrate", uri=f"exec:cat >{shlex.quote(str(memory))}")
                end = time.monotonic() + _LIMIT
                while (state := ask("query-migrate").get("status")) != "completed":
                    if state in ("failed", "cancelled") or time.monotonic() > end:
                        raise NotSaved(f"the machine cannot be saved: {state}")
                    time.sleep(0.05)
                ask("quit")
    except (OSError, ValueError) as exc:
        raise NotSaved(f"the machine cannot be saved: {exc}") from exc


def _answer(readline: Callable[[], str]) -> dict[str, object]:
    """Return what a command returned; events in between are passed over."""
    while True:
        message = json.loads(readline())
        if "error" in message:
            raise ValueError(message["error"].get("desc", "qemu refuses"))
        if "return" in message:
            found: dict[str, object] = message["return"]
            return found
