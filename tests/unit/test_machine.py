"""The machine, without booting it: its image's name, its options, what is read from a log."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import stat
import tarfile
import time
from pathlib import Path

import pycdlib
import pytest

from wsgi_sepkg.errors import MachineFailed, ToolMissing, UsageError, WrongHost
from wsgi_sepkg.machine import boot, image
from wsgi_sepkg.machine.boot import Machine
from wsgi_sepkg.machine.trial import Refusal, refusals

AVC = (
    'type=AVC msg=audit(1700000000.123:45): avc:  denied  {{ {what} }} for  pid=7 comm="apache2" '
    "{where} scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:object_r:{target}:s0 "
    "tclass={tclass} permissive=0"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose qemu is a stand-in, so quick that it is not saved."""
    monkeypatch.setattr(boot, "accelerator", lambda: ("-accel", "kvm"))
    for name in ("vmlinuz", "initrd", "disk.raw"):
        (tmp_path / name).touch()
    return Machine(*(tmp_path / name for name in ("vmlinuz", "initrd", "disk.raw")))


def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a stand-in for qemu first on PATH; the results' disk is the last file it is given."""
    tool = tmp_path / "bin" / "qemu-system-x86_64"
    tool.parent.mkdir()
    tool.write_text(
        f"#!/bin/bash\nlast=${{@: -1}}\nlast=${{last#file=}}\nlast=${{last%%,*}}\n{script}"
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")


def test_the_name_of_the_image_follows_its_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = image.key()
    assert image.key() == before
    guest = tmp_path / "guest"
    guest.mkdir()
    for path in image.GUEST.iterdir():
        (guest / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(image, "GUEST", guest)
    assert image.key() == before
    (guest / "machine-job").write_text("changed")
    assert image.key() != before


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "sources.list.d/a.sources",
            "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\n",
            "http://m.example/debian",
        ),
        (
            "sources.list",
            "# deb http://no.example/debian x main\ndeb http://m.example/debian bookworm main\n",
            "http://m.example/debian",
        ),
        ("sources.list", "deb http://m.example/ubuntu noble main\n", "default"),
        ("nothing", "", "default"),
    ],
)
def test_the_mirror_is_the_host_s_own(tmp_path: Path, name: str, text: str, expected: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert image.mirror("default", tmp_path) == expected


def test_an_image_that_was_not_finished_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image.os, "geteuid", lambda: 0)

    def fails(config: object, root: Path) -> None:
        root.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(image, "_bootstrap", fails)
    monkeypatch.setattr(image.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(image, "_SPARE", 0)
    with pytest.raises(KeyboardInterrupt):
        image.prepare()
    assert [path.name for path in (tmp_path / "wsgi-sepkg" / "machine").iterdir()] == ["lock"]


def test_an_image_is_made_by_root_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(image.os, "geteuid", lambda: 1000)
    with pytest.raises(WrongHost, match="made by root"):
        image.prepare()


def test_no_room_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(image.os, "geteuid", lambda: 0)
    monkeypatch.setattr(image, "_SPARE", 2**62)
    with pytest.raises(WrongHost, match="GiB"):
        image.prepare()


def test_without_qemu_the_packages_are_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsgi_sepkg.process.shutil.which", lambda *args, **kwargs: None)
    with pytest.raises(ToolMissing, match="apt-get install qemu-system-x86"):
        machine.run("true")


def test_a_job_gets_its_files_and_its_results_come_back(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in does what the guest does: unpacks the job, runs it, packs what it left."""
    qemu(
        tmp_path,
        monkeypatch,
        """
        for word; do case $word in *job.tar*) job=${word#file=}; job=${job%%,*};; esac; done
        mkdir in out; tar -xf "$job" -C in
        echo "MACHINE-READY Enforcing"
        (cd in; OUT=$PWD/../out bash run.sh >../out/stdout; echo $? >../out/status)
        echo Enforcing >out/enforcing
        tar -C out -cf "$last" .
        echo MACHINE-DONE
        """,
    )
    (tmp_path / "note").write_text("a file")
    monkeypatch.chdir(tmp_path)
    script = 'cat note text; mkdir "$OUT/deep"; echo x >"$OUT/deep/file"; exit 3'
    said: list[str] = []
    files: dict[str, Path | str] = {"note": tmp_path / "note", "text": " and a text"}
    outcome = machine.run(script, files, console=said.append)
    assert (outcome.status, outcome.enforcing) == (3, "Enforcing")
    assert outcome.stdout == "a file and a text"
    assert outcome.text("deep/file") == "x\n"
    assert outcome.text("missing") == ""
    assert said == ["MACHINE-READY Enforcing", "MACHINE-DONE"]


def running(group: int) -> list[str]:
    """Return the processes of a group that still run; one that was killed is none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        state, _, member = text.rpartition(")")[2].split()[:3]
        if int(member) == group and state not in "ZX":
            found.append(text)
    return found


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'Kernel panic'; exit 1", "ended before its job began"),
        ("echo MACHINE-READY; exit 0", "before its job had handed over"),
        ("echo MACHINE-READY; echo MACHINE-DONE", "cannot be read"),
        ("echo booting; exec sleep 60", "did not boot in time"),
        ("echo MACHINE-READY; sleep 60 & wait", "did not end in time"),
    ],
)
def test_a_machine_that_fails_is_an_error_and_leaves_no_process(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    qemu(tmp_path, monkeypatch, f"echo $$ >{tmp_path}/pid\n{script}")
    monkeypatch.setattr(boot, "_BOOT_LIMIT", 0.3)
    with pytest.raises(MachineFailed, match=message):
        machine.run("true", limit=0.5)
    assert running(int((tmp_path / "pid").read_text())) == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate; exit 1",
            "this host cannot give the machine its 3072 MiB",
        ),
        ("Kernel panic - not syncing: System is deadlocked on memory; exit 0", "are too little"),
        ("MACHINE-READY; kill -9 $$", "this host runs out of memory"),
    ],
)
def test_too_little_memory_is_said_as_such(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, message: str
) -> None:
    words, _, end = said.partition("; ")
    qemu(tmp_path, monkeypatch, f'echo "{words}"\n{end}')
    with pytest.raises(MachineFailed, match=message) as caught:
        machine.run("true", limit=20)
    assert "--memory" in caught.value.hint


