"""Work for a worker, and a page that hands it over. Only tests put this into the example."""

from __future__ import annotations

import json
import pathlib

from celery import Celery
from django.conf import settings
from django.http import HttpRequest, HttpResponse

app = Celery("guestbook", broker="redis://127.0.0.1:6379/0", backend="redis://127.0.0.1:6379/1")


@app.task
def note(text: str) -> str:
    """Write where the application keeps its data; return the context of the worker."""
    path = pathlib.Path(settings.DATABASES["default"]["NAME"]).parent / "note"
    path.write_text(text)
    return pathlib.Path("/proc/thread-self/attr/current").read_text().strip("\0\n")


def page(request: HttpRequest) -> HttpResponse:
    """Hand work over, and wait for its end."""
    found = {"worker": note.delay("done").get(timeout=60)}
    return HttpResponse(json.dumps(found), content_type="application/json")
