"""Booting the machine for one job: files and a script go in, what the script left comes out."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.errors import MachineFailed
from wsgi_sepkg.machine.image import Image

_MEMORY = 3072  # MiB
_RESULTS = 256 * 2**20  # bytes that a job may give back
_BOOT_LIMIT = 240.0  # seconds until the job must have begun; 21-30 are usual without KVM


@dataclass(frozen=True)
class Outcome:
    """What a job left.

    ``status`` is the script's exit status and ``stdout`` what it printed; ``enforcing`` is what
    getenforce said after it. ``files`` holds everything in the job's ``$OUT`` and, beside it,
    ``audit.log``, ``journal``, ``packages`` (rpm -qa) and ``processes`` (ps -eLo label,...).
    ``booted`` and ``lasted`` are seconds: until the job began, and in all.
    """

    status: int
    stdout: str
    enforcing: str
    files: Mapping[str, bytes]
    booted: float
    lasted: float

    def text(self, name: str) -> str:
        """Return a file of ``files`` as text, '' when the job left none of that name."""
        return self.files.get(name, b"").decode("utf-8", "replace")


@dataclass(frozen=True)
class Machine:
    """A machine to run jobs in. ``disk`` is never changed: each job has its copy on write.

    ``form`` is how the disk is written, raw or qcow2; ``selinux`` whether the kernel has it.
    """

    kernel: Path
    initrd: Path
    disk: Path
    form: str = "raw"
    selinux: bool = True

    @classmethod
    def of(cls, image: Image) -> Machine:
        """Return the machine of an image."""
        return cls(image.kernel, image.initrd, image.disk)

    def run(
        self,
        script: str,
        files: Mapping[str, Path | str] | None = None,
        *,
        limit: float = 600.0,
        console: Callable[[str], None] = lambda line: None,
        keep: Path | None = None,
    ) -> Outcome:
        """Boot, run ``script`` by bash as an administrator, and return what it left.

        ``files`` lie beside the script, by name: a file to copy or a text. ``limit`` is in seconds
        for all of it. ``console`` gets each line of the console. ``keep`` is a file to be made: the
        disk as the job left it, which needs ``disk`` further. Raises ToolMissing, and MachineFailed
        when the machine does not boot, the job does not end in time, or its results cannot be read.
        """
        with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-machine-") as name:
            work = Path(name)
            _write_job(work / "job.tar", script, files or {})
            results = work / "results"
            with results.open("wb") as raw:
                raw.truncate(_RESULTS)
            command = self._command(work / "kept" if keep else None)
            argv = [*command, *_drive(work / "job.tar"), *_drive(results)]
            begun = time.monotonic()
            seen = _Console(console)
            with _started(argv) as child:
                seen.follow(child)
                seen.wait(child, begun + limit, begun + min(limit, _BOOT_LIMIT))
            lasted = time.monotonic() - begun
            outcome = _read_results(results, seen, lasted)
            if keep:
                shutil.move(work / "kept", keep)
            return outcome

    def without_selinux(self) -> Machine:
        """Return the same machine, booted with SELinux disabled."""
        return replace(self, selinux=False)

    def after(self, kept: Path, script: str, files: Mapping[str, Path | str]) -> Machine:
        """Return the machine as ``script`` leaves it, to be booted with SELinux.

        ``kept`` is its disk, made when absent.

        Two processes that ask for the same file run the job once. Raises what ``run`` raises, and
        MachineFailed when the job ends with another status than 0.
        """
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                new = kept.with_suffix(".new")
                outcome = self.run(script, files, keep=new)
                if outcome.status:
                    new.unlink()
                    last = "\n    ".join(outcome.stdout.splitlines()[-6:])
                    raise MachineFailed(f"the job ended with status {outcome.status}", last)
                new.rename(kept)
        return replace(self, disk=kept, form="qcow2", selinux=True)

    def _command(self, overlay: Path | None = None) -> list[str]:
        security = "security=selinux selinux=1" if self.selinux else "selinux=0"
        append = f"root=/dev/vda rw console=ttyS0 quiet {security}"
        return [
            process.find("qemu-system-x86_64", "runs the machine"),
            *accelerator(),
            *f"-smp 2 -m {_MEMORY} -nographic -no-reboot -nic none".split(),
            *("-kernel", str(self.kernel), "-initrd", str(self.initrd), "-append", append),
            *self._root(overlay),
        ]

    def _root(self, overlay: Path | None) -> list[str]:
        if overlay is None:
            return _drive(self.disk, self.form, snapshot="on")
        process.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", self.form, "-b", self.disk, overlay],
            why="keeps the machine's disk",
        )
        return _drive(overlay, "qcow2")

    def shell(self, files: Mapping[str, Path | str] | None = None) -> int:
        """Give the terminal to a root shell in the machine; return qemu's exit status."""
        with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-machine-") as name:
            job = Path(name) / "job.tar"
            _write_job(job, "", {**(files or {}), "interactive": ""})
            argv = [*self._command(), *_drive(job)]
            return subprocess.call(argv)


