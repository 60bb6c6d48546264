"""Spoilt records, some at a time; `make hostile` runs a million of them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import multiprocessing
import os
import random
import re
import signal
import sys
from pathlib import Path

import pytest
import zstandard

from wsgi_sepkg.denials import read, reading, scan
from wsgi_sepkg.denials.tally import Tally
from wsgi_sepkg.errors import UsageError

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import denial_logs
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
    signal.signal(signal.SIGVTALRM, run.hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)
    try:
        reading = run.scan(text, 1 << 20).reading()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert reading.denied == 0


def containers() -> dict[str, bytes]:
    """A log of sound records in every container."""
    rng = random.Random(5)
    text = "".join(mutate.record(rng) for _ in range(40)).encode()
    entry = {
        "_TRANSPORT": "audit",
        "_AUDIT_TYPE_NAME": "AVC",
        "_AUDIT_ID": "7",
        "_HOSTNAME": "web1",
        "__REALTIME_TIMESTAMP": "1700000000123456",
        "MESSAGE": "AVC avc:  denied  { read } for  pid=1 scontext=u:r:a_t:s0 tcontext=u:r:b_t:s0 "
        "tclass=file permissive=0",
    }
    fields = "".join(f"{k}={v}\n" for k, v in entry.items()).encode()
    binary = b"MESSAGE\n" + (4).to_bytes(8, "little") + b"a\nbc\n"
    return {
        "gz": gzip.compress(text),
        "xz": lzma.compress(text),
        "bz2": bz2.compress(text),
        "zst": zstandard.ZstdCompressor().compress(text),
        "json": (json.dumps(entry) + "\n").encode() * 20,
        "export": (b"__CURSOR=x\n" + fields + b"\n" + b"__CURSOR=y\n" + binary + b"\n") * 20,
    }


@pytest.mark.parametrize("name", containers())
def test_a_spoilt_container_is_told_and_never_a_crash(name, tmp_path):
    rng = random.Random(name)
    sound = containers()[name]
    path = tmp_path / "log"
    path.write_bytes(sound)
    assert read([path], jobs=1).denied >= 20
    for _ in range(60):
        raw = bytearray(sound)
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(bytes(raw[: rng.choice((len(raw), rng.randrange(1, len(raw))))]))
        reading = read([path], jobs=1)
        for group in reading.groups:
            assert group.denial.source.type.isprintable()


def test_a_reading_process_that_is_killed_is_one_error(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_text(mutate.record(random.Random(1)) * 200)
    monkeypatch.setattr(reading, "WORTH_A_PROCESS", 1000)
    monkeypatch.setattr(reading, "read_part", killed)
    with pytest.raises(reading.ReadingFailed, match="was killed"):
        read([path], jobs=2)
    assert multiprocessing.active_children() == []


def test_logs_are_read_the_same_by_one_process_and_by_several(tmp_path, monkeypatch):
    """Standard input too, which only the first process has."""
    logs = []
    for number in range(4):
        logs.append(tmp_path / f"log{number}")
        logs[-1].write_text("".join(denial_logs.lines(900, distinct=40, seed=number)))
    monkeypatch.setattr(reading, "WORTH_A_PROCESS", 1000)
    piped = tmp_path / "piped"
    piped.write_text("".join(denial_logs.lines(300, distinct=40, seed=9)))
    results, called = [], []
    for jobs, meanwhile in ((1, None), (2, None), (3, None), (2, lambda: called.append(1))):
        with piped.open() as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            results.append(read([*logs[:3], "-", logs[3]], jobs=jobs, meanwhile=meanwhile))
    assert results[0].lines == 4 * 900 + 300
    assert results[1] == results[2] == results[3] == results[0]
    assert called == [1]


def test_what_goes_wrong_meanwhile_ends_the_others(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_text("".join(denial_logs.lines(900)))
    monkeypatch.setattr(reading, "WORTH_A_PROCESS", 1000)
    with pytest.raises(ZeroDivisionError):
        read([path], jobs=2, meanwhile=lambda: 1 // 0)
    assert multiprocessing.active_children() == []


def test_a_log_that_another_process_cannot_open_is_told_as_ever(tmp_path, monkeypatch):
    logs = [tmp_path / "one", tmp_path / "two"]
    for log in logs:
        log.write_text(mutate.record(random.Random(1)))
    parts = [reading.Part(str(logs[0])), reading.Part(str(tmp_path / "three"))]
    monkeypatch.setattr(reading, "split", lambda log, jobs: [parts[logs.index(Path(log))]])
    with pytest.raises(UsageError, match="three cannot be read"):
        read(logs, jobs=2)
    assert multiprocessing.active_children() == []


HERE, READ_PART = os.getpid(), reading.read_part


def killed(part: reading.Part) -> Tally:
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return READ_PART(part)


def test_the_fast_form_says_what_the_strict_reading_says(monkeypatch):
    """Without the expression that reads plain records, every record takes the strict way."""
    rng = random.Random(21)
    log = "".join(
        mutate.record(rng) if rng.random() < 0.7 else mutate.spoil(rng, mutate.record(rng)) + "\n"
        for _ in range(1500)
    ).encode("latin-1", "replace")
    log = log.decode("latin-1")
    log += "".join(denial_logs.lines(3000, distinct=300))
    fast = run.scan(log).reading()
    assert fast.denied > 1000
    monkeypatch.setattr(scan, "_FAST", re.compile(rb"(?!)"))
    strict = run.scan(log).reading()
    assert fast == strict


def test_a_bound_of_the_memory_changes_no_result(monkeypatch):
    log = "".join(denial_logs.lines(6000, distinct=300))
    whole = run.scan(log, 1 << 16).reading()
    assert whole.denied > 500
    read_held = Tally.read_held
    asked = []
    monkeypatch.setattr(Tally, "read_held", lambda self: (asked.append(1), read_held(self)))
    monkeypatch.setattr(scan, "_MOST_HELD", 20_000)
    monkeypatch.setattr(scan, "_MOST_KNOWN", 30)
    monkeypatch.setattr(scan, "_LONGEST_KNOWN", 60)
    assert run.scan(log, 1 << 16).reading() == whole
    assert len(asked) > 3


def test_a_record_that_gives_way_is_never_read(monkeypatch):
    log = "".join(denial_logs.lines(6000, distinct=300))
    real, joined = scan.join.join, []
    monkeypatch.setattr(scan.join, "join", lambda *words: (joined.append(1), real(*words))[1])
    reading = run.scan(log, 1 << 16).reading()
    assert len(joined) == sum(len(group.examples) for group in reading.groups)
