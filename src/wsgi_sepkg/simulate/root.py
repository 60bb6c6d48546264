"""A scratch root in which scriptlets run: the host's shell and tools, stand-ins for the rest.

The programs below ``stand-ins/`` take the place of those of SELinux and systemd: they keep their
state in files of the root and write what they were asked for into ``/calls``, a line each.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.errors import WrongHost

STAND_INS = Path(__file__).parent / "stand-ins"
STORE = "var/lib/selinux/targeted"
CONTEXTS = "etc/selinux/targeted/contexts/files/file_contexts"
RECORD = f"{STORE}/rpmbooleans.custom"
STATE = "var/lib/rpm-state"
LIMIT = 60  # seconds that a scriptlet may take
TIMED_OUT = 124  # the status of timeout(1) then
PATH = "/sbin:/bin:/usr/sbin:/usr/bin"
# What scriptlets and the stand-ins call; those of the second list only where the host has them.
_TOOLS = (
    "awk basename base64 bzip2 cat chmod chown cksum cmp cp cut date diff dirname env getent grep"
    " head id install ln ls mkdir mktemp mv rm rmdir sed sort tail touch tr uname wc"
).split()
_MORE_TOOLS = "bash dash find gzip readlink realpath sleep stat tee xargs".split()
_FOLDERS = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "var/lib", "tmp", "dev")
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\napache:x:48:48::/:/sbin/nologin\n",
    "etc/group": "root:x:0:\napache:x:48:\n",
}
_BASE_CONTEXTS = "/var/lib(/.*)? system_u:object_r:var_lib_t:s0\n"


def _copy_program(root: Path, name: str) -> None:
    found = process.find(name, "scriptlets call it")
    shutil.copy2(os.path.realpath(found), root / "usr/bin" / name)
    for word in process.run(["ldd", found], check=False).stdout.split():
        if word.startswith("/"):
            library = root / word.lstrip("/")
            library.parent.mkdir(parents=True, exist_ok=True)
            if not library.exists():
                shutil.copy2(os.path.realpath(word), library)


def default_shell() -> str:
    """Return ``bash`` where the host has it, as RHEL and Fedora have it for /bin/sh; else dash."""
    return "bash" if shutil.which("bash") else "dash"


def make_base(root: Path, shell: str) -> Path:
    """Fill ``root`` with what all scratch roots share; /bin/sh is ``shell``. Return it.

    Raises ToolMissing, and WrongHost where this user cannot change the root folder.
    """
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in dict.fromkeys([*_TOOLS, shell, *filter(shutil.which, _MORE_TOOLS)]):
        _copy_program(root, name)
    (root / "usr/bin/sh").symlink_to(shell)
    for program in STAND_INS.iterdir():
        place = root / "usr/sbin" / program.name
        shutil.copyfile(program, place)
        place.chmod(0o755)
    for name, text in _ACCOUNTS.items():
        (root / name).write_text(text, encoding="utf-8")
    for name, minor in (("null", 3), ("urandom", 9)):
        try:
            os.mknod(root / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            (root / "dev" / name).chmod(0o666)
        except OSError:  # not root: plain files do for scriptlets
            (root / "dev" / name).write_bytes(os.urandom(4096) if name == "urandom" else b"")
    done = process.run([*_chroot(), root, "/bin/sh", "-c", ":"], check=False)
    if done.status != 0:
        raise WrongHost(
            f"scriptlets cannot be run in a scratch root here: {done.stderr.strip()}",
            "run it as root, or where users may make user namespaces (unshare --map-root-user)",
        )
    return root


def _chroot() -> list[str]:
    """Return what runs a command in another root with a clean environment, also without root."""
    clean = ["env", "-i", f"PATH={PATH}", "HOME=/", "chroot"]
    return clean if os.geteuid() == 0 else ["unshare", "--map-root-user", *clean]


class Root:
    """A scratch root with SELinux of type targeted, enabled; a stub of the base policy is loaded.

    ``path`` is its folder, a new one below ``folder``; ``base`` is what make_base() has made.
    """

    def __init__(self, base: Path, folder: Path, selinux: bool = True) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="root-", dir=folder))
        self.path.rmdir()
        process.run(["cp", "-al", base, self.path])
        for name, text in _ACCOUNTS.items():
            self.at(name).unlink()  # it may be written: no link to what all roots share
            self.write(name, text)
        if selinux:
            self.write("selinux-on", "")
            self.configure()
            self.at(f"{STORE}/active/modules/100/base").mkdir(parents=True)
            self.write(CONTEXTS, _BASE_CONTEXTS)
            self.at(STATE).mkdir()
            for folder_ in ("local", "default"):
                self.at(f"booleans/{folder_}").mkdir(parents=True)

    def at(self, name: str) -> Path:
        """Return a path of the root, seen from outside."""
        return self.path / name.lstrip("/")

    def write(self, name: str, text: str) -> None:
        """Write a file of the root, its folder included."""
        self.at(name).parent.mkdir(parents=True, exist_ok=True)
        self.at(name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        """Return the text of a file of the root, '' where there is none."""
        file = self.at(name)
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""

    def configure(self, mode: str = "enforcing", policy_type: str = "targeted") -> None:
        """Write /etc/selinux/config."""
        self.write(
            "etc/selinux/config", f"# a comment\nSELINUX={mode}\nSELINUXTYPE={policy_type}\n"
        )

    def has(self, program: str) -> bool:
        """Tell whether the root has a program, given by its path."""
        return os.access(self.at(program).parent.resolve() / Path(program).name, os.X_OK)

    def run_shell(
        self, script: str, argument: int | str = "", program: str = "/bin/sh"
    ) -> process.Finished:
        """Run a scriptlet in the root as rpm does: PROGRAM FILE ARGUMENT. LIMIT seconds at most.

        Without a script the program runs alone, as for ``%post -p /sbin/ldconfig``.
        """
        self.write("tmp/scriptlet", script)
        words = ["/tmp/scriptlet"] if script else []  # noqa: S108 - of the scratch root
        words += [str(argument)] if script and argument != "" else []
        limit = ["timeout", str(LIMIT)]  # it ends the scriptlet's children too
        command: list[str | Path] = [*limit, *_chroot(), self.path, *program.split(), *words]
        return process.run(command, check=False, timeout=None)

    def calls(self) -> list[str]:
        """Return and forget what the stand-ins were asked for."""
        lines = self.read("calls").splitlines()
        self.at("calls").unlink(missing_ok=True)
        return lines

    def modules(self) -> set[str]:
        """Return the modules of the store as PRIORITY/NAME, the base policy left out."""
        store = self.at(f"{STORE}/active/modules")
        return {f"{p.parent.name}/{p.name}" for p in store.glob("[0-9]*/*")} - {"100/base"}

    def set_booleans(self, **values: int) -> None:
        """Give the base policy booleans with their defaults."""
        for name, value in values.items():
            self.write(f"booleans/default/{name}", f"{value}\n")

    def admin_sets(self, name: str, value: int) -> None:
        """Do what an administrator does with setsebool -P."""
        self.write(f"booleans/local/{name}", f"{value}\n")

    def boolean(self, name: str) -> int:
        """Return the value of a boolean."""
        text = self.read(f"booleans/local/{name}") or self.read(f"booleans/default/{name}")
        return int(text)

    def booleans(self) -> dict[str, int]:
        """Return all booleans with their values."""
        names = sorted(p.name for p in self.at("booleans/default").glob("*"))
        return {name: self.boolean(name) for name in names}

    def record(self) -> list[str]:
        """Return the lines of the distribution's record of booleans, without the comment."""
        return [line for line in self.read(RECORD).splitlines() if not line.startswith("#")]

    def without(self, *programs: str) -> None:
        """Take programs away, as if their package were not installed."""
        for name in programs:
            for folder in ("usr/bin", "usr/sbin"):
                self.at(f"{folder}/{name}").unlink(missing_ok=True)

    def listing(self) -> set[str]:
        """Return the paths of the root that packages and scriptlets may make, from '/' on."""
        found: set[str] = set()
        for top in ("etc", "opt", "run", "srv", "usr", "var", "home", "mnt"):
            found.update(
                f"/{place.relative_to(self.path)}" for place in _walk(self.at(top).rglob("*"))
            )
        return found


def _walk(paths: Iterable[Path]) -> Iterable[Path]:
    """Leave out what the stand-ins keep as the policy itself."""
    own = ("/active/modules/", "/contexts/files/file_contexts")
    return (path for path in paths if not any(part in f"{path}/" for part in own))
