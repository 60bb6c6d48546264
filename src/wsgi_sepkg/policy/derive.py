"""Description → Policy: what the uses, services and words of the description mean in policy.

The table of uses is the heart of it: which access the application's domain gets to a path, and
which it must not get. Each grant keeps the TOML key and the reason that asked for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import structs

from wsgi_sepkg.policy.confine import Confinement
from wsgi_sepkg.policy.model import (
    BooleanSetting,
    Call,
    Context,
    Interface,
    LabelledPath,
    LabelPromise,
    OwnDomain,
    OwnTunable,
    OwnType,
    Policy,
    PortLabel,
    Promise,
    RoleTypes,
    Rule,
    Statement,
    Waiver,
    Why,
)
from wsgi_sepkg.project import names, processes
from wsgi_sepkg.project.schema import Connect, Description
from wsgi_sepkg.project.schema import Rule as SaidRule
from wsgi_sepkg.targets import Target

READ_FILE = ("getattr", "open", "read")
WRITE_FILE = ("append", "create", "getattr", "open", "read", "rename", "unlink", "write")

# use: (macros that grant it, promised permissions on files, refused permissions on files, reason)
_GRANTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str]] = {
    "code": (
        ("list_dirs_pattern", "read_files_pattern", "read_lnk_files_pattern"),
        READ_FILE,
        ("write", "append", "create"),
        "the application reads its code and templates",
    ),
    "static": (
        ("list_dirs_pattern", "mmap_read_files_pattern", "read_lnk_files_pattern"),
        (*READ_FILE, "map"),
        ("write", "append", "create"),
        "the web server reads static files, mapped into memory",
    ),
    "media": (
        ("manage_dirs_pattern", "mmap_manage_files_pattern"),
        (*WRITE_FILE, "map"),
        ("execute",),
        "uploads are stored by the application and served, mapped into memory",
    ),
    "data": (
        ("manage_dirs_pattern", "mmap_manage_files_pattern"),
        (*WRITE_FILE, "lock", "map"),
        ("execute",),
        "the application keeps its database in files; sqlite maps its journal",
    ),
    "log": (
        ("list_dirs_pattern", "create_files_pattern", "append_files_pattern"),
        ("append", "create", "getattr", "open"),
        ("write", "unlink", "execute"),
        "the application writes its log: it may add to it, not change it",
    ),
    "cache": (
        ("manage_dirs_pattern", "manage_files_pattern"),
        WRITE_FILE,
        ("execute",),
        "the application keeps a cache in files",
    ),
    "config": (
        ("list_dirs_pattern", "read_files_pattern", "read_lnk_files_pattern"),
        READ_FILE,
        ("write", "append", "create"),
        "the application reads its configuration",
    ),
    "secret": (
        ("read_files_pattern",),
        READ_FILE,
        ("write", "append", "create"),
        "the application reads its secret",
    ),
    "socket": (
        ("manage_dirs_pattern", "manage_sock_files_pattern"),
        (),
        ("execute",),
        "the application makes its socket here",
    ),
    "runtime": (
        ("manage_dirs_pattern", "manage_files_pattern", "manage_sock_files_pattern"),
        WRITE_FILE,
        ("execute",),
        "the application keeps files while it runs",
    ),
    "temporary": (
        ("manage_dirs_pattern", "manage_files_pattern"),
        WRITE_FILE,
        ("execute",),
        "the application keeps temporary files",
    ),
}


def granted_on_files(use: str) -> frozenset[str]:
    """Return the permissions on files that a use of ``[path]`` comes to."""
    said = set(_GRANTS[use][1]) | {"ioctl", "lock"}
    return frozenset(said | {"setattr", "link"} if "unlink" in said else said)


# Static files for an application that does not hand them out itself.
_OWN_STATIC = (
    ("list_dirs_pattern", "read_files_pattern", "read_lnk_files_pattern"),
    READ_FILE,
    ("write", "append", "create"),
    "the application looks up the names of its static files",
)

# kind of type: interface that gives it its attributes; '@name' is looked up in the target
_KIND_CALLS = {
    "file": "files_type",
    "content": "files_type",
    "data": "files_type",
    "cache": "files_type",
    "secret": "files_type",
    "config": "files_config_file",
    "log": "logging_log_file",
    "temporary": "files_tmp_file",
    "tmpfs": "files_tmpfs_file",
    "runtime": "@runtime-file",
    "executable": "corecmd_executable_file",
    "unit": "@unit-file",
    "certificate": "miscfiles_cert_type",
    "port": "corenet_port",
}

# kind of type: what such objects are called in comments and in the documentation of interfaces
_KIND_WORDS = {
    "file": "files",
    "content": "content",
    "data": "data",
    "cache": "cache files",
    "secret": "secrets",
    "config": "configuration",
    "log": "log files",
    "temporary": "temporary files",
    "tmpfs": "files in shared memory",
    "runtime": "files and sockets in /run",
    "executable": "programs",
    "unit": "systemd units",
    "certificate": "certificates",
    "port": "port",
}

# lib_t and no type of our own: by the base policy every domain reads such files and maps libraries
# among them, and none of ours may execute one as a program.
_ENVIRONMENT = Why(
    "application.dependencies", "the virtual environment: libraries, which nobody starts or writes"
)

# Where a path lies: the interface that lets a domain walk there, longest prefix first.
_WAYS = (
    ("/var/lib", "files_search_var_lib"),
    ("/var/log", "logging_search_logs"),
    ("/var/spool", "files_search_spool"),
    ("/run", "@search-runtime"),
    ("/var/tmp", "files_search_tmp"),  # noqa: S108
    ("/tmp", "files_search_tmp"),  # noqa: S108
    ("/home", "userdom_search_user_home_dirs"),
    ("/mnt", "files_search_mnt"),
    ("/etc", "files_search_etc"),
    ("/usr", "files_search_usr"),
    ("/opt", "files_search_usr"),
    ("/srv", "files_search_var"),
    ("/var", "files_search_var"),
)


def derive(description: Description, target: Target) -> Policy:
    """Return the policy that ``description`` means on ``target``. The description must be valid."""
    return Derivation(description, target).policy()


class Derivation:
    """One description on one target, on its way to a policy."""

    def __init__(self, description: Description, target: Target) -> None:
        self.d = description
        self.target = target
        self.facts = target.facts
        self.prefix = names.prefix(description)
        self.used = names.used_paths(description, target)
        self.environment = names.environment_folder(description)
        application = description.application
        server = application.server if application is not None else "httpd"
        self.server_domain = target.servers[server].domain
        self.statements: list[Statement] = []
        self.promises: list[Promise] = []
        self.named_ports: set[tuple[str, str, str, str]] = set()
        self.confinement = Confinement(self) if processes.confined(description) else None
        self.own = names.own_types(description, target)
        # Domains of the application: its processes', or the web server's that it stays in.
        self.domains: tuple[str, ...] = (self.server_domain,)
        if self.confinement is not None:
            self.domains = self.confinement.domains
            for name, key in self.confinement.types_by_name.items():
                self.own.setdefault(name, key)

    def policy(self) -> Policy:
        from wsgi_sepkg.package.version import policy_module_version

        self.uses()
        if self.environment:
            libraries = ("execute", "getattr", "map", "open", "read")
            self.promise(True, "lib_t", "file", libraries, _ENVIRONMENT)
            self.promise(False, "lib_t", "file", ("append", "create", "write"), _ENVIRONMENT)
        self.connections()
        self.port_access()
        if self.confinement is not None:
            self.confinement.statements()
        self.said()
        for expect in self.d.expect:
            for word, vector in (("allow", expect.allow), ("deny", expect.deny)):
                if vector is not None:
                    index = self.d.expect.index(expect)
                    target = vector.source if vector.target == "self" else vector.target
                    self.promises.append(
                        Promise(
                            word == "allow",
                            vector.source,
                            target,
                            vector.class_,
                            tuple(sorted(vector.permissions)),
                            Why(f"expect[{index}]", expect.reason or "expected by the description"),
                        )
                    )
        read_only = {"code", "static", "config", "secret"}
        return Policy(
            module=names.module_name(self.d),
            version=policy_module_version(self.d.project.version),
            prefix=self.prefix,
            summary=self.d.project.summary,
            types=tuple(sorted(self.types())),
            tunables=tuple(sorted(self.tunables())),
            domains=tuple(sorted(self.own_domains())),
            statements=tuple(self.statements),
            contexts=tuple(sorted(set(self.contexts()))),
            ports=tuple(sorted(self.port_labels())),
            interfaces=tuple(sorted(i for i in self.interfaces() if not self.in_header(i.name))),
            booleans=tuple(sorted(self.booleans())),
            promises=tuple(self.promises),
            labels=tuple(self.labels()),
            paths=tuple(
                LabelledPath(u.use.name, u.path, u.is_file, u.type, u.kept_by, u.key)
                for u in self.used
            ),
            waivers=tuple(
                Waiver(" ".join(w.grant.split()), w.reason, w.until.isoformat(), f"waiver[{i}]")
                for i, w in enumerate(self.d.waiver)
            ),
            application_domains=(*self.domains, *(x.name for x in self.d.domain))
            if self.d.application is not None or self.used
            else tuple(x.name for x in self.d.domain),
            read_only_types=tuple(
                sorted(
                    {
                        u.type
                        for u in self.used
                        if u.use.name in read_only and (u.type in self.own or u.kept_by)
                    }
                )
            ),
            processes=processes.processes(self.d, self.target),
            powers=tuple(power.name for power in self.d.power),
            named_ports=frozenset(self.named_ports),
            server_domain=self.server_domain,
        )

    def own_domains(self) -> Iterator[OwnDomain]:
        for index, x in enumerate(self.d.domain):
            why = Why(f"domain[{index}]", x.reason)
            yield OwnDomain(x.name, x.entry, x.no_new_privileges, x.permissive, why)
        if self.confinement is not None:
            yield from self.confinement.own_domains()

    # -- statements --------------------------------------------------------------------------

    def add(
        self,
        body: Rule | Call | RoleTypes,
        why: Why,
        tunable: str = "",
        optional: bool | None = None,
    ) -> None:
        """Add a statement; what it needs from other modules is found from its words."""
        owner = ""
        roles: frozenset[str] = frozenset()
        if isinstance(body, Rule):
            words: tuple[str, ...] = (body.source, body.target)
        elif isinstance(body, RoleTypes):
            words, roles = (body.domain,), frozenset({body.role})
        else:
            words = body.arguments
            owner = self.facts.interfaces.get(body.macro, "")
        # An optional statement may name types that the target lacks: it is left out there.
        types = frozenset(
            w
            for w in words
            if w not in self.own and (w in self.facts.types or (optional and w.endswith("_t")))
        )
        attributes = frozenset(w for w in words if w in self.facts.attributes)
        modules = frozenset({owner} & self.facts.modules)
        statement = Statement(
            body,
            why,
            tunable,
            bool(types or modules or roles) if optional is None else optional,
            types,
            attributes,
            modules,
            roles,
        )
        if statement not in self.statements:
            self.statements.append(statement)

    def call(self, macro: str) -> str:
        """Return the target's name for a macro: ``@key`` is looked up."""
        return self.target.interface[macro[1:]] if macro.startswith("@") else macro

    def promise(
        self,
        allow: bool,
        target: str,
        class_: str,
        permissions: tuple[str, ...],
        why: Why,
        source: str = "",
    ) -> None:
        known = self.facts.classes.get(class_, frozenset())
        wanted = tuple(p for p in permissions if p in known)
        if wanted:
            for domain in (source,) if source else self.domains:
                self.promises.append(Promise(allow, domain, target, class_, wanted, why))

    # -- uses --------------------------------------------------------------------------------

    def uses(self) -> None:
        if self.d.application is None and self.d.domain:
            # The paths of a policy-only project with domains of its own get access by its rules.
            return
        for used in self.used:
            macros, may, must_not, reason = _GRANTS[used.use.name]
            if used.use.name == "static" and self.confinement is not None:
                macros, may, must_not, reason = _OWN_STATIC
            why = Why(used.key, reason)
            for domain in self.domains:
                # httpd's own types are opened to httpd by the base policy itself.
                if used.type.startswith("httpd_") and domain == self.server_domain:
                    continue
                for macro in macros:
                    for body in self.pattern(macro, used.type, domain):
                        self.add(body, why)
                way = self.way(used.path)
                if way:
                    self.add(Call(way, (domain,)), Why(used.key, f"the way to {used.path}"))
            self.tmpfiles(used)
            class_ = "sock_file" if used.use.name == "socket" else "file"
            self.promise(True, used.type, class_, may, why)
            if used.type in self.own:
                writers = self.confinement.static_writers() if self.confinement else frozenset()
                for domain in self.domains:
                    if used.use.name != "static" or domain not in writers:
                        self.promise(False, used.type, class_, must_not, why, source=domain)

    def tmpfiles(self, used: names.UsedPath) -> None:
        """Let systemd-tmpfiles make the folder at boot, where a family does not by itself."""
        macro = self.target.interface.get("tmpfiles")
        made = used.path.startswith(("/run/", "/var/")) and not used.is_file
        if macro and made and used.type in self.own and self.d.application is not None:
            why = Why(used.key, "systemd-tmpfiles makes the folder where it is missing")
            self.add(Call(macro, (used.type,)), why)

    def pattern(self, macro: str, type_: str, domain: str) -> Iterator[Rule | Call]:
        """Yield the pattern, in two steps where a family lacks the one that also maps."""
        plain = macro.removeprefix("mmap_")
        if macro != plain and macro not in self.facts.macros:
            yield Rule("allow", domain, type_, ("file",), ("map",))
            macro = plain
        yield Call(macro, (domain, type_, type_))

    def way(self, path: str) -> str:
        for place, macro in _WAYS:
            if path.startswith(place + "/"):
                name = self.call(macro)
                return name if name in self.facts.interfaces else ""
        return ""

    def contexts(self) -> Iterator[Context]:
        for used in self.used:
            if used.kept_by:
                continue
            pattern = names.pattern_of(used.path)
            why = Why(used.key, used.entry.override or f"{used.use.name} of the application")
            for spelling in _spellings(pattern):
                if used.is_file:
                    yield Context(spelling, "file", used.type, "s0", why)
                else:
                    yield Context(f"{spelling}(/.*)?", "any", used.type, "s0", why)
        if self.environment:
            pattern = names.pattern_of(self.environment)
            yield Context(f"{pattern}(/.*)?", "any", "lib_t", "s0", _ENVIRONMENT)
        if self.confinement is not None:
            for context in self.confinement.contexts():
                for spelling in _spellings(context.pattern):
                    yield structs.replace(context, pattern=spelling)
        for index, said in enumerate(self.d.file_context):
            why = Why(f"file-context[{index}]", said.reason)
            for spelling in _spellings(said.pattern):
                yield Context(spelling, said.file_type, said.type, said.level, why)

    def labels(self) -> Iterator[LabelPromise]:
        for used in self.used:
            why = Why(used.key, f"{used.use.name} of the application")
            if used.is_file:
                yield LabelPromise(used.path, "file", used.type, why)
            else:
                yield LabelPromise(used.path, "directory", used.type, why)
                yield LabelPromise(f"{used.path}/x", "file", used.type, why)
        if self.environment:
            # Names that the base policy would give other types.
            for place in ("bin/program", "lib/python3/site-packages/x/bin/x.so"):
                yield LabelPromise(f"{self.environment}/{place}", "file", "lib_t", _ENVIRONMENT)
        if self.confinement is not None:
            yield from self.confinement.labels()
        for index, expect in enumerate(self.d.expect):
            if expect.path:
                why = Why(f"expect[{index}]", expect.reason or "expected by the description")
                yield LabelPromise(expect.path, expect.file_type, expect.type, why)

    # -- declarations ------------------------------------------------------------------------

    def types(self) -> Iterator[OwnType]:
        kinds = {
            used.type: (used.use.kind, f"{used.use.name} of the application")
            for used in reversed(self.used)
        }
        said = {t.name: t for t in self.d.type}
        domains = {x.name for x in self.d.domain}
        entries = {x.entry for x in self.d.domain}
        brought: frozenset[str] = frozenset()
        if self.confinement is not None:
            found = list(self.confinement.types())
            brought = frozenset([*self.domains, *(t.name for t in found)])
            yield from found
        for name, key in self.own.items():
            if name in domains or name in brought:
                continue
            kind: str
            attributes: tuple[str, ...]
            if name in said:
                kind = said[name].kind
                reason = said[name].reason or f"{_KIND_WORDS[kind]} of its own, {name}"
                attributes = tuple(sorted(said[name].attributes))
            elif name in kinds:
                (kind, reason), attributes = kinds[name], ()
            elif name in entries:
                kind, reason, attributes = "entry", "entry point of a domain", ()
            else:
                kind, reason, attributes = "port", "port of its own", ()
            calls = (self.call(_KIND_CALLS[kind]),) if kind in _KIND_CALLS else ()
            if name in entries:
                calls = ()  # init_daemon_domain() gives an entry point its attributes
            yield OwnType(name, kind, calls, attributes, Why(key, reason))

    def tunables(self) -> Iterator[OwnTunable]:
        said = {t.name: t for t in self.d.tunable}
        if self.confinement is not None:
            yield from self.confinement.tunables()
        for name, key in names.own_tunables(self.d).items():
            if name in said:
                yield OwnTunable(name, said[name].default, Why(key, said[name].reason))
                continue
            connect = next(
                c
                for c in self.d.connect
                if names.has_tunable(c) and names.connect_tunable(self.d, c) == name
            )
            yield OwnTunable(name, connect.default, Why(key, self.connect_reason(connect)))

    def booleans(self) -> Iterator[BooleanSetting]:
        for index, said in enumerate(self.d.boolean):
            yield BooleanSetting(
                said.name, said.value, said.set, Why(f"boolean[{index}]", said.reason)
            )
        for index, connect in enumerate(self.d.connect):
            if connect.through == "boolean":
                name = self.target.services[connect.to].boolean
                if not any(b.name == name for b in self.d.boolean):
                    yield BooleanSetting(
                        name, True, connect.set, Why(f"connect[{index}]", connect.reason)
                    )

    # -- network -----------------------------------------------------------------------------

    def connect_reason(self, connect: Connect) -> str:
        what = f"port {connect.port}"
        if connect.to:
            what = self.target.services[connect.to].title
        return f"connect to {what}: {connect.reason}"

    def connections(self) -> None:
        for index, connect in enumerate(self.d.connect):
            by = connect.by
            domains = self.domains
            if self.confinement is not None or not isinstance(by, str):
                domains = processes.connecting(self.d, self.target, by)
            elif by:
                domains = (by,)
            why = Why(f"connect[{index}]", self.connect_reason(connect))
            for domain in domains:
                self.connection(connect, domain, why)

    def connection(self, connect: Connect, domain: str, why: Why) -> None:
        tunable = names.connect_tunable(self.d, connect) if names.has_tunable(connect) else ""
        if connect.port:
            base = names.base_port_type(self.facts, "tcp", connect.port)
            type_ = base or names.connect_type(self.d, connect)
            self.add(Rule("allow", domain, type_, ("tcp_socket",), ("name_connect",)), why, tunable)
            self.named_ports.add((domain, type_, "tcp_socket", "name_connect"))
            self.connect_promise(domain, type_, connect, why)
            return
        service = self.target.services[connect.to]
        if service.port_type and not connect.socket:
            self.named_ports.add((domain, service.port_type, "tcp_socket", "name_connect"))
        if connect.through == "boolean":
            self.connect_promise(domain, service.port_type, connect, why)
        elif connect.socket:
            self.add(Call(service.stream, (domain,)), why, tunable)
        elif service.call:
            self.add(Call(service.call, (domain,)), why, tunable)
        else:
            self.add(Call(service.tcp, (domain,)), why, tunable)
            self.connect_promise(domain, service.port_type, connect, why)

    def connect_promise(self, domain: str, type_: str, connect: Connect, why: Why) -> None:
        if not names.has_tunable(connect) or connect.default:
            self.promise(True, type_, "tcp_socket", ("name_connect",), why, source=domain)

    def port_labels(self) -> Iterator[PortLabel]:
        for index, port in enumerate(self.d.port):
            low, high = names.port_range(port.number)
            why = Why(f"port[{index}]", port.reason)
            yield PortLabel(port.protocol, low, high, names.port_type(self.d, port), why)
        for index, connect in enumerate(self.d.connect):
            if connect.port and names.connect_type(self.d, connect) in self.own:
                why = Why(f"connect[{index}]", connect.reason)
                type_ = names.connect_type(self.d, connect)
                yield PortLabel("tcp", connect.port, connect.port, type_, why)

    def port_access(self) -> None:
        for index, port in enumerate(self.d.port):
            why = Why(f"port[{index}]", port.reason)
            type_ = names.port_type(self.d, port)
            class_ = f"{port.protocol}_socket"
            for domains, permission in (
                (port.bind_by, "name_bind"),
                (port.connect_by, "name_connect"),
            ):
                for domain in domains:
                    rule = Rule("allow", domain, type_, (class_,), (permission,))
                    self.add(rule, why, port.tunable)
                    self.named_ports.add((domain, type_, class_, permission))
                    if not port.tunable:
                        self.promise(True, type_, class_, (permission,), why, source=domain)

    # -- what was said in the field's words ----------------------------------------------------

    def said(self) -> None:
        for keyword, rules in (("allow", self.d.allow), ("dontaudit", self.d.dontaudit)):
            for index, rule in enumerate(rules):
                self.rule(keyword, f"{keyword}[{index}]", rule)
        for index, call in enumerate(self.d.call):
            self.add(
                Call(call.interface, tuple(call.arguments)),
                Why(f"call[{index}]", call.reason),
                call.tunable,
                call.optional,
            )
        for index, transition in enumerate(self.d.file_transition):
            words = (transition.source, transition.directory, transition.type)
            self.add(
                Call("filetrans_pattern", (*words, _set(transition.class_)), transition.name),
                Why(f"file-transition[{index}]", transition.reason),
            )

    def rule(self, keyword: str, key: str, said: SaidRule) -> None:
        classes = (said.class_,) if isinstance(said.class_, str) else tuple(sorted(said.class_))
        why = Why(key, said.reason)
        if isinstance(said.permissions, str):
            body = Rule(keyword, said.source, said.target, classes, (said.permissions,))
            self.add(body, why, said.tunable, said.optional)
            return
        for class_ in classes:
            # An optional rule gives up the permissions that the target's class does not have.
            known = tuple(
                sorted(p for p in set(said.permissions) if p in self.facts.classes[class_])
            )
            if known:
                body = Rule(keyword, said.source, said.target, (class_,), known)
                self.add(body, why, said.tunable, said.optional)

    # -- interfaces for other packages -------------------------------------------------------

    def in_header(self, interface: str) -> bool:
        """Say whether the header of a module that ours replaces has it: that stays installed."""
        return bool(self.d.project.replace_base_module) and interface in self.facts.interfaces

    def listeners(self, type_: str) -> tuple[str, ...]:
        """Return the domains whose sockets lie in ``type_``: own domains that make files of it."""
        makers = {t.source for t in self.d.file_transition if t.type == type_}
        makers |= {
            c.arguments[0]
            for c in self.d.call
            if c.arguments[1:] and type_ in c.arguments[1:] and c.interface.startswith("manage_")
        }
        own = tuple(sorted(makers & {x.name for x in self.d.domain}))
        if self.confinement is not None:
            served = {p.domain for p in self.confinement.processes if p.socket}
            return own or tuple(sorted(d for d in served if type_ == f"{d[:-2]}_runtime_t"))
        # The paths of a policy-only project with domains of its own are none of the web server's.
        return own or (() if self.d.domain and self.d.application is None else self.domains)

    def interfaces(self) -> Iterator[Interface]:
        start = re.sub(r"[^a-z0-9_]", "_", names.module_name(self.d).lower())
        domain = (("domain", "Domain allowed access."),)
        own_files = [
            t for t in self.types() if t.kind not in ("port", "entry", "unit", "executable")
        ]
        ways = {u.type: self.way(u.path) for u in reversed(self.used)}
        for own in own_files:
            short = own.name.removeprefix(f"{self.prefix}_").removesuffix("_t")
            way = ways.get(own.name, "")
            first = (Call(way, ("$1",)),) if way else ()
            trees = ("$1", own.name, own.name)
            yield Interface(
                f"{start}_read_{short}",
                f"Read {own.why.reason}.",
                domain,
                (own.name,),
                tuple(Call(m, trees) for m in ("list_dirs_pattern", "read_files_pattern")),
                first,
            )
            if own.kind != "secret":
                yield Interface(
                    f"{start}_manage_{short}",
                    f"Create, read, write and delete {own.why.reason}.",
                    domain,
                    (own.name,),
                    tuple(Call(m, trees) for m in ("manage_dirs_pattern", "manage_files_pattern")),
                    first,
                )
            if own.kind == "runtime":
                servers = self.listeners(own.name)
                if servers:
                    yield Interface(
                        f"{start}_stream_connect_{short}",
                        f"Connect to the sockets in {own.why.reason}.",
                        domain,
                        tuple(sorted((own.name, *servers))),
                        (Call("stream_connect_pattern", (*trees, _set(servers))),),
                        first,
                    )
        for own in self.types():
            if own.kind == "port":
                short = own.name.removeprefix(f"{self.prefix}_").removesuffix("_t")
                for verb, permission in (("bind", "name_bind"), ("connect", "name_connect")):
                    rule = Rule("allow", "$1", own.name, ("tcp_socket",), (permission,))
                    yield Interface(
                        f"{start}_tcp_{verb}_{short}",
                        f"{verb.capitalize()} TCP sockets {'to' if verb == 'connect' else 'on'} "
                        f"{own.name}.",
                        domain,
                        (own.name,),
                        (rule,),
                    )
        named = [t for t in self.d.file_transition if t.name and t.type in self.own]
        if named:
            yield Interface(
                f"{start}_filetrans_named_content",
                "Create what has a name of its own with the type that belongs to it.",
                domain,
                tuple(sorted({n for t in named for n in (t.directory, t.type)})),
                tuple(
                    sorted(
                        {
                            Call(
                                "filetrans_pattern",
                                ("$1", t.directory, t.type, _set(t.class_)),
                                t.name,
                            )
                            for t in named
                        }
                    )
                ),
            )
        if own_files:
            yield Interface(
                f"{start}_admin",
                f"All of the rules required to administrate the {start} files.",
                domain,
                tuple(sorted(t.name for t in own_files)),
                tuple(Call("admin_pattern", ("$1", t.name)) for t in sorted(own_files)),
                tuple(Call(w, ("$1",)) for w in sorted({w for w in ways.values() if w})),
            )


def _set(words: str | Iterable[str]) -> str:
    """Return names as one argument of a macro."""
    listed = [words] if isinstance(words, str) else sorted(words)
    return listed[0] if len(listed) == 1 else "{ " + " ".join(listed) + " }"


def _spellings(pattern: str) -> tuple[str, ...]:
    """Return the pattern as both sides of the equivalences that differ between releases."""
    for one, other in (
        ("/var/run", "/run"),
        ("/run", "/var/run"),
        ("/usr/sbin", "/usr/bin"),
        ("/var/lock", "/run/lock"),
    ):
        if pattern == one or pattern.startswith(one + "/"):
            return (pattern, other + pattern[len(one) :])
    return (pattern,)
