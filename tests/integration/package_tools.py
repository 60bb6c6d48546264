"""Small packages built quickly, and a scratch root in which their scriptlets run for real.

The policy compiler is replaced by a stub of the devel Makefile (a module is then the text of its
sources), so that a package takes about a second; spec, scriptlets, macros and rpmbuild are real.
In the scratch root, sh and its tools are the host's; the programs of SELinux and systemd are
stand-ins that keep state, and write what they were asked to do into /calls.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from wsgi_sepkg.package.build import lay_out
from wsgi_sepkg.package.inspect import payload_files
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.project.load import load

MACROS = Path(__file__).parents[1] / "data" / "macros"
FAMILIES = ("own", "el8", "el9", "fedora")
TOOLS = (
    "awk basename base64 bash bzip2 cat chmod chown cksum cmp cp cut dash date diff dirname env"
    " getent grep head id install ln ls mkdir mktemp mv rm rmdir sed sort tail touch tr uname wc"
).split()
PATH = "/sbin:/bin:/usr/sbin:/usr/bin"
_STEPS = ("PRETRANS", "PREIN", "POSTIN", "PREUN", "POSTUN", "POSTTRANS", "VERIFYSCRIPT")
SELINUX = "shop-selinux"


@cache
def work() -> Path:
    """Return a folder that goes when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="wsgi-sepkg-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def shared() -> Path:
    """Return a folder that all workers of pytest-xdist share; the last of them takes it away."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if not run:
        return work()
    folder = Path(tempfile.gettempdir()) / f"wsgi-sepkg-tests-{run}"
    folder.mkdir(exist_ok=True)
    users = (folder / "users").open("w")
    fcntl.flock(users, fcntl.LOCK_SH)

    def leave() -> None:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
        else:
            shutil.rmtree(folder, ignore_errors=True)
        users.close()

    atexit.register(leave)
    return folder


# -- packages --------------------------------------------------------------------------------------

PROJECT = """
[project]
name = "shop"
version = "{version}"
summary = "A shop"
license = "MIT"
maintainer = "Example Ltd <packages@example.org>"
targets = ["el9", "debian-12"]
{project}
[[changelog]]
date = 2026-11-20
text = "{version}"
"""
APPLICATION = """
[application]
root = "/usr/share/shop"
wsgi = "shop.wsgi:application"
settings = "shop.settings"
static = "none"
{application}
"""
PATHS = """
[path]
data = "/var/lib/shop"
"""
PORT = """
[[port]]
number = 24680
type = "shop_port_t"
reason = "where the stock is asked for"
"""


def boolean(name: str, value: bool = True, when: str = "first-install") -> str:
    """Return the [[boolean]] of a description."""
    return (
        f'[[boolean]]\nname = "{name}"\nvalue = {str(value).lower()}\nset = "{when}"\n'
        'reason = "the shop asks its stock"\n'
    )


def description(
    rest: str = "",
    version: str = "1.0",
    project: str = "",
    application: str | None = "",
    paths: str = PATHS,
) -> str:
    """Return a description of the shop; ``application`` None makes it a policy alone."""
    app = "" if application is None else APPLICATION.format(application=application)
    return PROJECT.format(version=version, project=project) + app + paths + rest


def source(folder: Path, text: str) -> Path:
    """Write the shop, a Django project of the smallest kind, into ``folder``."""
    files = {
        "manage.py": "#!/usr/bin/env python3\nimport django\n",
        "shop/__init__.py": "",
        "shop/wsgi.py": "application = print\n",
        "shop/settings.py": "DEBUG = False\n",
        "etc/shop.conf": "colour = red\n",
        "etc/shop-worker.service": "[Service]\nExecStart=/usr/bin/true\n",
        "wsgi-sepkg.toml": text,
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (folder / "manage.py").chmod(0o755)
    return folder


def stub_headers() -> Path:
    """Return headers whose Makefile makes a module of the text of its sources."""
    folder = work() / "headers"
    if not folder.exists():
        folder.mkdir()
        (folder / "Makefile").write_text("%.pp: %.te\n\tcat $*.te $*.fc >$@\n")
    return folder


@cache
def package(text: str, macros: str = "own", target: str = "el9") -> tuple[Path, ...]:
    """Return the RPMs of the description ``text``, built with the macros of ``macros``."""
    name = hashlib.sha256(f"{text}\0{macros}\0{target}".encode()).hexdigest()[:16]
    folder = shared() / name
    with (shared() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            tree = generate(load(source(folder / "source", text), target=target))
            spec = lay_out(tree, folder / "sources")
            options = [] if macros == "own" else ["--load", MACROS / f"{macros}.macros"]
            rpmbuild(spec, folder, options)
            (folder / "built").touch()
    return tuple(sorted((folder / "top").glob("RPMS/*/*.rpm")))


def rpmbuild(
    spec: Path, folder: Path, options: Iterable[str | Path] = (), mode: str = "-bb"
) -> tuple[Path, ...]:
    """Build ``spec``, whose sources lie beside it, without its %check; return the RPMs."""
    command: list[str | Path] = ["rpmbuild", mode, "--nodeps", "--nocheck", *options]
    for name, value in (("_topdir", folder / "top"), ("_sourcedir", spec.parent), ("dist", ".el9")):
        command += ["--define", f"{name} {value}"]
    done = subprocess.run(
        [*command, spec],
        env=os.environ | {"WSGISEPKG_HEADERS": str(stub_headers())},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return tuple(sorted((folder / "top").glob("RPMS/*/*.rpm")))


def selinux_package(packages: Sequence[Path]) -> Path:
    """Return the package that holds the policy."""
    return next(p for p in packages if "-selinux-" in p.name)


def application_package(packages: Sequence[Path]) -> Path:
    """Return the package that holds the application."""
    return next(p for p in packages if "-selinux-" not in p.name)


def query(package: Path, form: str) -> str:
    """Return what rpm says of ``package`` in the form ``form``."""
    return subprocess.run(
        ["rpm", "-qp", "--qf", form, package], capture_output=True, text=True, check=True
    ).stdout


@cache
def scriptlets(package: Path) -> dict[str, str]:
    """Return the scriptlets of a built package by rpm's names of them, those that it has."""
    texts = query(package, "\x1e".join(f"%{{{step}}}" for step in _STEPS)).split("\x1e")
    return {s: t for s, t in zip(_STEPS, texts, strict=True) if t != "(none)"}


