"""The only place that starts other programs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg.errors import ToolFailed, ToolMissing

# tool: (apt package, dnf package)
PACKAGES: dict[str, tuple[str, str]] = {
    "checkmodule": ("checkpolicy", "checkpolicy"),
    "checkpolicy": ("checkpolicy", "checkpolicy"),
    "m4": ("m4", "m4"),
    "make": ("make", "make"),
    "semodule": ("policycoreutils", "policycoreutils"),
    "semodule_package": ("semodule-utils", "policycoreutils-devel"),
    "matchpathcon": ("libselinux-utils selinux-utils", "libselinux-utils"),
    "rpmbuild": ("rpm", "rpm-build"),
    "rpm": ("rpm", "rpm"),
    "bzip2": ("bzip2", "bzip2"),
    "gzip": ("gzip", "gzip"),
    "createrepo_c": ("createrepo-c", "createrepo_c"),
    "rpmsign": ("rpm", "rpm-sign"),
    "gpg": ("gpg", "gnupg2"),
    "rpmkeys": ("rpm", "rpm"),
    "setfiles": ("policycoreutils", "policycoreutils"),
    "sesearch": ("setools", "setools-console"),
    "debootstrap": ("debootstrap", "debootstrap"),
    "mke2fs": ("e2fsprogs", "e2fsprogs"),
    "qemu-img": ("qemu-utils", "qemu-img"),
    "qemu-system-x86_64": ("qemu-system-x86", "qemu-system-x86-core"),
    "setpriv": ("util-linux", "util-linux"),
    "selint": ("selint", "selint"),
    "mock": ("mock", "mock"),
    "/usr/libexec/selinux/hll/pp": ("policycoreutils", "policycoreutils"),
    "/usr/share/selinux/devel/Makefile": ("selinux-policy-dev", "selinux-policy-devel"),
}


@dataclass(frozen=True)
class Finished:
    """A program that ended: ``status`` is its exit status, both streams decoded as UTF-8."""

    command: list[str]
    status: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Standard output followed by standard error."""
        return self.stdout + self.stderr


def find(tool: str, why: str = "") -> str:
    """Return the path of ``tool``, looking in the system's sbin folders too.

    Raises ToolMissing, naming the package for apt and dnf.
    """
    if tool.startswith("/"):
        if Path(tool).exists():
            return tool
        found = None
    else:
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        found = shutil.which(tool, path=path)
    if found is None:
        apt, dnf = PACKAGES.get(tool, ("", ""))
        raise ToolMissing(tool, apt, dnf, why)
    return found


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = 600,
    check: bool = True,
    log: Path | None = None,
    stdin: str | None = None,
    why: str = "",
) -> Finished:
    """Run ``command`` (no shell, ``LC_ALL=C``) and return what it said.

    ``env`` adds to the environment; ``log`` keeps the command line and both streams; ``timeout`` is
    in seconds. Raises ToolMissing when the program is not there, ToolFailed when ``check`` is set
    and its status is not 0, or when the time is over.
    """
    argv = [str(part) for part in command]
    argv[0] = find(argv[0], why)
    full_env = {**os.environ, "LC_ALL": "C", **(env or {})}
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=full_env,
            timeout=timeout,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired as exc:
        raise ToolFailed(argv, -1, f"no end after {timeout:g} seconds", log=log) from exc
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(
            f"$ {' '.join(argv)}\n{done.stdout}{done.stderr}[status {done.returncode}]\n",
            encoding="utf-8",
        )
    finished = Finished(argv, done.returncode, done.stdout, done.stderr)
    if check and done.returncode != 0:
        raise ToolFailed(argv, done.returncode, finished.output, log=log)
    return finished


# -- programs that outlive this one ----------------------------------------------------------------

# The status is renamed into place, so that it is whole or not there.
_KEEP_STATUS = '"$@" >output.log 2>&1; echo $? >status.part; mv status.part status'


def start(
    command: Sequence[str | Path],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    why: str = "",
) -> None:
    """Start ``command`` in a session of its own, so that it goes on when this program is killed.

    It works in ``folder`` (its working folder too), which then holds ``pid``, ``output.log`` with
    both streams and, once it ended, ``status``. Raises ToolMissing.
    """
    argv = [str(part) for part in command]
    argv[0] = find(argv[0], why)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "alive").open("w") as lock:
        # Whoever holds this lock is the program or a child of it: no number of a process is reused.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        started = subprocess.Popen(
            ["/bin/sh", "-c", _KEEP_STATUS, "sh", *argv],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
        (folder / "pid").write_text(f"{started.pid}\n", encoding="utf-8")
    _children.append(started)


# Kept, so that the interpreter does not warn of children that are meant to go on.
_children: list[subprocess.Popen[bytes]] = []


def started(folder: Path) -> bool:
    """Tell whether a program was started in ``folder``."""
    return (folder / "pid").is_file() or _locked(folder)


def ended(folder: Path) -> int | None:
    """Return the exit status of the program started in ``folder``, None while it runs.

    -1 when it is gone and left no status: it was killed.
    """
    for child in _children:
        child.poll()  # takes the dead off the list of processes
    for alive in (True, False):
        with contextlib.suppress(OSError, ValueError):
            return int((folder / "status").read_text(encoding="utf-8"))
        # It may end between the two questions: ask for the status once more after the lock.
        if alive and _locked(folder):
            return None
    return -1


def stop(folder: Path) -> None:
    """Ask the program started in ``folder`` and its children to end (SIGTERM)."""
    if ended(folder) is None:
        with contextlib.suppress(OSError, ValueError):
            os.killpg(int((folder / "pid").read_text(encoding="utf-8")), signal.SIGTERM)


def _locked(folder: Path) -> bool:
    try:
        with (folder / "alive").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
