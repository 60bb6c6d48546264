"""A disk that boots by itself, as a cloud image does, made of the built-in machine's root."""

from __future__ import annotations

import re
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.machine.boot import Machine

_GRUB = Path("/usr/lib/grub/i386-pc")
_SECTOR = 512
_START = 2048 * _SECTOR  # of the only partition, where partition tools put it, too
# All that GRUB needs is in its own image; there it reads plain commands only, and no loops.
_CONFIG = """
set root=(hd0,msdos1)
linux /boot/{kernel} {arguments}
initrd /boot/{initrd}
boot
"""
_MODULES = "biosdisk part_msdos ext2 linux"


def bootable(machine: Machine, folder: Path, *, cloud_init: bool = True) -> Path:
    """Return a qcow2 with GRUB, one partition and the machine's root, which the BIOS boots.

    Without ``cloud_init`` that is off, as in an image that has none. Debian's policy knows nothing
    of cloud-init: its generator of units may not work, so the kernel's command line asks for its
    target; and the seed is mounted only where a boolean of the base policy lets mount do that.
    """
    arguments = "root=LABEL=root rw console=ttyS0 no_timer_check security=selinux selinux=1"
    if cloud_init:
        arguments += " systemd.wants=cloud-init.target"
        machine = machine.after("cloud", "setsebool -P allow_mount_anyfile on", {})
    root = folder / "root.raw"
    process.run(["qemu-img", "convert", "-f", machine.form, "-O", "raw", machine.disk, root])
    listed = process.run(["debugfs", "-R", "ls -p /boot", root]).stdout
    (kernel,) = re.findall(r"/(vmlinuz-[^/]+)/", listed)
    (initrd,) = re.findall(r"/(initrd\.img-[^/]+)/", listed)
    config, core = folder / "grub.cfg", folder / "core.img"
    text = _CONFIG.format(kernel=kernel, initrd=initrd, arguments=arguments)
    config.write_text(text, encoding="utf-8")
    grub = ["grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-c", config, "-o", core]
    process.run([*grub, *_MODULES.split()])
    raw = folder / "disk.raw"
    sectors = root.stat().st_size // _SECTOR
    command = ["dd", f"if={root}", f"of={raw}", "bs=1M", "seek=1", "conv=sparse"]
    process.run(command)
    with raw.open("r+b") as disk:
        # What BIOS loads: GRUB's first sector reads its own image from the second one on.
        disk.write((_GRUB / "boot.img").read_bytes()[:440])
        disk.seek(446)
        disk.write(_partition(_START // _SECTOR, sectors))
        disk.seek(510)
        disk.write(b"\x55\xaa")
        assert core.stat().st_size < _START - _SECTOR
        disk.write(core.read_bytes())
    made = folder / f"{'cloud' if cloud_init else 'plain'}.qcow2"
    process.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made])
    raw.unlink()
    root.unlink()
    return made


def _partition(start: int, sectors: int) -> bytes:
    """Return the entry of a table of partitions: bootable, Linux, addressed by sector alone."""
    chs = b"\xfe\xff\xff"
    return (
        b"\x80" + chs + b"\x83" + chs + start.to_bytes(4, "little") + sectors.to_bytes(4, "little")
    )
