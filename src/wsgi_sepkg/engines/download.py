"""Fetching a file of a service's results: whole, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from wsgi_sepkg.errors import ServiceFailed

# Seconds: to connect, and between two pieces of a file.
TIMEOUT = (30, 180)
_TRIES = 4
PAUSE = 1.0
_RPM = b"\xed\xab\xee\xdb"  # the lead of an RPM (rpm's file format)


class Gone(ServiceFailed):
    """The service has no such file."""


def download(url: str, path: Path, hidden: Callable[[str], str] = str) -> Path:
    """Fetch ``url`` into ``path``, under another name until it is whole, and return the path.

    A cut connection or an error of the server is tried again, a second later and then twice as
    long each time. Raises Gone for a file that is not there, ServiceFailed.
    """
    import requests

    part = path.with_name(f".{path.name}.part")
    wrong = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            with requests.get(
                url, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
            ) as answer:
                if answer.status_code in (403, 404, 410):
                    raise Gone(
                        f"{hidden(url)}: HTTP {answer.status_code}",
                        "the service may have deleted it; build again",
                    )
                answer.raise_for_status()
                with part.open("wb") as stream:
                    for piece in answer.iter_content(1 << 16):
                        stream.write(piece)
                # requests does not compare the length by itself.
                said, got = answer.headers.get("Content-Length"), part.stat().st_size
            if said is not None and int(said) != got:
                wrong = f"{got} of {said} bytes came"
            elif path.suffix == ".rpm" and part.open("rb").read(4) != _RPM:
                wrong = "what came is no RPM"
            else:
                return part.replace(path)
        except requests.RequestException as exc:
            wrong = hidden(str(exc))
        finally:
            part.unlink(missing_ok=True)
    raise ServiceFailed(
        f"{hidden(url)} cannot be fetched: {wrong}",
        "the results stay in the service: try again with `wsgi-sepkg build --follow`",
    )
