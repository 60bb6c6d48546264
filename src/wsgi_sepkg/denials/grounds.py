"""What the decisions are asked of: the facts of a target, and a policy where one is at hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from wsgi_sepkg import targets
from wsgi_sepkg.denials.model import Denial
from wsgi_sepkg.errors import UsageError, WsgiSepkgError
from wsgi_sepkg.targets import Facts, Service, Target

_FILE_CODES = {
    "file": "--",
    "dir": "-d",
    "lnk_file": "-l",
    "sock_file": "-s",
    "fifo_file": "-p",
    "chr_file": "-c",
    "blk_file": "-b",
}
# Places whose labels do not come from file_contexts, or not from those of the base policy alone.
_NOT_LABELLED = ("/proc/", "/sys/", "/dev/pts/", "/memfd:", "/SYSV", "/tmp/", "/var/tmp/")  # noqa: S108

# Labels that restorecon keeps: selinux_customizable_types(5), contexts/customizable_types.
CUSTOMIZABLE = frozenset(
    {
        "container_file_t",
        "svirt_sandbox_file_t",
        "svirt_image_t",
        "virt_content_t",
        "httpd_user_content_t",
        "httpd_user_htaccess_t",
        "httpd_user_script_exec_t",
        "public_content_rw_t",
        "public_content_t",
        "samba_share_t",
        "mount_loopback_t",
        "sysadm_untrusted_content_t",
        "virt_bootloader_t",
    }
)


class Names:
    """The names of one target's policy, and what its lists say about paths and ports."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.facts: Facts = target.facts

    def __repr__(self) -> str:
        return f"Names({self.target.name})"

    def has_type(self, name: str) -> bool:
        """Tell whether the policy has a type of that name, or an alias."""
        return name in self.facts.types

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Return the types by their other names."""
        return self.facts._pairs("aliases.txt")

    def real(self, name: str) -> str:
        """Return the type behind an alias."""
        return self.aliases.get(name, name)

    def owner(self, name: str) -> str:
        """Return the module that declares a type, '' when unknown."""
        found = self.facts.types.get(name, "")
        return "" if found == "-" else found

    def expected(self, path: str, class_: str) -> str:
        """Return the type that the base policy gives to ``path``, '' where it says nothing."""
        from wsgi_sepkg.project.names import label_of

        code = _FILE_CODES.get(class_)
        if code is None or not path.startswith("/") or path.startswith(_NOT_LABELLED):
            return ""
        if path.endswith(" (deleted)"):
            return ""
        return label_of(self.facts, path, code)[0]

    def port_label(self, protocol: str, number: int) -> str:
        """Return the type that the base policy gives to one port, '' where a range alone has it."""
        from wsgi_sepkg.project.names import base_port_type

        return base_port_type(self.facts, protocol, number)

    def interface(self, *names: str) -> str:
        """Return the first interface of ``names`` that the headers have, '' for none."""
        return next((name for name in names if name in self.facts.interfaces), "")

    def service(self, word: str) -> Service | None:
        """Return the service that a [[connect]] names ``word``, None where there is none."""
        return self.target.services.get(word)


def choose(types: Iterable[str], wanted: str = "", host: str = "") -> Names:
    """Return the names of the target that knows most of ``types``.

    ``wanted`` is the target that was asked for; among equals ``host`` comes first, then the one
    with the most names. Raises UsageError when there is no target ``wanted``.
    """
    if wanted:
        return Names(targets.load(wanted))
    named = set(types)
    order = [host] if host else []
    order += [n for n in ("fedora", "el9", "el10", "debian-12") if n != host]
    order += [n for n in targets.names() if n not in order]
    best, most = None, -1
    for name in order:
        found = Names(targets.load(name))
        count = len(named & found.facts.types.keys())
        if count == len(named):
            return found
        if count > most:
            best, most = found, count
    if best is None:
        raise AssertionError("there are always targets")
    return best


@dataclass(frozen=True)
class Verdict:
    """What a policy says about one denial.

    ``word`` is allowed, boolean, dontaudit, constraint, role, bounds, denied, or unknown: then
    ``why`` names what the policy does not have. ``booleans`` are the switches that would allow it.
    """

    word: str
    booleans: tuple[tuple[str, bool], ...] = ()
    why: str = ""


@dataclass
class Policy:
    """A binary policy that is asked. ``given`` tells that the user named it."""

    path: Path
    given: bool
    verdicts: dict[tuple[str, ...], Verdict] = field(default_factory=dict)
    opens: dict[str, int] = field(default_factory=dict)
    said: str = ""
    """Why it could not be asked, '' when it was."""

    def verdict(self, denial: Denial) -> Verdict | None:
        """Return what the policy said about ``denial``; None when it was not asked."""
        return self.verdicts.get(_key(denial))


def _key(denial: Denial) -> tuple[str, ...]:
    return (
        str(denial.source),
        str(denial.target),
        denial.tclass,
        *denial.permissions,
    )


def installed_policy(root: Path = Path("/")) -> Path | None:
    """Return the binary policy that is installed below ``root``, None when there is none."""
    from wsgi_sepkg.policy import buildcheck

    try:
        store = buildcheck.find_store(str(root))
    except buildcheck.BuildCheckError:
        return None
    path = Path(store.policy) if store.policy else None
    return path if path is not None and path.is_file() else None


def ask(policy: Policy, denials: Sequence[Denial], booleans: Sequence[str]) -> None:
    """Ask ``policy`` about ``denials``, and how many access vectors each boolean opens.

    The denials are asked through libselinux (audit2why), the booleans with one run of sesearch, at
    the same time. Where a tool is missing, ``policy.said`` names it and nothing is asked.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        counted = None
        if booleans:
            counted = pool.submit(_opened, policy.path, tuple(sorted(set(booleans))))
        _verdicts(policy, denials)
        if counted is not None:
            try:
                policy.opens = counted.result()
            except WsgiSepkgError as exc:
                policy.said = policy.said or exc.message


