"""Real denials out of public bug trackers, where the folder with them lies beside the checkout."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wsgi_sepkg.denials import read

BESIDE = Path(__file__).parents[2].parent / "shared" / "corpus"
CORPUS = Path(os.environ.get("WSGI_SEPKG_CORPUS", BESIDE))
INDEX = CORPUS / "index.jsonl"

pytestmark = pytest.mark.skipif(not INDEX.exists(), reason="the corpus of denials is not here")


def rows() -> list[dict]:
    return [json.loads(line) for line in INDEX.read_text().splitlines() if line.strip()]


def test_every_real_record_becomes_a_denial_or_is_refused_and_none_is_garbled():
    accounted, refused, faults = 0, 0, []
    for row in rows():
        reading = read([CORPUS / Path(row["file"]).name], jobs=1)
        assert reading.denied + reading.rejected_count == row["n_avc"], row["id"]
        accounted += row["n_avc"]
        refused += reading.rejected_count
        for group in reading.groups:
            denial = group.denial
            said = {
                "source_types": denial.source.type,
                "target_types": denial.target.type,
                "classes": denial.tclass,
            }
            faults += [(row["id"], v) for k, v in said.items() if row[k] and v not in row[k]]
            if row["perms"]:
                assert set(denial.permissions) <= set(row["perms"]), row["id"]
    assert faults == []
    assert accounted >= 163
    # Two with letters lost, one with escaped underscores, two cut short.
    assert refused == 5
