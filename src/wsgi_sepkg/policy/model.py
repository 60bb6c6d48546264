"""The policy of one application on one target, as plain frozen data: no I/O, no text."""

from __future__ import annotations

from msgspec import Struct

from wsgi_sepkg.project.processes import Process


class Why(Struct, frozen=True, order=True):
    """The TOML key that asked for something, and the reason that a reviewer reads."""

    key: str
    reason: str


class OwnType(Struct, frozen=True, order=True):
    """A type that the module declares; ``calls`` are the interfaces that give it its attributes."""

    name: str
    kind: str
    calls: tuple[str, ...]
    attributes: tuple[str, ...]
    why: Why


class OwnTunable(Struct, frozen=True, order=True):
    """A boolean that the module declares."""

    name: str
    default: bool
    why: Why


class OwnDomain(Struct, frozen=True, order=True):
    """A domain that a process enters through an entry point of type ``entry``.

    ``way``: daemon (init and init scripts start it), unit (init only), dynamic (a running process
    moves there by itself; no entry point).
    """

    name: str
    entry: str
    no_new_privileges: bool
    permissive: bool
    why: Why
    way: str = "daemon"


class Rule(Struct, frozen=True, order=True):
    """allow or dontaudit; ``permissions`` is a list, or the one name of a permission set."""

    keyword: str
    source: str
    target: str
    classes: tuple[str, ...]
    permissions: tuple[str, ...]


class Call(Struct, frozen=True, order=True):
    """A macro or interface of the headers, its arguments; ``name`` is a quoted last argument."""

    macro: str
    arguments: tuple[str, ...]
    name: str = ""


class RoleTypes(Struct, frozen=True, order=True):
    """A role may have a domain."""

    role: str
    domain: str


class Statement(Struct, frozen=True):
    """One rule or call with its reason and what it needs from other modules."""

    body: Rule | Call | RoleTypes
    why: Why
    tunable: str = ""
    optional: bool = False
    types: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()


class Context(Struct, frozen=True, order=True):
    """A file context of the module."""

    pattern: str
    file_type: str
    type: str
    level: str
    why: Why


class PortLabel(Struct, frozen=True, order=True):
    """A port label; both ends belong to the range."""

    protocol: str
    low: int
    high: int
    type: str
    why: Why


class Interface(Struct, frozen=True, order=True):
    """An interface for other packages: documented parameters, needed types, statements."""

    name: str
    summary: str
    parameters: tuple[tuple[str, str], ...]
    types: tuple[str, ...]
    body: tuple[Call | Rule, ...]
    calls_first: tuple[Call, ...] = ()


class BooleanSetting(Struct, frozen=True, order=True):
    """A boolean of the base policy that the package sets: ``when`` is always or first-install."""

    name: str
    value: bool
    when: str
    why: Why


class Promise(Struct, frozen=True, order=True):
    """An access vector that must, or must not, be allowed in the linked policy."""

    allow: bool
    source: str
    target: str
    class_: str
    permissions: tuple[str, ...]
    why: Why


class LabelPromise(Struct, frozen=True, order=True):
    """A path that must have a type in the linked labels; '' as type: whatever the base gives."""

    path: str
    file_type: str
    type: str
    why: Why


class LabelledPath(Struct, frozen=True, order=True):
    """A path of the application by use: what writes there, and who keeps its label."""

    use: str
    path: str
    is_file: bool
    type: str
    kept_by: str
    key: str


class Waiver(Struct, frozen=True, order=True):
    """A refusal that is set aside; ``until`` is an ISO date."""

    grant: str
    reason: str
    until: str
    key: str


class Policy(Struct, frozen=True):
    """Everything that the policy of one application says on one target.

    ``processes`` are those with a domain of their own, as ``project.processes`` describes them;
    ``powers`` the names of what ``[[power]]`` gives them, in its order; ``named_ports`` the ports
    that the description names for them, as (domain, port type, class, permission);
    ``server_domain`` the web server's domain.
    """

    module: str
    version: str
    prefix: str
    summary: str
    types: tuple[OwnType, ...] = ()
    tunables: tuple[OwnTunable, ...] = ()
    domains: tuple[OwnDomain, ...] = ()
    statements: tuple[Statement, ...] = ()
    contexts: tuple[Context, ...] = ()
    ports: tuple[PortLabel, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    booleans: tuple[BooleanSetting, ...] = ()
    promises: tuple[Promise, ...] = ()
    labels: tuple[LabelPromise, ...] = ()
    paths: tuple[LabelledPath, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    application_domains: tuple[str, ...] = ()
    read_only_types: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    powers: tuple[str, ...] = ()
    named_ports: frozenset[tuple[str, str, str, str]] = frozenset()
    server_domain: str = ""

    @property
    def ports_module(self) -> str:
        """Name of the CIL module that labels the ports, '' when there are none."""
        return f"{self.module}_ports" if self.ports else ""
