"""The disk image of the machine: made once from Debian's packages, kept by its inputs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.errors import ToolFailed, WrongHost
from wsgi_sepkg.resources import cache_folder

HERE = Path(__file__).resolve().parent
GUEST = HERE / "guest"
_MINUTES = 60.0
_KEPT = 14 * 24 * 3600.0  # seconds after its last use that an image of other inputs is kept
_SPARE = 6 * 2**30  # what the making takes at most, in bytes


@dataclass(frozen=True)
class Image:
    """A machine that can be booted: kernel, first root and disk (raw, never written to)."""

    kernel: Path
    initrd: Path
    disk: Path
    key: str


def key() -> str:
    """Return the name under which the image is kept: a hash of everything that it is made from."""
    digest = hashlib.sha256()
    # The steps of this module are an input like the others.
    for path in [Path(__file__), HERE / "image.toml", *sorted(GUEST.iterdir())]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def prepare(say: Callable[[str], None] = lambda text: None) -> Image:
    """Return the image, made now when it is not there yet (some minutes; needs root).

    ``say`` is told what goes on. A run that is cut off leaves nothing behind that a later one would
    take for an image; two runs at a time make one image.
    Raises ToolMissing, ToolFailed, and WrongHost where it cannot be made.
    """
    cache = cache_folder()
    if not cache:
        raise WrongHost("no folder to keep the machine's image in", "set HOME or XDG_CACHE_HOME")
    home = Path(cache) / "machine"
    home.mkdir(exist_ok=True)
    made = home / key()
    if not made.is_dir():
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.is_dir():
                _make(home, made, say)
    os.utime(made)
    return Image(made / "vmlinuz", made / "initrd", made / "disk.raw", made.name)


def _make(home: Path, made: Path, say: Callable[[str], None]) -> None:
    if platform.machine() != "x86_64":
        raise WrongHost("the machine's image can be made on x86_64 only", "use --image")
    if os.geteuid() != 0:
        raise WrongHost("the machine's image is made by root", "run `make vm` as root once")
    if shutil.disk_usage(home).free < _SPARE:
        raise WrongHost(
            f"the machine's image needs {_SPARE // 2**30} GiB in {home}",
            "make room, or set XDG_CACHE_HOME to a larger disk",
        )
    for left in home.glob("making-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a run that was cut off: the lock is ours
    work = Path(tempfile.mkdtemp(prefix="making-", dir=home))
    try:
        config = tomllib.loads((HERE / "image.toml").read_text(encoding="utf-8"))
        root = work / "root"
        say("installing Debian's packages into the machine's image")
        _bootstrap(config, root)
        say("settling the machine's image")
        _settle(config, root, work)
        say("labelling and packing the machine's image")
        _pack(config, root, work)
        shutil.rmtree(root)
        # Not at once: another checkout may run a machine from its own image now.
        for other in home.iterdir():
            if other.is_dir() and time.time() - other.stat().st_mtime > _KEPT:
                shutil.rmtree(other, ignore_errors=True)
        work.rename(made)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def mirror(default: str, etc: Path = Path("/etc/apt")) -> str:
    """Return the mirror that the host's own lists name for Debian, or ``default``."""
    for path in sorted(etc.glob("sources.list.d/*.sources")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, colon, value = line.partition(":")
            if colon and name.strip() == "URIs" and value.split() and "/debian" in value:
                return value.split()[0]
    for path in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]:
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            words = [word for word in line.split() if not word.startswith(("[", "signed-by="))]
            if words[:1] == ["deb"] and len(words) > 2 and words[1].rstrip("/").endswith("/debian"):
                return words[1]
    return default


def _bootstrap(config: dict[str, dict[str, str]], root: Path) -> None:
    command: list[str | Path] = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(sorted(config['packages']))}",
        str(config["suite"]),
        root,
        mirror(str(config["mirror"])),
    ]
    try:
        process.run(command, timeout=20 * _MINUTES, why="makes the machine's image")
    except ToolFailed as exc:
        log = root / "debootstrap" / "debootstrap.log"
        if log.is_file():
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            raise ToolFailed(exc.command, exc.status, exc.output, tail) from exc
        raise


