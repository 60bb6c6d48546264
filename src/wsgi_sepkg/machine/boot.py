"""Booting the machine for one job: files and a script go in, what the script left comes out."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.errors import MachineFailed, UsageError
from wsgi_sepkg.machine.image import GUEST, Image
from wsgi_sepkg.machine.qmp import NotSaved, save

# A machine that was saved finds its disks again by their sizes, so these are the same for all jobs.
_JOB = 4 * 2**30  # bytes that a job may bring along, as an archive
_RESULTS = 256 * 2**20  # bytes that a job may give back
_KEPT = 24 * 3600.0  # seconds after its last use that a saved machine is kept
_BOOT_LIMIT = 240.0  # seconds until the job must have begun; 21-30 are usual without KVM
_FOREIGN_BOOT_LIMIT = 600.0  # the same for a user's disk, whose cloud-init has more to do
_LEAST = 512  # MiB; with less, qemu cannot place the kernel, and says nothing
_QCOW2 = b"QFI\xfb"  # qcow2's magic, docs/interop/qcow2.txt of qemu


# What a kernel without enough memory says at its start, or later.
_NO_MEMORY = ("deadlocked on memory", "Out of memory: Killed process", "invoked oom-killer")


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

    ``kernel`` and ``initrd`` are None where the disk boots by itself: a user's disk, in which
    cloud-init begins the job, and which reaches the network. ``form`` is how the disk is written,
    raw or qcow2; ``selinux`` whether the kernel has it; ``memory`` is in MiB. ``running`` is what
    the memory of the machine was when it waited for its job with that disk: it goes on from there.
    """

    kernel: Path | None
    initrd: Path | None
    disk: Path
    form: str = "raw"
    selinux: bool = True
    memory: int = 3072
    running: Path | None = None

    @classmethod
    def of(cls, image: Image) -> Machine:
        """Return the machine of an image."""
        return cls(image.kernel, image.initrd, image.disk)

    @classmethod
    def of_disk(cls, disk: Path) -> Machine:
        """Return the machine of a user's qcow2. Raises UsageError when it is none."""
        try:
            with disk.open("rb") as file:
                magic = file.read(len(_QCOW2))
        except OSError as exc:
            raise UsageError(f"{disk} cannot be read: {exc.strerror}") from exc
        if magic != _QCOW2:
            raise UsageError(
                f"{disk} is not a qcow2 image",
                "take the cloud image (qcow2) of the distribution, or turn another form into one "
                f"with `qemu-img convert -O qcow2 {disk.name} NEW.qcow2`",
            )
        return cls(None, None, disk.absolute(), "qcow2")

    @property
    def foreign(self) -> bool:
        """Return whether the disk is a user's, not ours."""
        return self.kernel is None

    @property
    def home(self) -> Path:
        """Return the folder of the built-in image, in which what its jobs left is kept, too."""
        return self.disk.parent if self.form == "raw" else self.disk.parent.parent.parent

    def run(
        self,
        script: str,
        files: Mapping[str, Path | str] | None = None,
        *,
        limit: float = 600.0,
        console: Callable[[str], None] = lambda line: None,
    ) -> Outcome:
        """Boot, run ``script`` by bash as an administrator, and return what it left.

        ``files`` lie beside the script, by name: a file to copy or a text. ``limit`` is in seconds
        for all of it. ``console`` gets each line of the console. Where booting is slow, the booted
        machine is kept, and each job begins there. Raises ToolMissing, and MachineFailed when
        the machine does not boot, the job does not end in time, or its results cannot be read.
        """
        machine = self
        if self.form == "raw" and self._can_be_saved():
            with suppress(NotSaved):
                machine = self.after("booted", "true", {})
        try:
            return machine._run(script, files or {}, limit, console)
        except _NotResumed:
            if machine is self:
                raise
            shutil.rmtree(machine.disk.parent)
            return self._run(script, files or {}, limit, console)

    def _run(
        self,
        script: str,
        files: Mapping[str, Path | str],
        limit: float,
        console: Callable[[str], None],
        keep: Path | None = None,
    ) -> Outcome:
        """Do what ``run`` says. ``keep`` is a folder to be made: the machine after the job."""
        with tempfile.TemporaryDirectory(prefix="wsgi-sepkg-machine-") as name:
            work = Path(name)
            saved = keep is not None and self._can_be_saved()
            more: dict[str, Path | str] = {"again": ""} if saved else {}
            if self.foreign:
                more["machine-job"] = GUEST / "machine-job"
            _write_job(work / "job.tar", script, {**files, **more})
            results = work / "results"
            with results.open("wb") as raw:
                raw.truncate(_RESULTS)
            kept = work / "kept"
            kept.mkdir()
            argv = self._command(kept / "disk.qcow2" if keep else None)
            argv += _drive(work / "job.tar", name="job")
            if self.foreign:
                from wsgi_sepkg.machine import seed

                seed.write(work / "seed.iso")
                argv += _drive(work / "seed.iso", name="seed")
            argv += _drive(results, name="results")
            if saved:
                argv += ["-qmp", f"unix:{_word(work / 'qmp')},server=on,wait=off"]
            begun = time.monotonic()
            boot = _FOREIGN_BOOT_LIMIT if self.foreign else _BOOT_LIMIT
            seen = _Console(console)
            with _started(argv) as child:
                seen.follow(child)
                try:
                    seen.wait(child, begun + limit, begun + min(limit, boot))
                    if saved:
                        save(work / "qmp", kept / "memory")
                    outcome = _read_results(results, seen, time.monotonic() - begun)
                except MachineFailed as exc:
                    raise self._explained(exc, seen, child) from None
            if keep:
                shutil.move(kept, keep)
            return outcome

    def _can_be_saved(self) -> bool:
        """Return whether a running machine is worth saving, and its saved memory can be trusted.

        By KVM it boots in a few seconds, and its processor is that of this host.
        """
        return not self.foreign and self.selinux and "kvm" not in accelerator()

    def _explained(
        self, error: MachineFailed, seen: _Console, child: subprocess.Popen[bytes]
    ) -> MachineFailed:
        """Return ``error``, or the cause where the console or the way that qemu ended tells it."""
        text = "\n".join(seen.lines)
        if re.search(r"^qemu-\S+: .*(guest memory|Cannot allocate memory)", text, re.MULTILINE):
            return MachineFailed(
                f"this host cannot give the machine its {self.memory} MiB of memory",
                "end other programs, or give the machine less with --memory",
            )
        early = child.poll() is not None and not seen.ready.is_set()
        if early and self.running:
            return _NotResumed("a saved machine does not go on", seen.tail())
        if any(words in text for words in _NO_MEMORY) or (early and self.memory < _LEAST):
            return MachineFailed(
                f"{self.memory} MiB of memory are too little for this machine",
                "give it more with --memory",
            )
        if child.returncode == -signal.SIGKILL:
            return MachineFailed(
                "qemu was killed, as the kernel does when this host runs out of memory",
                "end other programs, or give the machine less with --memory",
            )
        if self.foreign and not seen.ready.is_set():
            return MachineFailed(
                f"no cloud-init began the job in {self.disk.name}",
                "the image must boot by BIOS, have cloud-init installed and enabled, and not be "
                "limited to another source of data; the last lines of its console:\n    "
                + (seen.tail() or "(it stayed silent)"),
            )
        return error

    def without_selinux(self) -> Machine:
        """Return the same machine, booted with SELinux disabled."""
        return replace(self, selinux=False, running=None)

    def after(self, name: str, script: str, files: Mapping[str, Path | str]) -> Machine:
        """Return the machine as ``script`` leaves it, with SELinux; kept by what it is made of.

        It goes on from there where it can be saved as it runs, else it boots from its disk. Two
        processes that ask for the same run the job once. Raises what ``run`` raises, and
        MachineFailed when the job ends with another status than 0.
        """
        states = self.home / "states"
        states.mkdir(exist_ok=True)
        kept = states / f"{name}-{self.key(script, files)}"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                _forget(states)
                new = kept.with_suffix(".new")
                shutil.rmtree(new, ignore_errors=True)  # of a run that was cut off
                outcome = self._run(script, files, 600.0, lambda line: None, new)
                if outcome.status:
                    shutil.rmtree(new)
                    last = "\n    ".join(outcome.stdout.splitlines()[-6:])
                    raise MachineFailed(f"the job ended with status {outcome.status}", last)
                new.rename(kept)
            os.utime(kept)
        memory = kept / "memory"
        disk = kept / "disk.qcow2"
        running = memory if memory.exists() else None
        return replace(self, disk=disk, form="qcow2", selinux=True, running=running)

    def key(self, script: str, files: Mapping[str, Path | str]) -> str:
        """Return a name for all that a job is made of: the machine, ``script`` and ``files``."""
        digest = hashlib.sha256()
        # The folder's name follows from what is in it: an image, or what a job left.
        begin = (*accelerator(), _version(), self.memory, self._append(), self.disk.parent.name)
        digest.update(f"{begin}\0{script}".encode())
        for name, content in sorted(files.items()):
            data = content.read_bytes() if isinstance(content, Path) else content.encode()
            digest.update(f"\0{name}\0{len(data)}\0".encode() + data)
        return digest.hexdigest()[:16]

    def _command(self, overlay: Path | None = None) -> list[str]:
        return [
            process.find("qemu-system-x86_64", "runs the machine"),
            *accelerator(),
            *f"-smp 2 -m {self.memory} -nographic -no-reboot".split(),
            *self._kernel(),
            *self._root(overlay),
            *(["-incoming", f"exec:cat {shlex.quote(str(self.running))}"] if self.running else []),
        ]

    def _kernel(self) -> list[str]:
        if self.foreign:
            return ["-nic", "user,model=virtio-net-pci"]
        files = ["-kernel", str(self.kernel), "-initrd", str(self.initrd)]
        return ["-nic", "none", *files, "-append", self._append()]

    def _append(self) -> str:
        """Return what the kernel is told."""
        security = "security=selinux selinux=1" if self.selinux else "selinux=0"
        # panic=-1: a machine that cannot go on ends at once, and says why.
        # no_timer_check: a busy host may give no tick while the kernel tests its timer: a panic.
        return (
            "root=/dev/vda rw console=ttyS0 quiet panic=-1 no_timer_check machine.job "
            f"cloud-init=disabled {security}"
        )

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
            argv = [*self._command(), *_drive(job, name="job")]
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


