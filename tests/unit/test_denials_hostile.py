"""Spoilt records, some at a time; `make hostile` runs a million of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hostile"))

import mutate
import oracle
import run


@pytest.mark.parametrize("seed", [3, 1_000_003])
def test_no_spoilt_record_is_accepted_that_the_oracle_refuses(seed):
    counts, findings = run.batch(seed)
    assert findings == []
    assert counts["accepted"] > 50
    assert counts["refused"] > 200


def test_the_oracle_would_see_a_garbled_acceptance(monkeypatch):
    """A reader that believes the second of two targets must be found out."""
    monkeypatch.setattr(run, "BATCH", 300)
    sound = oracle.decision

    def careful(line: str) -> oracle.Vector:
        found = sound(line)
        if found.tclass == "dir":
            raise oracle.No
        return found

    monkeypatch.setattr(oracle, "decision", careful)
    _, findings = run.batch(5)
    assert any("not in the record" in finding for finding in findings)


def test_sound_records_are_not_refused():
    import random

    rng = random.Random(11)
    for _ in range(400):
        piece = mutate.record(rng).encode().decode("latin-1")
        reading = run.scan(piece).reading()
        assert reading.rejected == (), piece
        assert reading.denied == 1, piece


@pytest.mark.parametrize(
    "text",
    [
        "type=AVC msg=audit(1.1:1): avc:  denied  { " + "a " * 100_000 + "}\n",
        "type=AVC msg=audit(1.1:1): avc:  denied  { read } for  " + "a=b " * 60_000 + "\n",
        "type=AVC msg=audit(1700000000.000:1): avc:  denied  { read } for  pid=1 comm="
        + "A" * 400_000,
        ("avc:  denied  { read } for  scontext=" + "a:" * 40_000 + "\n") * 3,
        "node=" + "a " * 200_000 + "avc: denied\n",
        'type=AVC msg=audit(1700000000.000:1): avc:  denied  { read } for  comm="' + '" "' * 50_000,
        ("type=AVC msg=audit(1700000000.000:1): avc:  denied  { read } for\n" + "x\n" * 20) * 500,
        "type=AVC msg=audit(" * 30_000 + "\n",
        "\n" * 2_000_000 + "avc:",
        "avc:" * 500_000 + "\n",
        "type=AVC x" * 300_000,
        "'" + " type=AVC msg=audit(" * 40_000 + "\n",
        "avc: denied " + "=" * 900_000 + "\n",
        "=" * 900_000 + " avc: denied\n",
        "avc: denied " + "node=" * 180_000 + "\n",
        "type=AVC msg=audit(1/1/24 10:00:00.000:1): avc:  denied  { read } for  comm=x"
        + " " * 900_000
        + "y\n",
        "type=SELINUX_ERR msg=audit(1700000000.000:1): security_compute_sid: "
        + "invalid context " * 50_000,
        "type=USER_AVC msg=audit(1700000000.000:1): " + "a= " * 300_000 + "msg=avc: denied\n",
        ("type=AVC msg=audit(1700000000.000:1): avc:  denied  { read } for  pid=1\n") * 3000,
    ],
    ids=range(19),
)
def test_a_log_made_to_keep_the_reader_busy_ends(text):
    import signal

    signal.signal(signal.SIGALRM, run.hang)
    signal.alarm(60)
    try:
        reading = run.scan(text, 1 << 20).reading()
    finally:
        signal.alarm(0)
    assert reading.denied == 0
