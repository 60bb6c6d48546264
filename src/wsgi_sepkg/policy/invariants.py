"""What no process of an application may do, asked of the linked policy, and what it can do.

``INVARIANTS`` is the list that the documentation shows. Each is asked for every process with a
domain of its own, with the tunables of the package switched on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wsgi_sepkg.policy.model import Policy
from wsgi_sepkg.policy.reach import PROBE_DOMAIN, Domain, Reach
from wsgi_sepkg.targets import Target, domains

# name: (what no process may do, what of that the description can allow)
INVARIANTS: dict[str, tuple[str, str]] = {
    "shadow": ("read or change password hashes (shadow_t)", ""),
    "others": (
        "open files of other applications, of users or of databases, the web server's "
        "configuration, or keys of TLS",
        "Kerberos files of users with the powers kerberos and nsswitch; a path whose label another "
        "module keeps",
    ),
    "ptrace": ("trace a process, its own siblings included", ""),
    "kernel": ("load a module into the kernel, or use any capability", ""),
    "policy": ("load a policy, set booleans, switch enforcing off", ""),
    "context": ("change its own context, or that of what it starts", ""),
    "code": (
        "change its code, configuration, secrets, entry points or units",
        "static files, by management commands with the power collect-static",
    ),
    "write-execute": (
        "execute what it can write",
        "a mapped file in shared memory with the power libffi",
    ),
    "programs": (
        "execute a program in its own domain",
        "programs of the host with the powers helpers and shell; uWSGI, mod_wsgi-express",
    ),
    "bind": ("bind a port that the description does not give it", "[[port]]"),
    "connect": (
        "connect to a TCP port that the description does not name; UDP has no such permission: "
        "where a process may have UDP sockets, no policy limits the ports that it sends to",
        "[[connect]], [[port]]",
    ),
    "leave": ("enter another domain", "sendmail's with the power sendmail, [[call]]"),
    "enter": ("be entered from anywhere but where it is started", ""),
    "start": ("be missed: the transition into its domain exists, also with NoNewPrivileges", ""),
    "permissive": ("run without being stopped", "a waiver, until its day"),
}
_TCP = "tcp_socket"
_CHANGES = ("append", "create", "rename", "setattr", "unlink", "write")
_SECURITY = ("load_policy", "setbool", "setenforce", "setsecparam")
# Attributes of the base policies that hold content of other applications and of users.
_FOREIGN_ATTRIBUTES = (
    "httpdcontent",
    "httpd_content_type",
    "user_home_type",
    "user_home_content_type",
)
_FOREIGN_TYPES = (
    "httpd_config_t",
    "httpd_keytab_t",
    "httpd_sys_content_t",
    "httpd_sys_rw_content_t",
    "httpd_var_lib_t",
    "mysqld_db_t",
    "postgresql_db_t",
    "admin_home_t",
    "user_home_t",
    "tls_privkey_t",
    "dovecot_cert_t",
)


def attributes() -> tuple[str, ...]:
    """Return the attributes whose members the invariants ask for."""
    return _FOREIGN_ATTRIBUTES


@dataclass(frozen=True)
class Power:
    """What one domain may do, in figures and names.

    ``vectors``: access vectors (target type, class, permission) beyond a domain that is one and
    nothing else, attributes expanded, booleans as shipped; ``share``: of the web server's domain.
    ``connects``, ``binds``: (TCP port type, whether it is open as shipped; else a tunable of the
    package opens it). ``by_boolean``: (port type, boolean, whether it is on as shipped) for ports
    that only a boolean of the base policy opens. ``writes``: types whose files it may open and
    change, beyond that bare domain. ``udp``: whether it may have UDP sockets. ``entered_from``,
    ``leaves_to``: domains.
    """

    domain: str
    processes: tuple[str, ...]
    vectors: int
    share: float
    connects: tuple[tuple[str, bool], ...]
    by_boolean: tuple[tuple[str, str, bool], ...]
    binds: tuple[tuple[str, bool], ...]
    udp: bool
    writes: tuple[str, ...]
    entered_from: tuple[str, ...]
    leaves_to: tuple[str, ...]


@dataclass(frozen=True)
class PowerTable:
    """The figures of all processes beside the web server's domain.

    ``server_reads``: own types that the web server's domain may open, with what it may do there.
    """

    server: str
    server_vectors: int
    server_connects: tuple[str, ...]
    processes: tuple[Power, ...]
    server_reads: tuple[tuple[str, tuple[str, ...]], ...]


def beyond(domain: Domain, probe: Domain) -> int:
    """Return how many access vectors ``domain`` has that ``probe`` has not."""
    return len(domain.vectors - probe.vectors)


def power_table(policy: Policy, reach: Reach, server: str, shipped: dict[str, bool]) -> PowerTable:
    """Return the figures; the linked policy must hold the probe. ``shipped``: base booleans."""
    probe, httpd = reach.domains[PROBE_DOMAIN], reach.domains[server]
    whole = beyond(httpd, probe)
    rows = []
    for name in sorted({p.domain for p in policy.processes}):
        domain = reach.domains[name]
        count = beyond(domain, probe)
        rows.append(
            Power(
                name,
                tuple(p.name for p in policy.processes if p.domain == name),
                count,
                count / whole,
                _ports(domain, probe, "name_connect"),
                tuple(
                    sorted(
                        (target, boolean, shipped.get(boolean, False))
                        for (target, class_, permission), by in domain.boolean.items()
                        if (class_, permission) == (_TCP, "name_connect")
                        for boolean in by
                    )
                ),
                _ports(domain, probe, "name_bind"),
                domain.may("self", "udp_socket", "create"),
                tuple(sorted(written(domain) - written(probe))),
                tuple(sorted({s for s, _ in reach.entering[name]} - {name, PROBE_DOMAIN})),
                tuple(sorted(leaves(domain) - leaves(probe))),
            )
        )
    own = {t.name for t in policy.types}
    served = {
        (target, "append" if not httpd.may(target, "file", "write") else "write")
        for target in written(httpd) & own
    } | {(target, "read") for target in httpd.targets("file", "open") & own}
    served |= {(t, "connect") for t in httpd.targets("sock_file", "write") & own}
    reads = {t: tuple(sorted(w for x, w in served if x == t)) for t, _ in served}
    return PowerTable(
        server,
        whole,
        tuple(sorted(httpd.targets(_TCP, "name_connect"))),
        tuple(rows),
        tuple(sorted(reads.items())),
    )


def _ports(domain: Domain, probe: Domain, permission: str) -> tuple[tuple[str, bool], ...]:
    found = domain.targets(_TCP, permission) - probe.targets(_TCP, permission)
    now = domain.targets(_TCP, permission, switched=False)
    return tuple((type_, type_ in now) for type_ in sorted(found))


def written(domain: Domain) -> set[str]:
    """Return the types whose files it may open and change, or make."""
    return domain.targets("file", "write", "append", "create") & domain.targets("file", "open")


def leaves(domain: Domain) -> set[str]:
    """Return the domains that it may enter."""
    return domain.targets("process", "transition", "dyntransition") - {"self"}


def broken(policy: Policy, reach: Reach, target: Target) -> Iterator[tuple[str, str, str]]:
    """Yield (invariant, domain, what it may do) for each one that does not hold."""
    checker = _Checker(policy, reach, target)
    for domain in sorted({p.domain for p in policy.processes}):
        if domain not in reach.domains:
            yield "start", domain, f"{domain} is not in the linked policy"
            continue
        for name in INVARIANTS:
            for text in getattr(checker, f"ask_{name.replace('-', '_')}")(reach.domains[domain]):
                yield name, domain, text


class _Checker:
    def __init__(self, policy: Policy, reach: Reach, target: Target) -> None:
        self.policy = policy
        self.reach = reach
        self.target = target
        self.rules = domains(target.family)
        self.own = {t.name for t in policy.types}

    def said(self, domain: str, word: str) -> bool:
        """Tell whether a power of the description is this domain's."""
        key = {f"power[{i}]" for i, p in enumerate(self.policy.powers) if p == word}
        for statement in self.policy.statements:
            body = statement.body
            words = getattr(body, "arguments", ()) or (getattr(body, "source", ""),)
            if statement.why.key in key and domain in words[:1]:
                return True
        return False

    def by_hand(self, domain: str) -> set[str]:
        """Return the words of [[allow]] and [[call]] entries that name the domain."""
        found: set[str] = set()
        for statement in self.policy.statements:
            if statement.why.key.startswith(("allow[", "call[")):
                body = statement.body
                words = {*getattr(body, "arguments", ())} or {
                    getattr(body, "source", ""),
                    getattr(body, "target", ""),
                }
                found |= words if domain in words else set()
        return found

    def ask_shadow(self, domain: Domain) -> Iterator[str]:
        for permission in ("read", "write", "append", "open"):
            if domain.may("shadow_t", "file", permission):
                yield f"{permission} shadow_t"

    def ask_others(self, domain: Domain) -> Iterator[str]:
        foreign = {*_FOREIGN_TYPES}.union(*self.reach.members.values()) - self.own
        kept = {p.type for p in self.policy.paths if p.kept_by} | self.by_hand(domain.name)
        if any(self.said(domain.name, word) for word in ("kerberos", "nsswitch")):
            kept |= {"krb5_home_t"}
        for type_ in sorted((domain.targets("file", "open") & foreign) - kept):
            yield f"open files of {type_}"

    def ask_ptrace(self, domain: Domain) -> Iterator[str]:
        for type_ in sorted(domain.targets("process", "ptrace")):
            yield f"trace {type_}"

    def ask_kernel(self, domain: Domain) -> Iterator[str]:
        for class_ in ("capability", "capability2", "cap_userns", "cap2_userns"):
            for t, c, p in sorted(domain.switched):
                if c == class_ and (t, c, p) not in self.probe:
                    yield f"use the {class_} {p}"
        for type_ in sorted(domain.targets("system", "module_load")):
            yield f"load a module of {type_} into the kernel"

    @property
    def probe(self) -> set[tuple[str, str, str]]:
        """Return what a domain has that is nothing else, empty where the policy has no probe."""
        found = self.reach.domains.get(PROBE_DOMAIN)
        return found.switched if found else set()

    def ask_policy(self, domain: Domain) -> Iterator[str]:
        for permission in _SECURITY:
            if domain.may("security_t", "security", permission):
                yield permission

    def ask_context(self, domain: Domain) -> Iterator[str]:
        for permission in ("setcurrent", "setexec", "setfscreate", "setsockcreate", "setkeycreate"):
            if domain.may("self", "process", permission):
                yield f"{permission} for itself"

    def ask_code(self, domain: Domain) -> Iterator[str]:
        kinds = {p.entry_type for p in self.policy.processes if p.entry_type}
        kinds |= {t.name for t in self.policy.types if t.kind == "unit"}
        kinds |= {*self.policy.read_only_types} & self.own
        if self.said(domain.name, "collect-static"):
            kinds -= {p.type for p in self.policy.paths if p.use == "static"}
        for type_ in sorted(kinds):
            changes = [p for p in _CHANGES if domain.may(type_, "file", p)]
            changes += [p for p in ("add_name", "remove_name") if domain.may(type_, "dir", p)]
            if changes:
                yield f"{', '.join(changes)} {type_}"

    def ask_write_execute(self, domain: Domain) -> Iterator[str]:
        runs = domain.targets("file", "execute", "execute_no_trans", "entrypoint", "execmod")
        for type_ in sorted(written(domain) & runs):
            callback = type_ == f"{domain.name[:-2]}_tmpfs_t" and self.said(domain.name, "libffi")
            if not callback or domain.may(type_, "file", "execute_no_trans"):
                yield f"write and execute {type_}"

    def ask_programs(self, domain: Domain) -> Iterator[str]:
        runs = domain.targets("file", "execute_no_trans") - {
            t for t, c, p in self.probe if (c, p) == ("file", "execute_no_trans")
        }
        if any(self.said(domain.name, w) for w in ("helpers", "shell")):
            runs -= {"bin_t", "shell_exec_t", "chroot_exec_t"}
        for process in self.policy.processes:
            runner = process.runner
            if process.domain == domain.name and runner is not None:
                runs -= {"bin_t"} if runner.program else set()
                runs -= {"httpd_exec_t", "httpd_modules_t"} if runner.runs_httpd else set()
        for type_ in sorted(runs - self.by_hand(domain.name)):
            yield f"execute {type_} in its own domain"

    def ports(self, domain: Domain, permission: str) -> Iterator[str]:
        for class_ in (_TCP, "udp_socket", "sctp_socket", "dccp_socket"):
            for type_ in sorted(domain.targets(class_, permission)):
                known = (domain.name, type_, class_, permission) in self.policy.named_ports
                base = (type_, class_, permission) in self.probe
                if not known and not base and type_ not in self.by_hand(domain.name):
                    yield f"{permission.removeprefix('name_')} {type_} ({class_})"

    def ask_bind(self, domain: Domain) -> Iterator[str]:
        yield from self.ports(domain, "name_bind")

    def ask_connect(self, domain: Domain) -> Iterator[str]:
        yield from self.ports(domain, "name_connect")

    def ask_leave(self, domain: Domain) -> Iterator[str]:
        allowed = {"system_mail_t"} if self.said(domain.name, "sendmail") else set()
        base = {t for t, c, p in self.probe if c == "process" and p.endswith("transition")}
        for into in sorted(leaves(domain) - allowed - base - self.by_hand(domain.name)):
            yield f"enter {into}"

    def starters(self, domain: str) -> tuple[set[str], str]:
        """Return the domains that may start it, and the one that must."""
        kinds = {p.kind for p in self.policy.processes if p.domain == domain}
        if "wsgi" in kinds:
            return {self.policy.server_domain, *self.base_starters()}, self.policy.server_domain
        found = set(self.rules.started_by)
        if "manage" in kinds:
            found |= set(self.rules.commanded_by)
        return found, "init_t"

    def base_starters(self) -> set[str]:
        return set(self.rules.started_by) - {"init_t"}

    def ask_enter(self, domain: Domain) -> Iterator[str]:
        allowed, _ = self.starters(domain.name)
        sources = {s for s, _ in self.reach.entering[domain.name]} - {domain.name, PROBE_DOMAIN}
        for source in sorted(sources - allowed):
            yield f"be entered from {source}"
        for source, executed, into in sorted(self.reach.automatic):
            if into == domain.name and (
                source not in allowed or executed not in self.entries(into)
            ):
                yield f"be entered when {source} executes {executed}"
        for type_ in sorted(domain.targets("file", "entrypoint") - self.entries(domain.name)):
            yield f"be entered through {type_}"

    def entries(self, domain: str) -> set[str]:
        return {p.entry_type for p in self.policy.processes if p.domain == domain and p.entry_type}

    def ask_start(self, domain: Domain) -> Iterator[str]:
        _, starter = self.starters(domain.name)
        entering = self.reach.entering[domain.name]
        if starter != "init_t":
            if (starter, "dyntransition") not in entering:
                yield f"{starter} cannot move there: no dyntransition"
            return
        if (starter, "transition") not in entering:
            yield f"{starter} cannot start it: no transition"
        for entry in self.entries(domain.name):
            if (starter, entry, domain.name) not in self.reach.automatic:
                yield f"{starter} stays where it is when it executes {entry}: no type_transition"
            if not domain.may(entry, "file", "entrypoint"):
                yield f"{entry} is no entry point of it"
        for permission in ("nnp_transition", "nosuid_transition"):
            if (starter, permission) not in self.reach.nnp[domain.name]:
                yield (
                    f"{starter} may not {permission}: with NoNewPrivileges= the process would stay "
                    f"in {starter}, unconfined"
                )

    def ask_permissive(self, domain: Domain) -> Iterator[str]:
        waived = {w.grant for w in self.policy.waivers}
        if domain.permissive and f"permissive {domain.name}" not in waived:
            yield "is permissive: nothing is denied to it"


def summary(policy: Policy, found: Sequence[tuple[str, str, str]]) -> str:
    """Return a sentence about what held."""
    count = len({p.domain for p in policy.processes})
    held = len(INVARIANTS) - len({name for name, _, _ in found})
    return f"{held} of {len(INVARIANTS)} built-in invariants hold for {count} domains"
