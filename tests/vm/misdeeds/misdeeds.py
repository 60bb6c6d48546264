"""What an attacker inside the application would try. Only tests put this page into the example.

Each misdeed either succeeds, which is told as "done", or ends with the error of the kernel.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import pathlib
import signal
import socket
import subprocess
import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse

CODE = pathlib.Path(__file__).parent


def look(path):
    """Open for reading."""
    os.close(os.open(path, os.O_RDONLY))


def append(path):
    """Open for appending: a read-only mount would answer a plain write before SELinux does."""
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def execute(*words):
    """Start a program."""
    subprocess.run(words, check=False, capture_output=True)


def connect(port):
    """Ask for a connection; that nobody listens is no refusal of the kernel's policy."""
    with socket.socket() as link:
        if link.connect_ex(("127.0.0.1", port)) in (errno.EACCES, errno.EPERM):
            raise PermissionError(errno.EACCES, "connect")


def bind(port):
    """Listen on a port."""
    with socket.socket() as link:
        link.bind(("127.0.0.1", port))


def uploaded():
    """Run what a visitor has uploaded."""
    path = pathlib.Path(settings.MEDIA_ROOT) / "misdeed"
    path.write_text("#!/bin/true\n")
    path.chmod(0o755)
    try:
        execute(str(path))
    finally:
        path.unlink()


def sibling():
    """Reach into the memory of another process of the application: asks for ptrace.

    mod_wsgi's process has changed its account, so that it is not dumpable, and the kernel would
    refuse before it asks SELinux (prctl(2), PR_SET_DUMPABLE).
    """
    import ctypes

    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        with pathlib.Path(f"/proc/{child}/mem").open("rb"):
            return
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def enter(domain):
    """Leave for another domain."""
    context = pathlib.Path("/proc/thread-self/attr/current").read_text().strip("\0\n").split(":")
    context[2] = domain
    fd = os.open("/proc/thread-self/attr/current", os.O_WRONLY)
    try:
        os.write(fd, ":".join(context).encode())
    finally:
        os.close(fd)


def writable_code():
    """Map memory that can be written and run."""
    mmap.mmap(
        -1,
        4096,
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
        prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
    ).close()


LOG = "/var/log/guestbook/guestbook.log"
MISDEEDS = {
    "shadow": lambda: look("/etc/shadow"),
    "server-configuration": lambda: look("/etc/apache2/apache2.conf"),
    "other-data": lambda: look("/var/lib/other/secret"),
    "other-page": lambda: look("/var/www/html/index.html"),
    "tls-key": lambda: look("/etc/ssl/private/site.key"),
    "own-code": lambda: append(CODE / "urls.py"),
    "own-entry": lambda: append("/usr/libexec/guestbook/guestbook-manage"),
    "own-configuration": lambda: append("/etc/guestbook/guestbook.conf"),
    "own-log-unlink": lambda: pathlib.Path(LOG).unlink(),
    "own-log-truncate": lambda: os.truncate(LOG, 0),
    "unit": lambda: append("/usr/lib/systemd/system/apache2.service"),
    "sh": lambda: execute("/bin/sh", "-c", "true"),
    "python3": lambda: execute("/usr/bin/python3", "-c", ""),
    "env": lambda: execute("/usr/bin/env"),
    "uploaded": uploaded,
    "connect": lambda: connect(31337),
    "connect-mail": lambda: connect(25),
    "bind": lambda: bind(8099),
    "sibling": sibling,
    "setenforce": lambda: pathlib.Path("/sys/fs/selinux/enforce").write_text("0"),
    "httpd-domain": lambda: enter("httpd_t"),
    "unconfined-domain": lambda: enter("unconfined_t"),
    "writable-code": writable_code,
}


def page(request: HttpRequest) -> HttpResponse:
    """Try all; tell what came of each, and where this is."""
    found = {}
    for name, misdeed in MISDEEDS.items():
        try:
            misdeed()
        except Exception as error:
            found[name] = f"{type(error).__name__} {getattr(error, 'errno', '')}".strip()
        else:
            found[name] = "done"
    found["context"] = pathlib.Path("/proc/thread-self/attr/current").read_text().strip("\0\n")
    return HttpResponse(json.dumps(found), content_type="application/json")