@cache
def _version() -> str:
    return process.run(["qemu-system-x86_64", "--version"], why="runs the machine").stdout


def _forget(states: Path) -> None:
    """Remove saved machines that nobody has used for a day."""
    for path in states.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _word(path: Path) -> str:
    """Return a path as a value among qemu's options."""
    return str(path).replace(",", ",,")


def _drive(
    path: Path, form: str = "raw", snapshot: str = "off", *, name: str = "root"
) -> list[str]:
    """Return the options of a disk, which the machine finds by its name in /dev/disk/by-id."""
    return [
        "-device",
        f"virtio-blk-pci,drive={name},serial={name}",
        "-drive",
        f"file={_word(path)},if=none,id={name},format={form},snapshot={snapshot},cache=unsafe",
    ]


def _write_job(path: Path, script: str, files: Mapping[str, Path | str]) -> None:
    """Write what the guest's machine-job reads; one that waits knows a new job by ``begin``."""
    begin = f"{uuid.uuid4()} {time.time():.0f}\n"
    with tarfile.open(path, "w") as tar:
        for name, content in {"begin": begin, **files, "run.sh": script}.items():
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
    if path.stat().st_size > _JOB:
        raise MachineFailed(f"the files of the job take more than {_JOB // 2**30} GiB")
    os.truncate(path, _JOB)


@contextmanager
def _started(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start qemu in a process group of its own, and leave none of it behind.

    The kernel ends qemu, too, when this process is killed and cannot do it.
    """
    guarded = [process.find("setpriv", "ends the machine with us"), "--pdeathsig", "KILL", *argv]
    child = subprocess.Popen(
        guarded,
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


class _NotResumed(MachineFailed):
    """A saved machine could not go on."""


class _Console:
    """What the machine says on its serial line."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.lines: list[str] = []
        self.ready = threading.Event()
        self.waiting = threading.Event()
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
            elif "MACHINE-WAITING" in line:
                self.waiting.set()

    def wait(self, child: subprocess.Popen[bytes], end: float, boot: float) -> None:
        """Wait until the machine is off, or waits for another job.

        Raises MachineFailed when a limit passes.
        """
        while child.poll() is None and not self.waiting.is_set():
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
        if self.waiting.is_set():
            return
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
