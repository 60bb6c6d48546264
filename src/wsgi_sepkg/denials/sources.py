"""Logs as streams of bytes: files, compressed files, standard input, the journal's own forms."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from wsgi_sepkg.errors import UsageError

BLOCK = 1 << 20

# A summary of denials begins with these bytes, so that it can stand wherever a log can.
SUMMARY = b'{"wsgi_sepkg_denials":'
_MAGIC = {b"\x1f\x8b": "gz", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2"}


class CutShort(Exception):
    """A compressed log ends too early, or is damaged from here on."""


@contextmanager
def opened(log: str) -> Iterator[BinaryIO]:
    """Open ``log`` ("-" is standard input) for reading bytes. Raises UsageError."""
    if log == "-":
        yield sys.stdin.buffer
        return
    if "://" in log:
        from wsgi_sepkg.denials.fleet import open_url

        with open_url(log) as stream:
            yield stream
        return
    try:
        with Path(log).open("rb") as stream:
            yield stream
    except IsADirectoryError as exc:
        raise UsageError(f"{log} is a folder", "name the logs in it") from exc
    except PermissionError as exc:
        raise UsageError(
            f"{log} cannot be read: {exc.strerror}",
            "audit logs are root's; pipe one in: sudo ausearch -m avc,user_avc --raw | ...",
        ) from exc
    except OSError as exc:
        raise UsageError(
            f"{log} cannot be read: {exc.strerror}",
            "name a log or a summary; the log of a host is /var/log/audit/audit.log",
        ) from exc


def compression(start: bytes) -> str:
    """``gz``, ``xz``, ``zst``, ``bz2`` or "" by the first bytes."""
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")


def form(start: bytes) -> str:
    """``json`` or ``export`` for the journal's forms, ``summary``, "" for lines of text."""
    start = start.lstrip(b"\xef\xbb\xbf \r\n\x1e")
    if start.startswith(SUMMARY):
        return "summary"
    if start.startswith((b"{", b"data: {")):
        return "json"
    if start.startswith((b"__CURSOR=", b"__REALTIME_TIMESTAMP=")):
        return "export"
    return ""


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The text of a log in blocks of about `BLOCK` bytes, unpacked, one line for each record.

    Raises CutShort after everything that could be unpacked.
    """
    start = stream.read(BLOCK)
    packed = compression(start)
    if packed:
        unpacked = _unpack(_Rejoined(start, stream), packed)
        start = next(unpacked, b"")
    else:
        unpacked = iter(lambda: stream.read(BLOCK), b"")
    match form(start):
        case "json":
            yield from _journal_json(start, unpacked)
        case "export":
            yield from _journal_export(start, unpacked)
        case _:
            if start:
                yield start
            yield from unpacked


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes have been read already."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self.start, self.rest = start, rest

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self.start[: len(into)] or self.rest.read(len(into))
        self.start = self.start[len(into) :]
        into[: len(data)] = data
        return len(data)


def _unpack(raw: io.RawIOBase, packed: str) -> Iterator[bytes]:
    stream = _unpackers()[packed](io.BufferedReader(raw, BLOCK))
    while True:
        try:
            data = stream.read1(BLOCK)  # read() would lose what stands before a damage
        except (EOFError, OSError, zlib.error) as exc:
            raise CutShort(str(exc)) from exc
        except Exception as exc:
            if type(exc).__name__ not in ("ZstdError", "LZMAError"):
                raise
            raise CutShort(str(exc)) from exc
        if not data:
            return
        yield data


def _unpackers() -> dict[str, Any]:
    import bz2
    import gzip
    import lzma

    import zstandard

    def zst(raw: io.BufferedReader) -> Any:
        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        return unpacker.stream_reader(raw, read_across_frames=True)

    def gz(raw: io.BufferedReader) -> Any:
        return gzip.GzipFile(fileobj=raw)

    return {"gz": gz, "xz": lzma.LZMAFile, "bz2": bz2.BZ2File, "zst": zst}


def _lines(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Lines with their ends; one that never ends is given in pieces of 16 blocks."""
    left = start
    for data in rest:
        left += data
        if b"\n" in data or len(left) > 16 * BLOCK:
            *whole, left = left.split(b"\n")
            for line in whole:
                yield line + b"\n"
            if len(left) > 16 * BLOCK:
                yield left
                left = b""
    yield from left.splitlines(keepends=True)


def _batched(lines: Iterator[bytes]) -> Iterator[bytes]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size > BLOCK:
            yield b"".join(batch)
            batch, size = [], 0
    yield b"".join(batch)


