"""`read`: logs in, one `Reading` out; on one processor or on several."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wsgi_sepkg.denials import sources
from wsgi_sepkg.denials.model import Origin, Reading
from wsgi_sepkg.denials.scan import REACH, Scanner
from wsgi_sepkg.denials.tally import Tally
from wsgi_sepkg.errors import WsgiSepkgError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

# Below this many bytes a further process costs more than it saves.
WORTH_A_PROCESS = 8 << 20


class ReadingFailed(WsgiSepkgError):
    """A process that read a part of the logs ended before it was done."""

    exit_status = 4


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of ``log`` that begin at or after byte ``start`` and before ``end``.

    ``end`` -1 stands for the whole log, however long; such a part can be packed or a stream.
    """

    log: str
    start: int = 0
    end: int = -1


def read(
    logs: Sequence[str | Path], *, jobs: int = 0, meanwhile: Callable[[], object] | None = None
) -> Reading:
    """Read ``logs`` ("-" is standard input) and return what they say, joined and counted.

    Plain, gz, xz, zst and bz2 files, journal export and JSON are told apart by their first bytes.
    ``jobs`` is the number of processes; 0 takes one for each processor where that pays. The result
    is the same for any. Where several read, ``meanwhile`` is called once beside them, and this
    process reads no share. Memory does not grow with the logs. Raises UsageError for a log that
    cannot be opened, ReadingFailed; a record that cannot be believed is in ``rejected``.
    """
    return tally(logs, jobs=jobs, meanwhile=meanwhile).reading()


def tally(
    logs: Sequence[str | Path], *, jobs: int = 0, meanwhile: Callable[[], object] | None = None
) -> Tally:
    """As `read`, but the sums, which can be merged with others."""
    names = [str(log) for log in logs]
    jobs = jobs or len(os.sched_getaffinity(0))
    parts = [part for name in names for part in split(name, jobs)]
    found = merged(parts, _each(parts, jobs, meanwhile))
    for name in found.logs.intersection(names):
        if Path(name).is_file():
            found.sources[sources.source_id(Path(name))] = name
    return found


def merged(parts: Sequence[Part], tallies: Iterator[Tally]) -> Tally:
    """Merge the tallies of ``parts``, in their order; lines of one log are numbered through."""
    total = Tally()
    log, base = "", 0
    for part, found in zip(parts, tallies, strict=True):
        base = base if part.log == log and part.start else 0
        log = part.log
        total.merge(found, base)
        base += found.lines
    return total


def _each(
    parts: Sequence[Part], jobs: int, meanwhile: Callable[[], object] | None
) -> Iterator[Tally]:
    """The tally of each part, in their order."""
    if jobs == 1 or len(parts) == 1:
        yield from map(read_part, parts)
        return
    import multiprocessing

    # A fork has all modules loaded; no thread of ours is running that could hold a lock.
    context = multiprocessing.get_context("fork")
    # Each process reads every n-th part and hands on one tally at a time. Number 0 is this one,
    # which alone has standard input; it reads a share, too, where it has nothing else to do.
    count, first = min(jobs, len(parts)), 0 if meanwhile is None else 1
    readers = [0 if part.log == "-" else first + index % count for index, part in enumerate(parts)]
    pipes: list[Connection] = []
    others: list[BaseProcess] = []
    try:
        for number in range(1, first + count):
            pipe, end = context.Pipe(duplex=False)
            pipes.append(pipe)
            theirs = [p for p, reader in zip(parts, readers, strict=True) if reader == number]
            words = (theirs, end, tuple(pipes))
            others.append(context.Process(target=_hand_on, args=words, daemon=True))
            others[-1].start()
            end.close()
        if meanwhile is not None:
            meanwhile()
        for part, reader in zip(parts, readers, strict=True):
            yield _received(pipes[reader - 1]) if reader else read_part(part)
    finally:
        for pipe in pipes:
            pipe.close()
        for other in others:
            if other.pid:
                other.terminate()
                other.join()


def _hand_on(parts: Sequence[Part], end: Connection, inherited: Sequence[Connection]) -> None:
    """Read ``parts`` and send each one's tally, or the error that it met."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits tells of it
    for pipe in inherited:
        pipe.close()
    with suppress(BrokenPipeError):  # nobody waits any more
        for part in parts:
            try:
                found: Tally | WsgiSepkgError = read_part(part)
            except WsgiSepkgError as exc:
                found = exc
            end.send(found)


def _received(pipe: Connection) -> Tally:
    try:
        found = pipe.recv()
    except (EOFError, OSError) as exc:
        raise ReadingFailed(
            "a process that read a part of the logs was killed", "try again with --jobs 1"
        ) from exc
    if isinstance(found, WsgiSepkgError):
        raise found
    assert isinstance(found, Tally)
    return found


def split(log: str, jobs: int) -> list[Part]:
    """Split ``log`` into parts for ``jobs`` processes; what cannot be split is one part.

    Raises UsageError when it cannot be opened.
    """
    if log == "-" or "://" in log:
        return [Part(log)]
    with sources.opened(log) as stream:
        size = os.fstat(stream.fileno()).st_size if Path(log).is_file() else 0
        start = stream.read(4096)
        if sources.compression(start) or sources.form(start):
            return [Part(log)]
        return cut(log, stream, size, max(WORTH_A_PROCESS, -(-size // jobs)))


def cut(log: str, stream: BinaryIO, size: int, share: int) -> list[Part]:
    """Parts of a plain log of ``size`` bytes: about ``share`` bytes each, ending with a line."""
    if size < 2 * share and size < 2 * WORTH_A_PROCESS:
        return [Part(log)]
    borders = [0]
    while borders[-1] + share < size:
        stream.seek(borders[-1] + share)
        stream.readline()
        borders.append(stream.tell())
    if borders[-1] < size:
        borders.append(size)
    return [Part(log, a, b) for a, b in pairwise(borders)] if len(borders) > 2 else [Part(log)]


def read_part(part: Part) -> Tally:
    """Read one part. Raises UsageError when its log cannot be opened."""
    found = Tally()
    with sources.opened(part.log) as stream:
        if part.end < 0:
            _whole(found, part.log, stream)
        else:
            before = min(part.start, REACH)
            scanner = Scanner(found, part.log, before)
            stream.seek(part.start - before)
            left = part.end + REACH - (part.start - before)
            while left and (data := stream.read(min(left, sources.BLOCK))):
                scanner.feed(data)
                left -= len(data)
            scanner.finish(stream.tell() - part.end)
    found.settle(part.log)
    return found


def _whole(found: Tally, log: str, stream: BinaryIO) -> None:
    blocks = sources.blocks(stream)
    cut_short = ""
    try:
        first = next(blocks, b"")
        if first.startswith(sources.SUMMARY):
            from wsgi_sepkg.denials import summary

            found.merge(summary.load(first + b"".join(blocks), log))
            return
        scanner = Scanner(found, log)
        scanner.feed(first)
        for block in blocks:
            scanner.feed(block)
    except sources.CutShort as exc:
        cut_short = str(exc)
        if not found.logs:
            scanner = Scanner(found, log)
    scanner.finish()
    if cut_short:
        found.reject(Origin(log, found.lines + 1), "the packed log is cut or damaged from here")