# -- the scratch root ------------------------------------------------------------------------------

_STAND_INS = {
    # /selinux-on says that SELinux is enabled, /fail-semodule makes the next transactions fail.
    "selinuxenabled": "[ -e /selinux-on ]\n",
    "load_policy": 'echo "load_policy" >>/calls\n[ ! -e /fail-load ]\n',
    "setsebool": 'echo "setsebool $*" >>/calls\n',
    "systemctl": 'echo "systemctl $*" >>/calls\n[ ! -e /fail-systemctl ]\n',
    "systemd-tmpfiles": 'echo "systemd-tmpfiles $*" >>/calls\n',
    "restorecon": 'echo "restorecon $*" >>/calls\n',
    "groupadd": 'echo "groupadd $*" >>/calls\nfor n; do :; done\necho "$n:x:990:" >>/etc/group\n',
    "useradd": 'echo "useradd $*" >>/calls\nfor n; do :; done\n'
    'echo "$n:x:990:990::/:/sbin/nologin" >>/etc/passwd\n',
    # fixfiles -C OLD restore: what differs from the present contexts is relabelled.
    "fixfiles": """echo "fixfiles $*" >>/calls
[ "$1" = -C ] || exit 1
. /etc/selinux/config
diff "$2" "/etc/selinux/$SELINUXTYPE/contexts/files/file_contexts" |
  sed -n 's/^[<>] \\([^(\\\\ \t]*\\).*/relabel \\1/p' | sort -u >>/calls
""",
    # One transaction: options in their order, nothing changes when one of them fails.
    "semodule": """echo "semodule $*" >>/calls
[ ! -e /fail-semodule ] || { echo "semodule: failed by the test" >&2; exit 1; }
type=targeted priority=400 mode=
root=/var/lib/selinux
[ ! -d /etc/selinux/targeted/active ] || root=/etc/selinux
for argument; do
  case $argument in -s) mode=s; continue ;; esac
  if [ "$mode" = s ]; then type=$argument mode=; fi
done
active=$root/$type/active
[ -d "$active/modules" ] || { echo "semodule: no store" >&2; exit 1; }
rm -rf /semodule-new
cp -a "$active/modules" /semodule-new
mode=
for argument; do
  case $argument in
    -n) ;;
    -s | -X | -i | -r | -e | -d) mode=$argument ;;
    *)
      case $mode in
        -X) priority=$argument ;;
        -r)
          [ -d "/semodule-new/$priority/$argument" ] ||
            { echo "semodule: unable to remove $argument at priority $priority" >&2; exit 1; }
          rm -rf "/semodule-new/$priority/$argument" ;;
        -i)
          [ -f "$argument" ] || { echo "semodule: no file $argument" >&2; exit 1; }
          name=$(basename "$argument")
          kind=hll
          case $name in *.cil.bz2) kind=cil ;; esac
          name=${name%%.*}
          rm -rf "/semodule-new/$priority/$name"
          mkdir -p "/semodule-new/$priority/$name"
          cp "$argument" "/semodule-new/$priority/$name/$kind" ;;
        -s) ;;
        *) echo "semodule: $argument?" >&2; exit 1 ;;
      esac ;;
  esac
done
rm -rf "$active/modules"
mv /semodule-new "$active/modules"
mkdir -p "/etc/selinux/$type/contexts/files"
{
  echo "/var/lib(/.*)? system_u:object_r:var_lib_t:s0"
  for module in "$active"/modules/[0-9]*/*/hll; do
    [ ! -f "$module" ] || bzip2 -dcf <"$module" | grep '^/'
  done
} >"/etc/selinux/$type/contexts/files/file_contexts"
""",
    # /booleans/default/NAME and /booleans/local/NAME hold 0 or 1.
    "semanage": """echo "semanage $*" >>/calls
[ ! -e /fail-semanage ] || exit 1
word() { [ "$1" = 1 ] && echo on || echo off; }
value() { cat "/booleans/local/$1" 2>/dev/null || cat "/booleans/default/$1"; }
case "$1 $*" in
  "boolean "*" -E"*)
    for file in /booleans/local/*; do
      [ -f "$file" ] && echo "boolean -m -$(cat "$file") ${file##*/}"
    done ;;
  "boolean "*" -l"*)
    echo "SELinux boolean                State  Default Description"
    echo
    for file in /booleans/default/*; do
      [ -f "$file" ] || continue
      name=${file##*/}
      printf '%-30s (%-5s,%5s)  Allow %s\\n' "$name" "$(word "$(value "$name")")" \\
        "$(word "$(cat "$file")")" "$name"
    done ;;
  "import "*)
    : >/booleans-new
    while read -r kind option setting name rest; do
      [ -n "$kind" ] || continue
      case $setting in -1 | --on) new=1 ;; -0 | --off) new=0 ;; *) exit 2 ;; esac
      [ "$kind $option" = "boolean -m" ] && [ -z "$rest" ] || exit 2
      [ -f "/booleans/default/$name" ] || { echo "no boolean $name" >&2; exit 1; }
      echo "$new $name" >>/booleans-new
    done
    while read -r new name; do
      echo "$new" >"/booleans/local/$name"
      echo "boolean $name $new" >>/calls
    done </booleans-new ;;
  *) exit 2 ;;
esac
""",
}


_ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\napache:x:48:48::/:/sbin/nologin\n",
    "etc/group": "root:x:0:\napache:x:48:\n",
}


def _copy_program(root: Path, name: str) -> None:
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    assert found is not None, f"{name} is not installed"
    place = root / "usr/bin" / name
    shutil.copy2(os.path.realpath(found), place)
    output = subprocess.run(["ldd", found], capture_output=True, text=True).stdout
    for word in output.split():
        if word.startswith("/"):
            library = root / word.lstrip("/")
            library.parent.mkdir(parents=True, exist_ok=True)
            if not library.exists():
                shutil.copy2(os.path.realpath(word), library)


@cache
def _base(shell: str) -> Path:
    root = work() / f"root-{shell}"
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "var/lib", "tmp", "dev"):
        (root / folder).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in TOOLS:
        _copy_program(root, name)
    (root / "usr/bin/sh").symlink_to(shell)
    for name, text in _STAND_INS.items():
        program = root / "usr/sbin" / name
        program.write_text(f"#!/bin/dash\n# A stand-in for tests.\n{text}")
        program.chmod(0o755)
    for name, text in _ACCOUNTS.items():
        (root / name).write_text(text)
    for name, minor in (("null", 3), ("urandom", 9)):
        try:
            os.mknod(root / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            (root / "dev" / name).chmod(0o666)
        except OSError:
            (root / "dev" / name).write_bytes(os.urandom(4096) if name == "urandom" else b"")
    return root


class Root:
    """A scratch root with SELinux of type targeted, enabled; a stub of the base policy is loaded.

    ``calls`` is what the stand-ins were asked for since it was read last.
    """

    def __init__(self, shell: str = "bash", selinux: bool = True) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="root-", dir=work()))
        self.path.rmdir()
        subprocess.run(["cp", "-al", _base(shell), self.path], check=True)
        for name, text in _ACCOUNTS.items():
            self.at(name).unlink()  # it may be written: no link to what all roots share
            self.write(name, text)
        if selinux:
            self.write("selinux-on", "")
            self.write(
                "etc/selinux/config", "# a comment\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"
            )
            self.at("var/lib/selinux/targeted/active/modules/100/base").mkdir(parents=True)
            self.write(
                "etc/selinux/targeted/contexts/files/file_contexts",
                "/var/lib(/.*)? system_u:object_r:var_lib_t:s0\n",
            )
            self.at("var/lib/rpm-state").mkdir()
            for folder in ("local", "default"):
                self.at(f"booleans/{folder}").mkdir(parents=True)

    def at(self, name: str) -> Path:
        """Return a path of the root, seen from outside."""
        return self.path / name.lstrip("/")

    def write(self, name: str, text: str) -> None:
        """Write a file of the root, its folder included."""
        self.at(name).parent.mkdir(parents=True, exist_ok=True)
        self.at(name).write_text(text)

    def run(self, script: str, argument: int | str = "") -> subprocess.CompletedProcess[str]:
        """Run a scriptlet in the root as rpm does: sh FILE ARGUMENT."""
        self.write("tmp/scriptlet", script)
        words = [str(argument)] if argument != "" else []
        chroot = ["chroot"] if os.geteuid() == 0 else ["unshare", "-r", "chroot"]
        return subprocess.run(
            [*chroot, self.path, "/bin/sh", "/tmp/scriptlet", *words],
            env={"PATH": PATH, "HOME": "/"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def calls(self) -> list[str]:
        """Return and forget what the stand-ins were asked for."""
        file = self.at("calls")
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def step(self, package: Path, name: str, argument: int | str) -> list[str]:
        """Run one scriptlet of ``package``, which must end with 0; return the calls."""
        script = scriptlets(package).get(name, "")
        done = self.run(script, argument)
        assert done.returncode == 0, f"%{name}: {done.stderr}"
        self.said.append(done.stdout + done.stderr)
        return self.calls()

    @property
    def said(self) -> list[str]:
        """What the scriptlets printed."""
        return self.__dict__.setdefault("_said", [])

    def unpack(self, package: Path) -> None:
        """Put the files of a -selinux package into the root; rpm itself is used elsewhere."""
        listing = query(package, "[%{FILENAMES}\n]").split()
        wanted = [n for n in listing if n.endswith((".bz2", "/manifest"))]
        for name, content in payload_files(package, wanted).items():
            self.at(name).parent.mkdir(parents=True, exist_ok=True)
            self.at(name).write_bytes(content)

    def remove(self, package: Path, kept: Path | None = None) -> None:
        """Take away the files of ``package`` that ``kept`` has not."""
        stay = set(query(kept, "[%{FILENAMES}\n]").split()) if kept else set()
        for name in query(package, "[%{FILENAMES}\n]").split():
            if name not in stay and self.at(name).is_file():
                self.at(name).unlink()

    def install(self, package: Path) -> dict[str, list[str]]:
        """Go through an installation in rpm's order; return the calls of each step."""
        found = {"pre": self.step(package, "PREIN", 1)}
        self.unpack(package)
        found["post"] = self.step(package, "POSTIN", 1)
        found["posttrans"] = self.step(package, "POSTTRANS", 1)
        return found

    def upgrade(self, old: Path, new: Path) -> dict[str, list[str]]:
        """Go through an upgrade in rpm's order; return the calls of each step."""
        found = {"pre": self.step(new, "PREIN", 2)}
        self.unpack(new)
        found["post"] = self.step(new, "POSTIN", 2)
        found["preun"] = self.step(old, "PREUN", 1)
        self.remove(old, new)
        found["postun"] = self.step(old, "POSTUN", 1)
        found["posttrans"] = self.step(new, "POSTTRANS", 2)
        return found

    def erase(self, package: Path) -> dict[str, list[str]]:
        """Go through an erasure in rpm's order; return the calls of each step."""
        found = {"preun": self.step(package, "PREUN", 0)}
        self.remove(package)
        found["postun"] = self.step(package, "POSTUN", 0)
        return found

    def modules(self) -> set[str]:
        """Return the modules of the store as PRIORITY/NAME, the base policy left out."""
        store = self.at("var/lib/selinux/targeted/active/modules")
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
        local = self.at(f"booleans/local/{name}")
        return int((local if local.exists() else self.at(f"booleans/default/{name}")).read_text())

    def record(self) -> list[str]:
        """Return the lines of the distribution's record of booleans, without the comment."""
        file = self.at("var/lib/selinux/targeted/rpmbooleans.custom")
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if not line.startswith("#")]


def flat(calls: dict[str, list[str]]) -> list[str]:
    """Return the calls of all steps in their order."""
    return [call for step in calls.values() for call in step]
