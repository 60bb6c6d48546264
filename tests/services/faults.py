"""How a stand-in is made to misbehave: slowly, wrongly, refusing, cutting the line."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Fault:
    """``kind`` happens to requests whose path or method name begins with ``where``, ``times`` of them.

    status (answer with ``value`` and an error), slow (``value`` seconds first), cut (the line is
    dropped without an answer), after (the work is done, then the line is dropped), garbage (an
    answer that is not of the protocol), half (the answer ends in its middle).
    """

    where: str
    kind: str
    value: float = 0
    times: int = 1
    skip: int = 0


@dataclass
class Faults:
    """The faults that are still to come, and the requests that were seen."""

    waiting: list[Fault] = field(default_factory=list)
    seen: list[tuple[float, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, where: str, kind: str, value: float = 0, times: int = 1, skip: int = 0) -> None:
        """Let the next ``times`` requests of ``where`` fail, after ``skip`` good ones."""
        self.waiting.append(Fault(where, kind, value, times, skip))

    def next(self, name: str) -> Fault | None:
        """Return the fault of this request, or None; one that is slow is slow here."""
        with self.lock:
            self.seen.append((time.monotonic(), name))
            found = None
            for fault in self.waiting:
                if name.startswith(fault.where):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    found = fault
                    fault.times -= 1
                    if not fault.times:
                        self.waiting.remove(fault)
                    break
        if found is not None and found.kind == "slow":
            time.sleep(found.value)
            return None
        return found

    def count(self, name: str) -> int:
        """Return how many requests began with ``name``."""
        return sum(seen.startswith(name) for _, seen in self.seen)


class Handler(BaseHTTPRequestHandler):
    """What both servers answer with."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def cut(self) -> None:
        """Drop the line with a reset."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def answer(self, status: int, body: bytes, kind: str, half: bool = False, **more: str) -> None:
        """Send an answer, or the first half of one."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        if half:
            self.wfile.flush()
            self.close_connection = True

    def finish(self) -> None:
        """End the request; a line that was cut has nothing to flush."""
        try:
            super().finish()
        except (OSError, ValueError):
            pass


class Server(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1, run in a thread."""

    daemon_threads = True

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.faults = Faults()

    def handle_error(self, *_: Any) -> None:
        """A line that was cut is no news."""

    @property
    def port(self) -> int:
        """The port that was free."""
        return int(self.server_address[1])

    def __enter__(self) -> Any:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
