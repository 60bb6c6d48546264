"""Logs of many hosts, read where they lie, by the workers of a Dask cluster.

Needs the extra ``fleet``: dask.distributed, and fsspec with the driver of each kind of URL. The
cluster is the user's; this module sends it parts of logs and merges what comes back. A part that
was lost with its worker is read again by another one; each part is merged exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from wsgi_sepkg.denials import reading, sources, summary
from wsgi_sepkg.denials.reading import Part
from wsgi_sepkg.denials.tally import Tally
from wsgi_sepkg.errors import ToolMissing, UsageError, WsgiSepkgError

# A worker's share of a log that can be split.
SHARE = 64 << 20
RETRIES = 3
# How long a scheduler may take to answer.
PATIENCE = "20s"


class ClusterFailed(WsgiSepkgError):
    """The cluster cannot be reached, or gave a part up."""

    exit_status = 5


def _needs(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise ToolMissing(
            module, why="reading logs by URL or on a cluster: pip install distributed fsspec"
        ) from exc


@contextmanager
def open_url(url: str) -> Iterator[BinaryIO]:
    """Open ``url`` (``s3://``, ``https://``, ``sftp://``, ``file://``, ...) for reading bytes.

    Raises UsageError, ToolMissing.
    """
    fsspec = _needs("fsspec")
    try:
        with fsspec.open(url, "rb").open() as stream:
            yield stream
    except (OSError, ValueError, ImportError) as exc:
        raise UsageError(f"{url} cannot be read: {exc}") from exc


def split(log: str) -> list[Part]:
    """Parts of ``log`` (URL or path) of about `SHARE` bytes; a packed one is one part."""
    with sources.opened(log) as stream:
        start = stream.read(4096)
        if sources.compression(start) or sources.form(start) or not stream.seekable():
            return [Part(log)]
        return reading.cut(log, stream, stream.seek(0, 2), SHARE)


def read_part(part: Part) -> bytes:
    """What a worker does: read ``part``, answer with its summary."""
    return summary.dump(reading.read_part(part))


def tally(logs: Sequence[str], scheduler: str) -> Tally:
    """Read ``logs``, which every worker must reach by that name, on the cluster at ``scheduler``.

    Raises ClusterFailed, ToolMissing, UsageError.
    """
    distributed = _needs("distributed")
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as exc:
        raise ClusterFailed(
            f"no Dask scheduler answers at {scheduler}", "start one with: dask scheduler"
        ) from exc
    with client:
        try:
            found = client.gather(client.map(split, logs, pure=False, retries=RETRIES))
            parts = [part for some in found for part in some]
            futures = client.map(read_part, parts, pure=False, retries=RETRIES)
            answers = (_answer(part, future) for part, future in zip(parts, futures, strict=True))
            return reading.merged(parts, answers)
        except WsgiSepkgError:
            raise
        except Exception as exc:
            raise ClusterFailed(f"the cluster gave up: {exc}") from exc


def _answer(part: Part, future: Any) -> Tally:
    found = summary.load(future.result(), part.log)
    future.release()
    return found
