"""Processes with a domain of their own → domains, grants, contexts and promises.

What they are granted stands in targets/domains.toml, with the reason and the denial that shows its
absence; this puts the names of one application in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from string import Template
from typing import TYPE_CHECKING

from wsgi_sepkg.policy.model import (
    Call,
    Context,
    LabelPromise,
    OwnDomain,
    OwnTunable,
    OwnType,
    Promise,
    RoleTypes,
    Rule,
    Why,
)
from wsgi_sepkg.project import names
from wsgi_sepkg.project.processes import (
    Process,
    groups,
    own_types,
    powers,
    processes,
    shared_memory,
)
from wsgi_sepkg.targets import DomainGrant, domains

if TYPE_CHECKING:
    from wsgi_sepkg.policy.derive import Derivation

UNIT_FOLDER = "/usr/lib/systemd/system"
_ROLES = {"unconfined_t": "unconfined_r", "sysadm_t": "sysadm_r"}
_WRITTEN = ("append", "create", "rename", "unlink", "write")


def parse_call(text: str, words: dict[str, str]) -> Call:
    """Return ``macro(argument, ...)`` of domains.toml with the names of an application."""
    match = re.fullmatch(r"(\w+)\((.*)\)", text)
    assert match is not None, text
    arguments = [a.strip() for a in match.group(2).split(",")]
    return Call(match.group(1), tuple(Template(a).substitute(words) for a in arguments))


def parse_rule(text: str, words: dict[str, str], keyword: str = "allow") -> Rule:
    """Return ``SOURCE TARGET:CLASS PERMISSION...`` of domains.toml as a rule."""
    match = re.fullmatch(r"(\S+) ([^\s:]+):(\w+) (?:\{ ([^}]*) \}|(\w+))", text)
    assert match is not None, text
    source, target, class_, several, one = match.groups()
    permissions = tuple(sorted(several.split())) if several else (one,)
    source, target = (Template(w).substitute(words) for w in (source, target))
    return Rule(keyword, source, target, (class_,), permissions)


class Confinement:
    """Everything in the policy of one application that follows from its processes."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation = derivation
        self.d = derivation.d
        self.target = derivation.target
        self.rules = domains(self.target.family)
        self.processes = processes(self.d, self.target)
        self.types_by_name = own_types(self.d, self.target)
        self.server = derivation.server_domain

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the domains of the processes."""
        return tuple(sorted({p.domain for p in self.processes}))

    def of(self, domain: str) -> list[Process]:
        """Return the processes that run in ``domain``."""
        return [p for p in self.processes if p.domain == domain]

    def first(self, domain: str) -> Process:
        """Return the process that the domain is made for."""
        return min(self.of(domain), key=lambda p: (not p.main, p.kind != "manage", p.name))

    def key(self, domain: str) -> str:
        return self.first(domain).key

    def words(self, domain: str) -> dict[str, str]:
        start, stem = names.prefix(self.d), domain.removesuffix("_t")
        types = {u.use.name: u.type for u in self.derivation.used}
        return {
            "domain": domain,
            "entry": f"{stem}_exec_t",
            "runtime": f"{stem}_runtime_t",
            "tmp": f"{stem}_tmp_t",
            "tmpfs": f"{stem}_tmpfs_t",
            "server": self.server,
            "static": types.get("static", f"{start}_static_t"),
            "content": types.get("code", f"{start}_content_t"),
        }

    # -- declarations ------------------------------------------------------------------------

    def own_domains(self) -> Iterator[OwnDomain]:
        for domain in self.domains:
            process = self.first(domain)
            way = "dynamic" if process.kind == "wsgi" else "unit"
            entry = process.entry_type
            reason = {
                "wsgi": "the daemon process of mod_wsgi",
                "manage": "management commands of the application",
            }.get(process.kind, f"the process {process.name} ({process.kind})")
            why = Why(self.key(domain), reason)
            permissive = any(p.permissive for p in self.of(domain))
            yield OwnDomain(domain, entry, way != "dynamic", permissive, why, way)

    def types(self) -> Iterator[OwnType]:
        start = names.prefix(self.d)
        used = {u.type for u in self.derivation.used}
        call = self.derivation.call
        for name, key in self.types_by_name.items():
            if name in self.domains or name in used:
                continue
            why, kind, calls = Why(key, "entry point of a domain"), "entry", [""]
            if name == f"{start}_unit_t":
                kind, calls = "unit", [call("@unit-file")]
                why = Why("application.confinement", "systemd units of the application")
            elif name.endswith("_runtime_t"):
                kind, calls = "runtime", [call("@runtime-file")]
                why = Why(key, "files and sockets of the process in /run")
            elif name.endswith("_tmpfs_t"):
                kind, calls = "tmpfs", ["files_tmpfs_file"]
                why = Why(key, "files of the process in shared memory")
            elif name.endswith("_tmp_t"):
                kind, calls = "temporary", ["files_tmp_file"]
                private = "systemd_private_tmp"
                calls += [private] if private in self.target.facts.interfaces else []
                why = Why(key, "temporary files of the process")
            yield OwnType(name, kind, tuple(c for c in calls if c), (), why)

    def tunables(self) -> Iterator[OwnTunable]:
        for index, power in enumerate(self.d.power):
            known = self.rules.powers[power.name]
            if power.through == "tunable" and known.tunable:
                name = f"{names.prefix(self.d)}_{known.tunable}"
                reason = f"{known.title}: {power.reason}"
                yield OwnTunable(name, power.default, Why(f"power[{index}]", reason))

    # -- statements --------------------------------------------------------------------------

    def statements(self) -> None:
        for domain in self.domains:
            member_of = frozenset[str]().union(*(groups(p) for p in self.of(domain)))
            if any(self.connects(domain)):
                member_of |= {"tcp"}
            if domain in shared_memory(self.d, self.target):
                member_of |= {"shares"}
            for grant in self.rules.grants:
                if grant.groups & member_of:
                    self.grant(grant, domain)
            for silent in self.rules.dontaudit:
                if silent.groups & member_of:
                    self.grant(silent, domain, "dontaudit")
        self.commands()
        self.listening()
        self.powers()
        self.served()
        self.entering()

    def connects(self, domain: str) -> Iterator[bool]:
        """Yield for each connection of ``domain`` whether it goes over TCP."""
        from wsgi_sepkg.project.processes import connecting

        for connect in self.d.connect:
            if domain in connecting(self.d, self.target, connect.by):
                yield bool(connect.port) or not connect.socket
        yield any(domain in port.connect_by for port in self.d.port)

    def grant(self, grant: DomainGrant, domain: str, keyword: str = "allow") -> None:
        words = self.words(domain)
        why = Why(self.key(domain), grant.reason)
        for text in grant.calls:
            self.derivation.add(parse_call(text, words), why)
        for text in grant.rules:
            self.derivation.add(parse_rule(text, words, keyword), why)

    def commands(self) -> None:
        """Management commands are started by administrators too."""
        for process in self.processes:
            if process.kind != "manage":
                continue
            for source in self.rules.commanded_by:
                why = Why(process.key, f"an administrator in {source} starts management commands")
                arguments = (source, process.entry_type, process.domain)
                self.derivation.add(Call("domtrans_pattern", arguments), why)
                role = _ROLES[source]
                self.derivation.add(RoleTypes(role, process.domain), why)
                self.promise(True, source, process.domain, "process", ("transition",), why)

    def listening(self) -> None:
        """A process that listens on a port binds it, and the web server connects to it."""
        for process in self.processes:
            for index, port in enumerate(self.d.port):
                low, high = names.port_range(port.number)
                if not process.port or not low <= process.port <= high:
                    continue
                type_ = names.port_type(self.d, port)
                why = Why(process.key, f"listens on {process.host}:{process.port}")
                rules = (
                    (process.domain, "name_bind"),
                    (self.server, "name_connect"),
                )
                for source, permission in rules:
                    rule = Rule("allow", source, type_, ("tcp_socket",), (permission,))
                    self.derivation.add(rule, Why(f"port[{index}]", why.reason))
                    self.derivation.named_ports.add((source, type_, "tcp_socket", permission))
                    self.promise(True, source, type_, "tcp_socket", (permission,), why)

    def powers(self) -> None:
        for index, chosen in powers(self.d, self.target).items():
            power = self.d.power[index]
            known = self.rules.powers[power.name]
            why = Why(f"power[{index}]", f"{known.title}: {power.reason}")
            tunable = ""
            if power.through == "tunable" and known.tunable:
                tunable = f"{names.prefix(self.d)}_{known.tunable}"
            for domain in sorted({p.domain for p in chosen}):
                words = self.words(domain)
                for text in known.calls:
                    self.derivation.add(parse_call(text, words), why, tunable)
                for text in known.rules:
                    self.derivation.add(parse_rule(text, words), why, tunable)
                for type_ in known.ports:
                    named = (domain, type_, "tcp_socket", "name_connect")
                    self.derivation.named_ports.add(named)

    def static_writers(self) -> frozenset[str]:
        """Return the domains with the power to write static files."""
        chosen = powers(self.d, self.target)
        return frozenset(
            process.domain
            for index, some in chosen.items()
            if self.d.power[index].name == "collect-static"
            for process in some
        )

    def served(self) -> None:
        """The web server reads static and media files, and walks there; nothing else."""
        used = self.derivation.used
        for one in used:
            if one.use.name not in ("static", "media"):
                continue
            reason = f"the web server hands out {one.use.name} files, mapped into memory"
            why = Why(one.key, reason)
            for macro in ("list_dirs_pattern", "mmap_read_files_pattern", "read_lnk_files_pattern"):
                for body in self.derivation.pattern(macro, one.type, self.server):
                    self.derivation.add(body, why)
            way = self.derivation.way(one.path)
            above = sorted({u.type for u in used if one.path.startswith(f"{u.path}/")} - {one.type})
            walk = Why(one.key, f"the way to {one.path}")
            if way:
                self.derivation.add(Call(way, (self.server,)), walk)
            for type_ in above:
                pattern = Call("search_dirs_pattern", (self.server, type_, type_))
                self.derivation.add(pattern, walk)
            self.promise(
                True, self.server, one.type, "file", ("getattr", "map", "open", "read"), why
            )

    # -- promises ----------------------------------------------------------------------------

    def promise(
        self,
        allow: bool,
        source: str,
        target: str,
        class_: str,
        permissions: Iterable[str],
        why: Why,
    ) -> None:
        known = self.target.facts.classes.get(class_, frozenset())
        wanted = tuple(p for p in permissions if p in known)
        if wanted:
            self.derivation.promises.append(Promise(allow, source, target, class_, wanted, why))

    def entering(self) -> None:
        """A process gets into its domain, and the web server to it but not to its files."""
        nnp = ("nnp_transition", "nosuid_transition")
        for process in self.processes:
            domain, key = process.domain, process.key
            if process.kind == "wsgi":
                why = Why(key, "the daemon process of mod_wsgi moves to its own domain")
                self.promise(True, self.server, self.server, "process", ("setcurrent",), why)
                self.promise(True, self.server, domain, "process", ("dyntransition",), why)
                continue
            why = Why(key, "systemd starts it in its own domain")
            self.promise(True, "init_t", domain, "process", ("transition",), why)
            why = Why(key, "its unit has NoNewPrivileges=: without this it would stay in init_t")
            self.promise(True, "init_t", domain, "process2", nnp, why)
            why = Why(key, "entry points are not the application's to write")
            for source in self.domains:
                self.promise(False, source, process.entry_type, "file", _WRITTEN, why)
            if process.socket:
                why = Why(key, "the web server connects to the socket of the application")
                self.promise(True, self.server, domain, "unix_stream_socket", ("connectto",), why)
                runtime = f"{process.stem}_runtime_t"
                self.promise(True, self.server, runtime, "sock_file", ("write",), why)
        for used in self.derivation.used:
            if used.use.name in ("static", "media") or used.type not in self.derivation.own:
                continue
            why = Why(used.key, "the web server has no business in the application's files")
            # The base policy of Fedora lets httpd_t append to every log, of which it opens none.
            kept = ("open", "read", "write")
            if used.use.name != "socket":
                self.promise(False, self.server, used.type, "file", kept, why)

    # -- labels ------------------------------------------------------------------------------

    def contexts(self) -> Iterator[Context]:
        for path, file_type, type_, why in self.places():
            pattern = names.pattern_of(path)
            if file_type == "directory":
                yield Context(f"{pattern}(/.*)?", "any", type_, "s0", why)
            else:
                yield Context(pattern, "file", type_, "s0", why)

    def labels(self) -> Iterator[LabelPromise]:
        for path, file_type, type_, why in self.places():
            yield LabelPromise(path, file_type, type_, why)

    def places(self) -> Iterator[tuple[str, str, str, Why]]:
        """Yield path, file type and type of what the processes bring."""
        unit_type = f"{names.prefix(self.d)}_unit_t"
        said = {u.path for u in self.derivation.used}
        for process in self.processes:
            if process.entry_point:
                why = Why(process.key, f"entry point of {process.name}")
                yield process.entry_point, "file", process.entry_type, why
            if process.runtime_folder and process.runtime_folder not in said:
                why = Why(process.key, f"{process.name} in /run")
                yield process.runtime_folder, "directory", f"{process.stem}_runtime_t", why
            for unit in (process.unit, process.timer, process.socket_unit):
                if unit:
                    why = Why(process.key, f"systemd unit of {process.name}")
                    yield f"{UNIT_FOLDER}/{unit}", "file", unit_type, why
