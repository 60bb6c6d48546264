"""Summaries: exact, the same in any order, and never believed blindly."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wsgi_sepkg.cli import app
from wsgi_sepkg.denials import model, read, reading, summary
from wsgi_sepkg.errors import UsageError

RUN = CliRunner()


def event(rng: random.Random, number: int, kinds: int, files: int) -> str:
    source, name = rng.randrange(kinds), rng.randrange(files)
    return (
        f"type=AVC msg=audit({1_700_000_000 + rng.randrange(1000)}.{number % 1000:03d}:{number}): "
        f'avc:  denied  {{ read }} for  pid={number} comm="app" name="f{name}" dev="dm-0" ino=1 '
        f"scontext=system_u:system_r:app{source}_t:s0 tcontext=system_u:object_r:var_t:s0 "
        "tclass=file permissive=0\n"
    )


def logs(folder: Path, count: int, kinds: int = 5, files: int = 200) -> list[str]:
    """``count`` logs of 300 denials, broken records among them."""
    made = []
    for index in range(count):
        rng = random.Random(index)
        lines = [event(rng, index * 1000 + n, kinds, files) for n in range(300)]
        lines.insert(7, lines[3].replace("tclass", "tclas"))
        lines.insert(9, "type=MAC_STATUS msg=audit(1700000000.1:1): enforcing=0\n")
        path = folder / f"host{index}.log"
        path.write_text("".join(lines))
        made.append(str(path))
    return made


def test_merging_in_any_order_gives_the_bytes_of_reading_all_at_once(tmp_path):
    names = logs(tmp_path, 6)
    whole = summary.dump(reading.tally(names))
    parts = [(n, summary.dump(reading.tally([n]))) for n in names]
    for seed in range(4):
        random.Random(seed).shuffle(parts)
        loaded = [(name, summary.load(data, name)) for name, data in parts]
        # Merged by halves, as a tree of hosts would.
        left, right = summary.merge(loaded[:3]), summary.merge(loaded[3:])
        assert summary.dump(summary.merge([("left", left), ("right", right)])) == whole
    found = summary.load(whole, "whole").reading()
    assert found == read(names)
    assert found.denied == 1800
    assert found.rejected_count == 6


def test_bounds_hold_in_any_order_too(tmp_path, monkeypatch):
    """With more groups than are kept, the same ones stay, with exact counts."""
    monkeypatch.setattr(model, "MOST_GROUPS", 20)
    monkeypatch.setattr(model, "EXAMPLES", {8: 6, 16: 3})
    names = logs(tmp_path, 6, kinds=60, files=30)
    whole = reading.tally(names)
    exact = {g.hash: g.count for g in read_all(names, monkeypatch).groups}
    kept = whole.reading()
    assert len(kept.groups) == 20
    assert kept.denied + kept.dropped == 1800
    assert all(exact[g.hash] == g.count for g in kept.groups)
    one_by_one = {name: summary.dump(reading.tally([name])) for name in names}
    for seed in range(4):
        order = random.Random(seed).sample(names, 6)
        parts = [(name, summary.load(one_by_one[name], name)) for name in order]
        assert summary.dump(summary.merge(parts)) == summary.dump(whole)


def test_records_of_a_group_that_was_let_go_are_counted_as_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "MOST_GROUPS", 2)
    names = logs(tmp_path, 1, kinds=6)
    lines = Path(names[0]).read_text().splitlines(keepends=True)
    ones = list(
        {line.partition(" scontext=")[2]: line for line in lines if " tclass=" in line}.values()
    )
    for seed in range(30):
        log = random.Random(seed).choices(ones, k=40)
        Path(names[0]).write_text("".join(log))
        found = reading.tally(names, jobs=1).reading()
        assert found.denied + found.dropped == len(log), seed


def read_all(names, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(model, "MOST_GROUPS", 8192)
        return read(names)


def test_a_log_in_two_summaries_is_not_counted_twice(tmp_path):
    (name,) = logs(tmp_path, 1)
    one = reading.tally([name])
    with pytest.raises(UsageError, match="count twice"):
        summary.merge([("a.json", one), ("b.json", reading.tally([name]))])


def test_the_commands_make_and_merge_what_explain_reads_like_a_log(tmp_path):
    names = logs(tmp_path, 3)
    for name in names:
        done = RUN.invoke(app, ["denials", "summarize", name, "-o", name + ".json"])
        assert done.exit_code == 0, done.output
        assert "300 access decisions in 5 groups; 1 record rejected" in done.output
    merged = str(tmp_path / "fleet.json")
    done = RUN.invoke(app, ["denials", "merge", *[n + ".json" for n in names], "-o", merged])
    assert done.exit_code == 0, done.output
    assert read([merged]) == read(names)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(wsgi_sepkg_denials=9), "version 9"),
        (lambda d: d["groups"][0]["objects"][0][2]["source"].update(type="a b"), "another group"),
        (lambda d: d["groups"][0].update(count=0), "do not add up"),
        (lambda d: d["groups"][0].update(objects=[]), "do not add up"),
        (lambda d: d["groups"][0]["objects"][0][2].update(comm="\x1b[2J"), "not printable"),
        (lambda d: d["groups"][0]["objects"][0][2].update(permissions=["x;y"]), "another group"),
        (lambda d: d.update(more=1), "unknown field"),
        (lambda d: d.pop("lines"), "missing required field"),
    ],
    ids=range(8),
)
def test_a_summary_that_was_altered_is_refused(tmp_path, change, says):
    (name,) = logs(tmp_path, 1)
    data = json.loads(summary.dump(reading.tally([name])))
    change(data)
    with pytest.raises(UsageError, match=says):
        summary.load(json.dumps(data).encode(), "x.json")


def test_a_forged_group_of_a_summary_is_refused_even_when_it_is_consistent(tmp_path):
    (name,) = logs(tmp_path, 1)
    data = json.loads(summary.dump(reading.tally([name])))
    group = data["groups"][0]
    group["key"][4] = "x; allow a b:c d"
    for seen in group["objects"]:
        seen[2]["source"]["type"] = "x; allow a b:c d"
    with pytest.raises(UsageError, match="source is no context"):
        summary.load(json.dumps(data).encode(), "x.json")
