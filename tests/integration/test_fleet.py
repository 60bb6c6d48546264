"""Reading logs on a real Dask cluster, with a worker that dies on the way."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from wsgi_sepkg.denials import fleet, reading, summary
from wsgi_sepkg.denials.fleet import ClusterFailed

distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")

# The workers cannot import this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.integration


def line(number: int, log: int) -> str:
    return (
        f"type=AVC msg=audit(17000{log:05d}.{number % 1000:03d}:{number}): avc:  denied  "
        f'{{ open }} for  pid=1 comm="app{log}" path="/srv/{number % 90}" dev="dm-0" ino=1 '
        f"scontext=system_u:system_r:app{number % 7}_t:s0 tcontext=system_u:object_r:var_t:s0 "
        "tclass=file permissive=0\n"
    )


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    names = []
    for log in range(12):
        path = tmp_path / f"host{log}.log"
        broken = "type=AVC msg=audit(1700000000.000:1): avc:  denied  { read } for  pid=1\n"
        path.write_text("".join(line(n, log) for n in range(2000)) + broken)
        names.append(path.as_uri() if log % 2 else str(path))
    return names


@pytest.fixture
def cluster(tmp_path: Path):
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
    ) as made:
        yield made


def die_once(flag: str) -> None:
    """In a worker: end it by SIGKILL when it is asked for its third part, once in all."""
    real, asked = fleet.read_part, []

    def read_part(part: reading.Part) -> bytes:
        asked.append(part)
        if len(asked) == 3 and not Path(flag).exists():
            Path(flag).write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return real(part)

    fleet.read_part = read_part


def share(size: int) -> None:
    fleet.SHARE = size
    reading.WORTH_A_PROCESS = size


def test_a_worker_that_is_killed_costs_no_record_and_doubles_none(logs, cluster, tmp_path):
    here = reading.tally(logs, jobs=1)
    assert sum(pile.count for pile in here.piles.values()) == 24_000
    flag = tmp_path / "killed"
    with distributed.Client(cluster, set_as_default=False) as client:
        before = set(client.run(os.getpid).values())
        client.run(share, 100_000)
        client.run(die_once, str(flag))
        there = fleet.tally(logs, cluster.scheduler_address)
        client.wait_for_workers(2)
        after = set(client.run(os.getpid).values())
    assert int(flag.read_text()) in before - after
    there.sources = here.sources
    assert summary.dump(there) == summary.dump(here)


def test_a_scheduler_that_does_not_answer_is_said_to_be_missing(logs, monkeypatch):
    monkeypatch.setattr(fleet, "PATIENCE", "1s")
    with pytest.raises(ClusterFailed, match="no Dask scheduler answers"):
        fleet.tally(logs, "tcp://127.0.0.1:1")