def _journal_json(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """``journalctl -o json``, ``json-sse`` and ``json-pretty``. Line numbers stay."""
    lines = _lines(start, rest)
    first = start.lstrip(b"\xef\xbb\xbf \r\n\x1e").split(b"\n", 1)[0].strip()
    return _batched(_pretty_lines(lines) if first == b"{" else map(_json_line, lines))


def _pretty_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
    """``json-pretty``: an object in several lines, of which only the last begins with ``}``."""
    object_: list[bytes] = []
    size = 0
    for line in lines:
        object_.append(line)
        size += len(line)
        if line.startswith(b"}") or size > 16 * BLOCK:
            yield _json_line(b"".join(object_)).replace(b"\n", b" ").rstrip() + b"\n"
            yield b"\n" * (len(object_) - 1)
            object_, size = [], 0
    yield from object_


def _json_line(line: bytes) -> bytes:
    if not any(word in line for word in (b"avc:", b"SELINUX", b"MAC_", b"_AUDIT_ID")):
        return b"\n"
    text = line.strip(b"\xef\xbb\xbf\x1e \r\n").removeprefix(b"data: ")
    try:
        entry = json.loads(text)
        if not isinstance(entry, dict):
            raise ValueError
        return record_line({k: _bytes(v) for k, v in entry.items()})
    except (ValueError, TypeError, RecursionError):
        # Left as it is: the reading refuses it by its line.
        return line if line.endswith(b"\n") else line + b"\n"


def _bytes(value: object) -> bytes:
    """A field of the journal: text, or a list of bytes where it is no text."""
    if isinstance(value, list) and all(isinstance(b, int) for b in value):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return b""


def record_line(entry: dict[str, bytes]) -> bytes:
    """One entry of the journal as a line of an audit log.

    Fields by systemd.journal-fields(7) and journald's audit transport: ``_AUDIT_TYPE_NAME``,
    ``_AUDIT_ID``, and ``MESSAGE``, which begins with the name of the type.
    """
    message = entry.get("MESSAGE", b"").replace(b"\n", b" ").replace(b"\r", b" ")
    host = entry.get("_HOSTNAME", b"")
    node = b"node=" + host + b" " if host and not set(host) & set(b" \t\n=") else b""
    kind = entry.get("_AUDIT_TYPE_NAME", b"")
    if kind and entry.get("_TRANSPORT", b"audit") == b"audit":
        body = message.removeprefix(kind + b" ")
        stamp = entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry.get("__REALTIME_TIMESTAMP", b"")
        serial = entry.get("_AUDIT_ID", b"")
        if stamp.isdigit() and len(stamp) > 6 and serial.isdigit():
            when = b"%b.%b:%b" % (stamp[:-6], stamp[-6:-3], serial)
            return node + b"type=" + kind + b" msg=audit(" + when + b"): " + body + b"\n"
        return node + b"type=" + kind + b" msg=audit(??): " + body + b"\n"
    return node + message + b"\n"


def _journal_export(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """``journalctl -o export``: fields a line, entries apart by an empty line."""
    return _batched(_export_lines(io.BufferedReader(_Chunks(start, rest), BLOCK)))


class _Chunks(io.RawIOBase):
    def __init__(self, start: bytes, rest: Iterator[bytes]) -> None:
        self.left, self.rest = start, rest

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self.left or next(self.rest, b"")
        self.left = data[len(into) :]
        count = min(len(into), len(data))
        into[:count] = data[:count]
        return count


def _export_lines(stream: io.BufferedReader) -> Iterator[bytes]:
    entry: dict[str, bytes] = {}
    lines = 0
    while True:
        line = stream.readline(16 * BLOCK)
        if line in (b"", b"\n"):
            if entry:
                yield _export_entry(entry)
            yield b"\n" * (lines - (1 if entry else 0) + (line == b"\n"))
            entry, lines = {}, 0
            if not line:
                return
            continue
        lines += 1
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if not equals:
            size = int.from_bytes(stream.read(8), "little")
            if size > 16 * BLOCK:
                raise CutShort("a field of the journal larger than 16 MiB")
            value = stream.read(size)
            lines += value.count(b"\n") + (stream.read(1) == b"\n")
        entry[name.decode("latin-1")] = value


def _export_entry(entry: dict[str, bytes]) -> bytes:
    words = (b"avc:", b"SELINUX", b"MAC_")
    if "_AUDIT_ID" in entry or any(w in entry.get("MESSAGE", b"") for w in words):
        return record_line(entry)
    return b"\n"


def source_id(log: Path) -> str:
    """What tells one log from another: size and the hash of both its ends. Raises OSError."""
    size = log.stat().st_size
    with log.open("rb") as stream:
        start = stream.read(4096)
        stream.seek(max(0, size - 4096))
        end = stream.read(4096)
    digest = hashlib.blake2b(start + end, digest_size=12).hexdigest()
    return f"{digest}-{size}"
