"""``try``: packages installed in the machine, a script run, and what was denied."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg import targets
from wsgi_sepkg.errors import UsageError, WrongHost
from wsgi_sepkg.machine.boot import Machine, Outcome
from wsgi_sepkg.package.inspect import inspect

_FIELD = re.compile(r'\b(\w+)=("[^"]*"|\S+)')
_PERMISSIONS = re.compile(r"denied\s+\{ ([^}]*) \}")

# The user's script is ./smoke.sh. Each part has its own stretch of the log: auditd's, or the
# journal's where no auditd runs. Not with -q: dnf drops what scriptlets say.
_SCRIPT = """
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
denials() {
    sleep 1
    sync
    if [ -s /var/log/audit/audit.log ]; then
        cat /var/log/audit/audit.log
    else
        journalctl -b --no-pager -o cat
    fi | grep -E '(^type=(USER_)?AVC|avc: ) .*denied ' || :
}
since() { denials | tail -n "+$(($1 + 1))"; }
mark=$(denials | wc -l)
dnf -y @options@ install ./packages/*.rpm >"$OUT/install.log" 2>&1
echo $? >"$OUT/install.status"
semodule -lfull | cat >"$OUT/modules"
since "$mark" >"$OUT/install.avc"
mark=$(denials | wc -l)
if [ -e smoke.sh ]; then
    bash ./smoke.sh >"$OUT/script.log" 2>&1 </dev/null
    echo $? >"$OUT/script.status"
fi
rpm -V $(rpm -qp --qf '%{NAME} ' ./packages/*.rpm) >"$OUT/verify.log" 2>&1
echo $? >"$OUT/verify.status"
since "$mark" >"$OUT/script.avc"
ps -eLo label,comm | sort | uniq -c >"$OUT/domains"
"""
# The built-in machine has no repositories. A user's has those that it has; without a network they
# are passed over.
_OPTIONS = "--disablerepo='*' --releasever=12"
_FOREIGN_OPTIONS = "--setopt=skip_if_unavailable=1"


@dataclass(frozen=True)
class Refusal:
    """One denied access: the process, its type, what it asked of which type, and where."""

    command: str
    source: str
    target: str
    tclass: str
    permissions: tuple[str, ...]
    where: str
    count: int = 1


@dataclass(frozen=True)
class Trial:
    """What happened to the packages in the machine.

    ``installing`` are denials of the transaction itself, ``running`` of all that came after it.
    ``script`` is the exit status of the user's script, None when there was none. ``domains`` are
    the domains of processes with their commands, kernel threads and the system's own left out.
    ``system`` is the distribution that the machine runs. ``audit_log`` is auditd's log, or the
    journal where no auditd runs.
    """

    system: str
    packages: tuple[str, ...]
    enforcing: str
    installed: bool
    install_log: str
    modules: tuple[str, ...]
    verified: bool
    verify_log: str
    script: int | None
    script_log: str
    domains: tuple[tuple[str, str], ...]
    installing: tuple[Refusal, ...]
    running: tuple[Refusal, ...]
    booted: float
    lasted: float
    audit_log: bytes = b""

    @property
    def ok(self) -> bool:
        """Return whether all was installed and verified, the script ended well, none was denied."""
        return (
            self.enforcing == "Enforcing"
            and self.installed
            and self.verified
            and not self.script
            and not self.running
        )


def suited(paths: Sequence[Path], foreign: bool = False) -> tuple[str, ...]:
    """Return the NEVRAs of packages that the built-in machine can take.

    ``foreign`` asks for a user's machine, which takes packages of every target. Raises NotAnRpm;
    UsageError for a source package; WrongHost for a package of another target, since its policy was
    compiled against another base policy and would not load here.
    """
    here = targets.load("debian-12")
    others = {t.dist: t for t in map(targets.load, targets.names()) if t.dist != here.dist}
    nevras = []
    for path in paths:
        package = inspect(path)
        if package.nevra.arch in ("src", "nosrc"):
            raise UsageError(f"{path.name} is a source package", "give the binary packages")
        for dist, other in () if foreign else others.items():
            if package.nevra.release.endswith(dist):
                raise WrongHost(
                    f"{path.name} was built for {other.title}; this machine runs {here.title}",
                    "a policy loads with the base policy that it was compiled against: build it "
                    "with --target debian-12 for this machine, or give an image of that release "
                    "(--image)",
                )
        nevras.append(str(package.nevra))
    return tuple(nevras)


def attempt(
    machine: Machine,
    packages: Sequence[Path],
    script: Path | None = None,
    *,
    limit: float = 900.0,
    console: Callable[[str], None] = lambda line: None,
) -> Trial:
    """Install ``packages`` in one transaction, run ``script`` (bash), and tell what was denied.

    ``limit`` is in seconds. Raises what ``suited`` and ``Machine.run`` raise.
    """
    nevras = suited(packages, machine.foreign)
    files: dict[str, Path | str] = {f"packages/{path.name}": path for path in packages}
    if script is not None:
        files["smoke.sh"] = script
    text = _SCRIPT.replace("@options@", _FOREIGN_OPTIONS if machine.foreign else _OPTIONS)
    return _read(nevras, machine.run(text, files, limit=limit, console=console))


def _read(nevras: tuple[str, ...], outcome: Outcome) -> Trial:
    script = outcome.text("script.status").strip()
    ours = {nevra.rsplit("-", 2)[0].removesuffix("-selinux").replace("-", "_") for nevra in nevras}
    return Trial(
        system=outcome.text("system").strip(),
        packages=nevras,
        enforcing=outcome.enforcing,
        installed=outcome.text("install.status").strip() == "0",
        install_log=outcome.text("install.log"),
        modules=tuple(
            " ".join(line.split())
            for line in outcome.text("modules").splitlines()
            if len(line.split()) > 1 and line.split()[1].removesuffix("_ports") in ours
        ),
        verified=outcome.text("verify.status").strip() == "0",
        verify_log=outcome.text("verify.log"),
        script=int(script) if script else None,
        script_log=outcome.text("script.log"),
        domains=_domains(outcome.text("domains")),
        installing=refusals(outcome.text("install.avc")),
        running=refusals(outcome.text("script.avc")),
        booted=outcome.booted,
        lasted=outcome.lasted,
        audit_log=outcome.files.get("audit.log") or outcome.files.get("journal", b""),
    )


def _domains(text: str) -> tuple[tuple[str, str], ...]:
    """Return (domain, command) of the web server and of what is in no domain of the system."""
    found = set()
    for line in text.splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and words[1].count(":") > 1:
            found.add((words[1].split(":")[2], words[2].strip()))
    system = {"kernel_t", "init_t", "initrc_t", "unconfined_t", "auditd_t", "udev_t", "getty_t"}
    return tuple(
        sorted(
            (domain, command)
            for domain, command in found
            if domain not in system
            and not domain.startswith(("systemd_", "syslogd_", "system_dbus"))
        )
    )


def refusals(text: str) -> tuple[Refusal, ...]:
    """Return what AVC records say, equal ones counted, in the order of their first appearance."""
    counted: dict[tuple[str, ...], int] = {}
    for line in text.splitlines():
        permissions = _PERMISSIONS.search(line)
        fields = {name: value.strip('"') for name, value in _FIELD.findall(line)}
        if permissions is None or not {"scontext", "tcontext", "tclass"} <= fields.keys():
            continue
        where = next((fields[key] for key in ("path", "dest", "src", "name") if key in fields), "")
        item = (
            fields.get("comm", ""),
            _type(fields["scontext"]),
            _type(fields["tcontext"]),
            fields["tclass"],
            permissions[1].strip(),
            where,
        )
        counted[item] = counted.get(item, 0) + 1
    return tuple(
        Refusal(comm, source, target, tclass, tuple(what.split()), where, count)
        for (comm, source, target, tclass, what, where), count in counted.items()
    )


def _type(context: str) -> str:
    parts = context.split(":")
    return parts[2] if len(parts) > 2 else context