def test_a_killed_command_takes_its_machine_along(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu(tmp_path, monkeypatch, f"echo $$ >{tmp_path}/pid; echo MACHINE-READY; exec sleep 60")
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            machine.run("true", limit=30)
        os._exit(0)
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    end = time.monotonic() + 10
    while running(int(pid.read_text())) and time.monotonic() < end:
        time.sleep(0.02)
    assert running(int(pid.read_text())) == []


# A guest that runs no job, and a monitor that can save it. What it was asked for is in ``asked``.
SAVED = """#!/usr/bin/env python3
import json, os, re, socket, subprocess, sys, tarfile
here = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
words = sys.argv[1:]
if words == ["--version"]:
    sys.exit(print("QEMU emulator version 0"))
with open(here + "/asked", "a") as asked:
    print("resumed" if "-incoming" in words else "booted", file=asked)
if "-incoming" in words and os.path.exists(here + "/spoilt"):
    sys.exit("qemu: error while loading state")
disks = {name: re.search("file=([^,]*)", word)[1] for word in words
         for name in re.findall(",id=([a-z]+)", word)}
print("MACHINE-READY Enforcing", flush=True)
with tarfile.open(disks["job"]) as tar:
    again = "again" in tar.getnames()
with tarfile.open(disks["results"], "w") as tar, open(here + "/zero", "w+b") as zero:
    zero.write(b"0")
    zero.flush()
    tar.add(here + "/zero", "status")
print("MACHINE-DONE", flush=True)
if again:
    path = re.search("unix:([^,]*)", " ".join(words))[1]
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    print("MACHINE-WAITING", flush=True)
    talk = server.accept()[0].makefile("rw")
    print(json.dumps({"QMP": {}}), file=talk, flush=True)
    while line := talk.readline():
        command = json.loads(line)
        found = {"status": "completed"} if command["execute"] == "query-migrate" else {}
        if command["execute"] == "migrate":
            job = command["arguments"]["uri"].removeprefix("exec:")
            subprocess.run(job, shell=True, input=b"memory", check=True)
        print(json.dumps({"event": "X"}), file=talk)
        print(json.dumps({"return": found}), file=talk, flush=True)
        if command["execute"] == "quit":
            sys.exit()
"""


@pytest.fixture
def saved(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that boots slowly, so that it is saved."""
    monkeypatch.setattr(boot, "accelerator", lambda: ("-accel", "tcg"))
    monkeypatch.setattr(boot, "_version", lambda: "0")
    qemu(tmp_path, monkeypatch, "")
    (tmp_path / "bin" / "qemu-system-x86_64").write_text(SAVED)
    image_tool = tmp_path / "bin" / "qemu-img"
    image_tool.write_text("#!/bin/sh\nfor last; do :; done\n: >$last\n")
    image_tool.chmod(0o755)
    return machine


def asked(tmp_path: Path) -> list[str]:
    """Return how the stand-in was started, each time, since this was asked last."""
    found = (tmp_path / "asked").read_text().split()
    (tmp_path / "asked").write_text("")
    return found


def test_a_slow_machine_boots_once_and_then_goes_on_where_it_waited(
    saved: Machine, tmp_path: Path
) -> None:
    assert saved.run("true").status == 0
    assert asked(tmp_path) == ["booted", "resumed"]
    saved.run("true")
    assert asked(tmp_path) == ["resumed"]
    (kept,) = (path for path in (tmp_path / "states").iterdir() if path.is_dir())
    assert (kept / "memory").read_text() == "memory"


def test_what_a_job_left_is_begun_with_only_for_the_same_job(
    saved: Machine, tmp_path: Path
) -> None:
    for script, content, expected in [
        ("a", "x", ["resumed"]),
        ("a", "x", []),
        ("b", "x", ["resumed"]),
        ("b", "y", ["resumed"]),
    ]:
        saved.run("true")
        asked(tmp_path)
        begun = saved.after("booted", "true", {}).after("state", script, {"file": content})
        assert asked(tmp_path) == expected
        begun.run("true")
        assert asked(tmp_path) == ["resumed"]


def test_a_machine_without_selinux_is_not_saved_but_its_disk_is(
    saved: Machine, tmp_path: Path
) -> None:
    begun = saved.without_selinux().after("state", "true", {})
    assert (begun.selinux, begun.running) == (True, None)
    begun.run("true")
    assert asked(tmp_path) == ["booted", "booted"]


def test_a_saved_machine_that_does_not_go_on_is_booted(saved: Machine, tmp_path: Path) -> None:
    saved.run("true")
    (tmp_path / "spoilt").touch()
    asked(tmp_path)
    assert saved.run("true").status == 0
    assert asked(tmp_path) == ["resumed", "booted"]
    assert [path for path in (tmp_path / "states").iterdir() if path.is_dir()] == []


def test_a_machine_that_cannot_be_saved_is_booted_each_time(
    saved: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(monitor: Path, memory: Path) -> None:
        raise boot.NotSaved("the machine cannot be saved: failed")

    monkeypatch.setattr(boot, "save", full)
    assert saved.run("true").status == 0
    assert asked(tmp_path) == ["booted", "booted"]
    assert running_in(tmp_path) == []


def running_in(folder: Path) -> list[str]:
    """Return the processes that the stand-in of a folder left running."""
    tool = str(folder / "bin" / "qemu-system-x86_64").encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if tool in path.read_bytes():
                found.append(path.parent.name)
    return found


def test_saved_machines_that_nobody_used_are_removed(saved: Machine, tmp_path: Path) -> None:
    old = tmp_path / "states" / "old"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    saved.run("true")
    assert not old.exists()


def test_only_a_qcow2_is_taken_as_a_users_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    with pytest.raises(UsageError, match=r"cannot be read: No such file"):
        Machine.of_disk(disk)
    disk.write_bytes(b"\x7fELF")
    with pytest.raises(UsageError, match="is not a qcow2 image") as caught:
        Machine.of_disk(disk)
    assert "qemu-img convert -O qcow2 disk.img" in caught.value.hint
    disk.write_bytes(b"QFI\xfb\x00\x00\x00\x03")
    assert Machine.of_disk(disk).foreign


def test_a_users_disk_boots_by_itself_with_a_seed_and_our_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "accelerator", lambda: ("-accel", "tcg"))
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(b"QFI\xfb")
    qemu(
        tmp_path,
        monkeypatch,
        f"""
        for word; do case $word in
            *seed.iso*) seed=${{word#file=}}; cp "${{seed%%,*}}" {tmp_path}/seed;;
            *job.tar*) job=${{word#file=}}; tar -tf "${{job%%,*}}" >{tmp_path}/job;;
        esac; done
        echo "$@" >{tmp_path}/options
        """,
    )
    with pytest.raises(MachineFailed, match=r"no cloud-init began the job in disk\.qcow2"):
        Machine.of_disk(disk).run("true", {"a": "b"})
    options = (tmp_path / "options").read_text()
    assert "-kernel" not in options
    assert "-nic user" in options
    assert "snapshot=on" in options
    assert (tmp_path / "job").read_text().split() == ["begin", "a", "machine-job", "run.sh"]
    iso = pycdlib.PyCdlib()
    iso.open(str(tmp_path / "seed"))
    assert iso.pvd.volume_identifier.strip() == b"cidata"
    for name, words in {"meta-data": "instance-id: ", "user-data": "#cloud-config\n"}.items():
        body = io.BytesIO()
        iso.get_file_from_iso_fp(body, joliet_path=f"/{name}")
        assert body.getvalue().decode().startswith(words)
    iso.close()


def test_a_disk_without_cloud_init_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "accelerator", lambda: ("-accel", "tcg"))
    monkeypatch.setattr(boot, "_FOREIGN_BOOT_LIMIT", 0.3)
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(b"QFI\xfb")
    qemu(tmp_path, monkeypatch, f"echo $$ >{tmp_path}/pid; echo 'host login:'; exec sleep 60")
    with pytest.raises(MachineFailed, match="no cloud-init began the job") as caught:
        Machine.of_disk(disk).run("true")
    assert "host login:" in caught.value.hint
    assert running(int((tmp_path / "pid").read_text())) == []


def test_an_image_of_other_inputs_stays_while_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image.os, "geteuid", lambda: 0)
    monkeypatch.setattr(image.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(image, "_SPARE", 0)
    monkeypatch.setattr(image, "_bootstrap", lambda config, root: root.mkdir())
    for step in ("_settle", "_pack"):
        monkeypatch.setattr(image, step, lambda config, root, work: None)
    home = tmp_path / "wsgi-sepkg" / "machine"
    for name in ("used", "forgotten", "making-cutoff"):
        (home / name).mkdir(parents=True)
    os.utime(home / "forgotten", (0, 0))
    image.prepare()
    assert {path.name for path in home.iterdir() if path.is_dir()} == {"used", image.key()}


def test_a_job_is_a_plain_archive(tmp_path: Path) -> None:
    boot._write_job(tmp_path / "job", "exit 0", {"a/b": "text"})
    with tarfile.open(tmp_path / "job") as tar:
        assert tar.getnames() == ["begin", "a/b", "run.sh"]


def test_a_waiting_machine_can_tell_jobs_apart(tmp_path: Path) -> None:
    """It looks at the first file's content, in the second sector, and the disk's size stays."""
    seen = set()
    for _ in range(2):
        boot._write_job(tmp_path / "job", "exit 0", {})
        with (tmp_path / "job").open("rb") as disk:
            seen.add(disk.read(1024)[512:])
        assert (tmp_path / "job").stat().st_size == boot._JOB
    assert len(seen) == 2


def test_files_that_the_disk_of_the_job_does_not_hold_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "_JOB", 2**10)
    with pytest.raises(MachineFailed, match="the files of the job take more than"):
        boot._write_job(tmp_path / "job", "exit 0", {})


def test_equal_denials_are_counted() -> None:
    first = AVC.format(what="write", where='name="a"', target="etc_t", tclass="dir")
    other = AVC.format(
        what="name_connect", where="dest=25", target="smtp_port_t", tclass="tcp_socket"
    )
    assert refusals(
        "\n".join([first, other, first, "type=SYSCALL msg=x", "avc: denied garbage"])
    ) == (
        Refusal("apache2", "httpd_t", "etc_t", "dir", ("write",), "a", 2),
        Refusal("apache2", "httpd_t", "smtp_port_t", "tcp_socket", ("name_connect",), "25"),
    )