@cache
def accelerator() -> tuple[str, ...]:
    """Return qemu's options: KVM where it works here, else emulation on several threads.

    That /dev/kvm can be opened proves little: in a nested machine qemu may abort on the first
    register it sets, so it is started once without a guest.
    """
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        kvm = ("-accel", "kvm", "-cpu", "max")
        probe = process.run(
            ["qemu-system-x86_64", *kvm, *"-nodefaults -display none -S -monitor stdio".split()],
            stdin="quit\n",
            timeout=20,
            check=False,
        )
        if probe.status == 0:
            return kvm
    return ("-accel", "tcg,thread=multi", "-cpu", "max")


def _drive(path: Path, form: str = "raw", snapshot: str = "off") -> list[str]:
    file = str(path).replace(",", ",,")
    return ["-drive", f"file={file},if=virtio,format={form},snapshot={snapshot},cache=unsafe"]


def _write_job(path: Path, script: str, files: Mapping[str, Path | str]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in {**files, "run.sh": script}.items():
            if isinstance(content, Path):
                tar.add(content, name)
                continue
            data = content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            with tempfile.TemporaryFile() as body:
                body.write(data)
                body.seek(0)
                tar.addfile(info, body)


@contextmanager
def _started(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start qemu in a process group of its own, and leave none of it behind."""
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


class _Console:
    """What the machine says on its serial line."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.lines: list[str] = []
        self.ready = threading.Event()
        self.done = False
        self.booted = 0.0
        self._tell = tell
        self._begun = time.monotonic()

    def follow(self, child: subprocess.Popen[bytes]) -> None:
        """Read the console in a thread of its own until it ends."""
        self._thread = threading.Thread(target=self._read, args=(child,), daemon=True)
        self._thread.start()

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        for raw in child.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            self.lines.append(line)
            self._tell(line)
            if "MACHINE-READY" in line:
                self.booted = time.monotonic() - self._begun
                self.ready.set()
            elif "MACHINE-DONE" in line:
                self.done = True

    def wait(self, child: subprocess.Popen[bytes], end: float, boot: float) -> None:
        """Wait until the machine is off. Raises MachineFailed when a limit passes."""
        while child.poll() is None:
            now = time.monotonic()
            if not self.ready.is_set() and now > boot:
                raise MachineFailed(
                    "the machine did not boot in time", self.tail() or "its console stayed silent"
                )
            if now > end:
                raise MachineFailed(
                    "the job did not end in time and was stopped",
                    "give it longer with --timeout, or look what it waits for",
                )
            time.sleep(0.05)
        self._thread.join(5)
        if not self.ready.is_set():
            raise MachineFailed(
                f"the machine ended before its job began (qemu's status {child.returncode})",
                self.tail(),
            )

    def tail(self) -> str:
        """Return the last lines of the console."""
        return "\n    ".join(line for line in self.lines[-12:] if line.strip())


def _read_results(results: Path, seen: _Console, lasted: float) -> Outcome:
    if not seen.done:
        raise MachineFailed(
            "the machine went off before its job had handed over what it left", seen.tail()
        )
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(results, "r:") as tar:
            for member in tar:
                body = tar.extractfile(member) if member.isfile() else None
                if body is not None:
                    files[member.name.removeprefix("./")] = body.read()
        status = int(files["status"])
    except (tarfile.TarError, KeyError, ValueError, OSError) as exc:
        raise MachineFailed(f"what the job left cannot be read: {exc}", seen.tail()) from exc
    stdout = files.get("stdout", b"").decode("utf-8", "replace")
    enforcing = files.get("enforcing", b"").decode("utf-8", "replace").strip()
    return Outcome(status, stdout, enforcing, files, seen.booted, lasted)
