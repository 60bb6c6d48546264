"""Another application on the same server, which looks into the files of the first one."""

import json
import pathlib

FILES = ("/var/lib/guestbook/db/guestbook.sqlite3", "/etc/guestbook/secret-key")


def application(environ, start_response):
    """Answer with the own context, and what came of each look."""
    found = {"context": pathlib.Path("/proc/thread-self/attr/current").read_text().strip("\0\n")}
    for path in FILES:
        try:
            with pathlib.Path(path).open("rb"):
                found[path] = "done"
        except OSError as error:
            found[path] = type(error).__name__
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
