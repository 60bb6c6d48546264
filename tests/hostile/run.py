"""Spoil records by the million, and hold every denial that the reader makes against the oracle.

usage: run.py [--records N] [--seed N] [--jobs N]

Each spoilt record is read alone, and once more within a log of many. A finding is: an exception; no
end within a minute of processor time; a denial that the oracle does not read in the record; a name
in it that the oracle reads otherwise. Exit status 1 when there is one; each is printed with its
seed.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
import traceback
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import mutate
import oracle

from wsgi_sepkg.denials import Denial
from wsgi_sepkg.denials.record import text
from wsgi_sepkg.denials.scan import Scanner
from wsgi_sepkg.denials.tally import Tally

BATCH = 500
LIMIT = 60


def hang(*_: object) -> None:
    """End a reading that does not end by itself."""
    raise TimeoutError(f"no end within {LIMIT} s of processor time")


def vector(denial: Denial) -> tuple[object, ...]:
    """What must agree with the oracle."""
    return (
        denial.granted,
        str(denial.source),
        str(denial.target),
        denial.tclass,
        frozenset(denial.permissions),
        {None: "", False: "0", True: "1"}[denial.permissive],
    )


def coarse(what: tuple[object, ...]) -> tuple[object, ...]:
    """``what`` without levels: records of one group may differ in them."""
    granted, source, target, *rest = what
    short = (":".join(str(context).split(":")[:3]) for context in (source, target))
    return (granted, *short, *rest)


def expected(found: oracle.Vector) -> tuple[object, ...]:
    """The same of the oracle's reading."""
    return (
        found.granted,
        found.source,
        found.target,
        found.tclass,
        found.permissions,
        found.permissive,
    )


def scan(log: str, block: int = 0) -> Tally:
    """Read ``log`` (a character a byte) as the program does, in one block or in small ones."""
    tally = Tally()
    scanner = Scanner(tally, "log")
    raw = log.encode("latin-1")
    for at in range(0, len(raw), block or len(raw) or 1):
        scanner.feed(raw[at : at + (block or len(raw))])
    scanner.finish()
    tally.settle("log")
    return tally


def batch(seed: int) -> tuple[Counter[str], list[str]]:
    """Spoil and read `BATCH` records. Return what was counted, and the findings."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    findings: list[str] = []
    signal.signal(signal.SIGVTALRM, hang)
    pieces, allowed = [], Counter()
    for index in range(BATCH):
        made = mutate.record(rng) if rng.random() < 0.85 else mutate.other(rng)
        made = made.encode("utf-8", "surrogateescape").decode("latin-1")
        piece = made if rng.random() < 0.03 else mutate.spoil(rng, made)
        piece = piece.encode("latin-1", "replace").decode("latin-1")
        where = f"seed {seed} record {index}"
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
        try:
            reading = scan(piece).reading()
        except Exception:
            findings.append(f"{where}: {traceback.format_exc(limit=-3)}\n  {piece!r}")
            continue
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        counts["records"] += 1
        counts["refused"] += reading.rejected_count
        pieces.append(piece)
        truth = oracle.readings(piece)
        by_vector: dict[tuple[object, ...], list[oracle.Vector]] = {}
        for found in truth:
            by_vector.setdefault(expected(found), []).append(found)
        accepted = 0
        for group in reading.groups:
            accepted += group.count
            for example in group.examples:
                said = by_vector.get(vector(example.denial))
                if said is None:
                    findings.append(f"{where}: not in the record: {example.denial}\n  {piece!r}")
                elif not any(same_names(example.denial, one) for one in said):
                    findings.append(f"{where}: other names: {example.denial}\n  {piece!r}")
        whole = piece if piece.endswith("\n") else piece + "\n"
        for group in reading.groups if whole == piece else scan(whole).reading().groups:
            for example in group.examples:
                allowed[coarse(vector(example.denial))] += example.count
        counts["accepted"] += accepted
        counts["sound to the oracle"] += bool(truth)
        counts["sound to the oracle, refused"] += bool(truth) and not accepted
    # Together: the neighbours must not lend each other their parts.
    log = "----\n".join(p if p.endswith("\n") else p + "\n" for p in pieces)
    for block in (0, 997):
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
        try:
            reading = scan(log, block).reading()
        except Exception:
            findings.append(f"seed {seed} together: {traceback.format_exc(limit=-3)}")
            break
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        more = Counter()
        for group in reading.groups:
            if group.objects_exact:
                for example in group.examples:
                    more[coarse(vector(example.denial))] += example.count
        for what, count in (more - allowed).items():
            findings.append(f"seed {seed} together (block {block}): {count} too many of {what}")
    return counts, findings


def same_names(denial: Denial, found: oracle.Vector) -> bool:
    """Whether program and names agree; those that curly quotes or (null) stand for are not held."""
    for ours, theirs in ((denial.comm, found.comm), (denial.name, found.name)):
        if theirs in (None, "(null)", "?") or "\xe2\x80" in theirs:
            continue
        if ours != text(theirs):
            return False
    return True


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + -(-given.records // BATCH))
    total: Counter[str] = Counter()
    findings: list[str] = []
    started = time.monotonic()
    with Pool(given.jobs) as pool:
        for done, (counts, found) in enumerate(pool.imap_unordered(batch, seeds), 1):
            total += counts
            findings += found
            for finding in found[: max(0, 20 - len(findings) + len(found))]:
                print(finding, flush=True)
            if done % 200 == 0:
                print(f"{total['records']} records, {len(findings)} findings", flush=True)
    spent = time.monotonic() - started
    print(", ".join(f"{count} {what}" for what, count in total.items()))
    print(f"{len(findings)} findings in {spent:.0f} s")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