def _settle(config: dict[str, dict[str, list[str]]], root: Path, work: Path) -> None:
    store = str(config["store"])
    for place in ("etc/selinux", "var/lib/selinux"):
        (root / place / "default").rename(root / place / store)
    settings = root / "etc/selinux/config"
    settings.write_text(f"SELINUX=enforcing\nSELINUXTYPE={store}\nSETLOCALDEFS=0\n")
    (root / "etc/hostname").write_text("machine\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost machine\n")
    (root / "etc/fstab").write_text("LABEL=root / ext4 defaults,noatime 0 1\n")

    units = root / "etc/systemd/system"
    _place("machine-job", root / "usr/local/sbin/machine-job", 0o755)
    _place("machine-job.service", units / "machine-job.service")
    _place("machine-console.service", units / "machine-console.service")
    _place("apache2.conf", units / "apache2.service.d/machine.conf")
    _place("apache2.env", root / "etc/apache2/machine.env")
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "machine-job.service").symlink_to("/etc/systemd/system/machine-job.service")
    for unit in (*config["disabled"]["units"], *config["on-demand"]["units"]):
        # Not by a pattern with the unit's name: the link leads nowhere outside of the machine.
        for wanting in units.glob("*.wants"):
            (wanting / unit).unlink(missing_ok=True)
    # The first boot of a machine enables what no preset disables.
    preset = root / "etc/systemd/system-preset/00-machine.preset"
    preset.parent.mkdir(parents=True, exist_ok=True)
    preset.write_text("".join(f"disable {unit}\n" for unit in config["on-demand"]["units"]))
    for unit in config["disabled"]["units"]:
        mask = units / unit
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")
    for module in config["apache"]["modules"]:
        for kind in ("load", "conf"):
            if (root / f"etc/apache2/mods-available/{module}.{kind}").exists():
                enabled = root / f"etc/apache2/mods-enabled/{module}.{kind}"
                enabled.symlink_to(f"../mods-available/{module}.{kind}")
    # Debian's policy forbids cloud-init's generator of units to work: each boot would say so.
    generator = root / "etc/systemd/system-generators/cloud-init-generator"
    generator.parent.mkdir(parents=True, exist_ok=True)
    generator.symlink_to("/dev/null")
    # A getty would fight with the job for the console.
    (units / "serial-getty@ttyS0.service").symlink_to("/dev/null")
    (units / "getty@tty1.service").symlink_to("/dev/null")

    repository = root / "etc/yum.repos.d/job.repo"
    repository.parent.mkdir(exist_ok=True)
    repository.write_text(
        "[job]\nname=The packages of the job\nbaseurl=file:///var/tmp/repo\ngpgcheck=0\n"
    )
    (root / "var/tmp/repo").mkdir()
    # As on RHEL and Fedora, where dnf must not take the policy away to satisfy a dependency.
    protected = root / "etc/dnf/protected.d/policy.conf"
    protected.parent.mkdir(parents=True, exist_ok=True)
    protected.write_text("system-policy\n")
    with _system_packages(config, work) as packages:
        process.run(["rpm", "--root", root, "-i", "--nodeps", *packages])
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder / "partial").mkdir(parents=True)


def _place(name: str, path: Path, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(GUEST / name, path)
    path.chmod(mode)


@contextmanager
def _system_packages(config: dict[str, dict[str, list[str]]], work: Path) -> Iterator[list[Path]]:
    top = work / "rpmbuild"
    top.mkdir()
    text = (GUEST / "system.spec").read_text(encoding="utf-8")
    names = "\n".join(f"Provides: {name}" for name in config["provides"]["names"])
    spec = top / "system.spec"
    spec.write_text(text.replace("@provides@", names), encoding="utf-8")
    process.run(["rpmbuild", "-bb", "--nodeps", "--define", f"_topdir {top}", spec])
    yield sorted(top.glob("RPMS/noarch/*.rpm"))
    shutil.rmtree(top)


def _pack(config: dict[str, object], root: Path, work: Path) -> None:
    shutil.copyfile(sorted(root.glob("boot/vmlinuz-*"))[-1], work / "vmlinuz")
    shutil.copyfile(sorted(root.glob("boot/initrd.img-*"))[-1], work / "initrd")
    contexts = root / "etc/selinux" / str(config["store"]) / "contexts/files/file_contexts"
    # The labels are extended attributes; mke2fs -d keeps them, so no relabel at the first boot.
    process.run(["setfiles", "-F", "-r", root, contexts, root], timeout=10 * _MINUTES)
    disk = work / "disk.raw"
    process.run(
        ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, disk, f"{config['megabytes']}M"],
        timeout=10 * _MINUTES,
    )