_RULE = re.compile(
    r"^allow\s+(\S+)\s+(\S+):(\S+)\s+(\{[^}]*\}|[^\s;]+)\s*;\s*\[\s*(.*?)\s*\]:(\w+)"
)


def _opened(policy: Path, names: tuple[str, ...]) -> dict[str, int]:
    """Return by boolean how many access vectors (source, target, class, permission) it opens."""
    from wsgi_sepkg import process

    done = process.run(
        ["sesearch", "-A", "-b", ",".join(names), policy],
        why="counting what a boolean opens",
        check=False,
    )
    count = dict.fromkeys(names, 0)
    for line in done.stdout.splitlines():
        match = _RULE.match(line)
        if match is None:
            continue
        vectors = len(match[4].strip("{} ").split())
        for name in set(re.findall(r"\w+", match[5])) & count.keys():
            count[name] += vectors
    return count


def _verdicts(policy: Policy, denials: Sequence[Denial]) -> None:
    from wsgi_sepkg.policy import buildcheck

    try:
        from selinux import audit2why
    except ImportError:
        policy.said = "the Python module selinux.audit2why is not installed (python3-libselinux)"
        return
    words = {
        "ALLOW": "allowed",
        "BOOLEAN": "boolean",
        "DONTAUDIT": "dontaudit",
        "CONSTRAINT": "constraint",
        "RBAC": "role",
        "BOUNDS": "bounds",
    }
    unknown = {
        "BADSCON": "the type of the source",
        "BADTCON": "the type of the target",
        "BADTCLASS": "the class",
        "BADPERM": "a permission",
    }
    with buildcheck._quiet():
        try:
            audit2why.init(str(policy.path))
        except (RuntimeError, ValueError, SystemError) as exc:
            raise UsageError(
                f"{policy.path}: this policy cannot be read: {exc}",
                "give the binary policy of the host: /etc/selinux/TYPE/policy/policy.NN",
            ) from exc
        try:
            for denial in denials:
                key = _key(denial)
                if key in policy.verdicts:
                    continue
                code, detail = audit2why.analyze(
                    str(denial.source), str(denial.target), denial.tclass, list(denial.permissions)
                )
                if code in (audit2why.BADSCON, audit2why.BADTCON):
                    # Another host's users and levels: ask with this policy's own, by type.
                    item = buildcheck.Expectation(
                        "deny",
                        denial.source.type,
                        denial.target.type,
                        denial.tclass,
                        denial.permissions,
                        *[""] * 5,
                    )
                    answers = [buildcheck._analyze(audit2why, item, p) for p in denial.permissions]
                    code, detail = min(answers, key=lambda a: (a[0] == audit2why.ALLOW, a[0]))
                policy.verdicts[key] = next(
                    (
                        Verdict("unknown", why=text)
                        for name, text in unknown.items()
                        if code == getattr(audit2why, name)
                    ),
                    Verdict(
                        next(
                            (w for n, w in words.items() if code == getattr(audit2why, n)),
                            "denied",
                        ),
                        tuple((name, bool(value)) for name, value in detail or ())
                        if code == audit2why.BOOLEAN
                        else (),
                    ),
                )
        finally:
            audit2why.finish()
