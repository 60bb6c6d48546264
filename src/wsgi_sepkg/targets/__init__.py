"""What each distribution's policy offers. Knowledge is data: TOML and plain lists beside this."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from wsgi_sepkg.errors import UsageError

_HERE = Path(__file__).resolve().parent
_OTHER = frozenset({"services", "runners", "domains", "defects"})  # TOML files that are no target


@dataclass(frozen=True)
class Server:
    """A web server as a target names its parts."""

    packages: tuple[str, ...]
    unit: str
    user: str
    group: str
    domain: str
    conf_dir: str
    socket_prefix: str = ""


@dataclass(frozen=True)
class Python:
    """An interpreter that a target offers, and the packages that go with it.

    ``pip`` is '' where it is too old to install the wheels of today.
    """

    version: str
    interpreter: str
    build_package: str
    pip: str
    mod_wsgi: str


@dataclass(frozen=True)
class PortFact:
    """One port label of a target: both ends of the range belong to it."""

    protocol: str
    low: int
    high: int
    type: str


class Facts:
    """Names that a target's policy has, read from ``facts/<policy>/`` when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def without(self, module: str) -> Facts:
        """Return the facts as they are once a module of another vendor takes ``module``'s place.

        Its interfaces stay: the header stays installed, and a second definition would be an error.
        """
        kept = Facts(self.folder)
        kept.types = {name: owner for name, owner in self.types.items() if owner != module}
        kept.modules = self.modules - {module}
        kept.contexts = tuple(entry for entry in self.contexts if entry[3] != module)
        return kept

    def _lines(self, name: str) -> list[str]:
        text = (self.folder / name).read_text(encoding="utf-8")
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    def _pairs(self, name: str) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in self._lines(name))

    @cached_property
    def booleans(self) -> dict[str, bool]:
        """Return booleans with their shipped defaults."""
        return {name: value == "on" for name, value in self._pairs("booleans.txt").items()}

    @cached_property
    def types(self) -> dict[str, str]:
        """Return types, aliases included, with the module that declares them."""
        own = self._pairs("types.txt")
        return own | {alias: own.get(t, "-") for alias, t in self._pairs("aliases.txt").items()}

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Return type attributes."""
        return frozenset(self._lines("attributes.txt"))

    @cached_property
    def interfaces(self) -> dict[str, str]:
        """Return interfaces and templates of the headers with their module."""
        return self._pairs("interfaces.txt")

    @cached_property
    def classes(self) -> dict[str, frozenset[str]]:
        """Return object classes with their permissions."""
        return {
            words[0]: frozenset(words[1:])
            for words in (line.split() for line in self._lines("classes.txt"))
        }

    @cached_property
    def permission_sets(self) -> dict[str, frozenset[str]]:
        """Return permission set macros, expanded."""
        return {
            words[0]: frozenset(words[1:])
            for words in (line.split() for line in self._lines("permission-sets.txt"))
        }

    @cached_property
    def macros(self) -> frozenset[str]:
        """Return every other m4 macro that is defined while policy is compiled."""
        return frozenset(self._lines("macros.txt"))

    @cached_property
    def modules(self) -> frozenset[str]:
        """Return names of the base policy's modules."""
        return frozenset(self._lines("modules.txt"))

    @cached_property
    def roles(self) -> frozenset[str]:
        """Return roles."""
        return frozenset(self._lines("roles.txt"))

    @cached_property
    def ports(self) -> tuple[PortFact, ...]:
        """Return the labelled ports, the wide reserved and unreserved ranges included."""
        return tuple(
            PortFact(protocol, int(low), int(high), type_)
            for protocol, low, high, type_ in (line.split() for line in self._lines("ports.txt"))
        )

    @cached_property
    def contexts(self) -> tuple[tuple[str, str, str, str], ...]:
        """Return (pattern, file type, type, module) in the order of the linked file_contexts."""
        return tuple(
            tuple(line.split("\t"))  # type: ignore[misc]
            for line in self._lines("contexts.txt")
        )

    @cached_property
    def equivalences(self) -> tuple[tuple[str, str], ...]:
        """Return (alias, real) path prefixes of file_contexts.subs_dist."""
        return tuple(
            (pair[0], pair[1]) for pair in (line.split() for line in self._lines("subs.txt"))
        )


@dataclass(frozen=True)
class Service:
    """A well-known service as one policy family names it; empty strings where it has no name."""

    name: str
    title: str
    port_type: str = ""
    tcp: str = ""
    stream: str = ""
    boolean: str = ""
    call: str = ""
    opens: str = ""


@dataclass(frozen=True)
class Runner:
    """A program that serves or works for an application; runners.toml says what each field is."""

    name: str
    title: str
    kinds: tuple[str, ...]
    python: str = ""
    program: str = ""
    needs: tuple[tuple[str, str], ...] = ()
    socket: tuple[str, ...] = ()
    address: tuple[str, ...] = ()
    activation: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    spawns: tuple[str, ...] = ()
    schedule: tuple[str, ...] = ()
    extras: tuple[tuple[str, tuple[str, ...]], ...] = ()
    notify: bool = False
    runs_httpd: bool = False

    def word(self, kind: str) -> str:
        """Return the word without which the command line is no process of ``kind``, or ''."""
        return dict(self.needs).get(kind, "")


@dataclass(frozen=True)
class Release:
    """A minor release: what its libsepol reads at most, and how it spells sbin.

    ``sbin`` is ``separate``, or ``merged`` where ``/usr/sbin`` stands for ``/usr/bin``.
    """

    name: str
    userspace: str
    module_format: int
    policy_version: int
    sbin: str


@dataclass(frozen=True)
class PolicyMacros:
    """The ``%selinux_`` macros of a target: which there are, and in which way they fail.

    ``defects`` are (what happens, what the package does about it).
    """

    requires: bool
    requires_min: bool
    defects: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Build:
    """Where packages for a target are built; empty strings where nobody does.

    ``mock_roots`` are roots of mock-core-configs by the distribution that they take packages from.
    ``koji_target`` and ``koji_tag`` are those of Fedora's Koji; another hub has its own.
    """

    mock_roots: dict[str, str]
    copr_chroot: str
    koji_target: str
    koji_tag: str


@dataclass(frozen=True)
class DomainGrant:
    """What a group of processes gets; domains.toml says what each field is."""

    groups: frozenset[str]
    calls: tuple[str, ...]
    rules: tuple[str, ...]
    reason: str
    denial: str


@dataclass(frozen=True)
class DomainPower:
    """A power that a description can name; domains.toml says what each field is."""

    name: str
    title: str
    tunable: str
    kinds: frozenset[str]
    calls: tuple[str, ...]
    rules: tuple[str, ...]
    ports: tuple[str, ...]
    risk: str


@dataclass(frozen=True)
class DomainRules:
    """Domains that start an application's processes, its commands; what they are granted."""

    started_by: tuple[str, ...]
    commanded_by: tuple[str, ...]
    grants: tuple[DomainGrant, ...]
    dontaudit: tuple[DomainGrant, ...]
    powers: dict[str, DomainPower]


@dataclass(frozen=True)
class Target:
    """A distribution and release: names, versions and where each fact is from.

    ``module_format`` and ``policy_version`` are those of the oldest of ``releases``: what is built
    for a target has to load on all of them. ``group`` is the target that stands for this one and
    its sisters ('' for none). ``macros`` are the rpm macros by which a spec knows the target.
    ``run`` is the spelling of the folder in file contexts, ``sbin`` as in ``Release``. ``glibc`` is
    the version that every release has at least.
    """

    name: str
    title: str
    family: str
    group: str
    dist: str
    module_format: int
    policy_version: int
    releases: tuple[Release, ...]
    macros: dict[str, str]
    rpm_version: str
    caret: bool
    rich_dependencies: bool
    policy_macros: PolicyMacros
    run: str
    sbin: str
    build: Build
    default_python: str
    glibc: str
    runs_on: str
    source: tuple[str, ...]
    servers: dict[str, Server]
    pythons: dict[str, Python]
    interface: dict[str, str]
    facts: Facts
    facts_note: str

    @property
    def mock_root(self) -> str:
        """The root of mock-core-configs that is taken without another choice, '' for none."""
        return next(iter(self.build.mock_roots.values()), "")

    @property
    def copr_chroot(self) -> str:
        """The chroot of Copr, '' for none."""
        return self.build.copr_chroot

    @property
    def koji_target(self) -> str:
        """The build target of Fedora's Koji, '' for none."""
        return self.build.koji_target

    @cached_property
    def services(self) -> dict[str, Service]:
        """Return the well-known services under this family's names.

        An interface or port type that this release lacks is as one that the family lacks: ''.
        """
        result = {}
        for name, entry in _services().items():
            words: dict[str, str] = {}
            for key, value in entry.items():
                text = value.get(self.family, "") if isinstance(value, dict) else value
                words[key.replace("-", "_")] = text
            for key in ("tcp", "stream", "call"):
                if words.get(key, "") not in self.facts.interfaces:
                    words[key] = ""
            if words.get("port_type", "") not in self.facts.types:
                words["port_type"] = ""
            result[name] = Service(name, **words)
        return result

    @cached_property
    def runners(self) -> dict[str, Runner]:
        """Return the programs that a process of an application can be."""
        result = {}
        for name, entry in _runners().items():
            words: dict[str, Any] = {}
            for key, value in entry.items():
                field = key.replace("-", "_")
                if key == "program":
                    words[field] = value[self.family]
                elif key == "needs":
                    words[field] = tuple(sorted(value.items()))
                elif key == "extras":
                    words[field] = tuple((kind, tuple(g)) for kind, g in sorted(value.items()))
                else:
                    words[field] = tuple(value) if isinstance(value, list) else value
            result[name] = Runner(name, **words)
        return result


@cache
def domains(family: str) -> DomainRules:
    """Return what processes with a domain of their own may do, in the words of a policy family."""
    with (_HERE / "domains.toml").open("rb") as stream:
        data = tomllib.load(stream)

    def words(entry: dict[str, Any], key: str) -> tuple[str, ...]:
        return (*entry.get(key, ()), *entry.get(family, {}).get(key, ()))

    def grants(key: str) -> tuple[DomainGrant, ...]:
        return tuple(
            DomainGrant(
                frozenset(entry["for"]),
                words(entry, "calls"),
                words(entry, "rules"),
                entry["reason"],
                entry.get("denial", ""),
            )
            for entry in data[key]
        )

    return DomainRules(
        tuple(data["family"][family]["started-by"]),
        tuple(data["family"][family]["commanded-by"]),
        grants("grant"),
        grants("dontaudit"),
        {
            name: DomainPower(
                name,
                entry["title"],
                entry["tunable"],
                frozenset(entry["kinds"]),
                words(entry, "calls"),
                words(entry, "rules"),
                words(entry, "ports"),
                entry.get("risk", ""),
            )
            for name, entry in data["power"].items()
        },
    )


@cache
def _runners() -> dict[str, dict[str, Any]]:
    with (_HERE / "runners.toml").open("rb") as stream:
        return tomllib.load(stream)


@cache
def unconditional_services() -> frozenset[str]:
    """Return the services that a rule opens and no tunable can.

    Their interfaces hold optional blocks or attributes, which may not stand in a conditional.
    """
    return frozenset(name for name, entry in _services().items() if "call" in entry)


@cache
def _services() -> dict[str, dict[str, Any]]:
    with (_HERE / "services.toml").open("rb") as stream:
        return tomllib.load(stream)


def names() -> list[str]:
    """Return the names of the supported targets: el8 before el10."""
    found = [p.stem for p in _HERE.glob("*.toml") if p.stem not in _OTHER]
    return sorted(found, key=lambda n: [w.zfill(4) for w in re.split(r"(\d+)", n)])


@cache
def _data(name: str) -> dict[str, Any]:
    """Return the tables of a target: of the target that it is ``like`` where it has none itself."""
    with (_HERE / f"{name}.toml").open("rb") as stream:
        own = tomllib.load(stream)
    return {**_data(own["like"]), **own} if "like" in own else own


@cache
def load(name: str) -> Target:
    """Return the target ``name``. Raises UsageError, naming the nearest one, when there is none."""
    if name not in names():
        raise UsageError(
            f"{name}: no such target{did_you_mean(name, names())}",
            f"supported: {', '.join(names())}; el is RHEL, CentOS Stream, AlmaLinux or Rocky Linux",
        )
    data = _data(name)
    releases = tuple(
        Release(
            entry["name"],
            entry["userspace"],
            entry["module-format"],
            entry["policy-version"],
            entry.get("sbin", data["spelling"]["sbin"]),
        )
        for entry in data["release"]
    )
    macros, build = data["policy-macros"], data["build"]
    return Target(
        name=name,
        title=data["title"],
        family=data["family"],
        group=data.get("group", ""),
        dist=data["dist"],
        module_format=min(r.module_format for r in releases),
        policy_version=min(r.policy_version for r in releases),
        releases=releases,
        macros={**data.get("macros", {}), "dist": data["dist"]},
        rpm_version=data["rpm"]["version"],
        caret=data["rpm"]["caret"],
        rich_dependencies=data["rpm"]["rich-dependencies"],
        policy_macros=PolicyMacros(
            macros["requires"],
            macros["requires-min"],
            tuple((_defects()[d]["text"], _defects()[d]["cure"]) for d in macros["defects"]),
        ),
        run=data["spelling"]["run"],
        sbin=data["spelling"]["sbin"],
        build=Build(build["mock"], build["copr"], build["koji-target"], build["koji-tag"]),
        default_python=data["default-python"],
        glibc=data["glibc"],
        runs_on=data["runs-on"],
        source=tuple(data["source"]),
        servers={key: _server(entry) for key, entry in data["server"].items()},
        pythons={
            key: Python(
                key,
                entry["interpreter"],
                entry["build-package"],
                entry["pip"],
                entry["mod-wsgi"],
            )
            for key, entry in data["python"].items()
        },
        interface=data["interface"],
        facts=Facts(_HERE / "facts" / data["facts"]),
        facts_note=data.get("facts-note", ""),
    )


@cache
def module_formats(family: str) -> tuple[tuple[str, int], ...]:
    """Return (condition of a spec, module format) for the releases of a policy family.

    The first has no condition and is what the oldest release reads: nothing that is unknown gets a
    newer one. Of the others the last that is true counts, so one spec serves every release.
    """
    every = [load(name) for name in names() if load(name).family == family]
    formats = [("", min(t.module_format for t in every))]
    for macro in ("rhel", "fedora"):
        # A target that stands for several has the macro of one and the format of the oldest.
        known = sorted(
            (int(t.macros[macro]), t.module_format)
            for t in every
            if macro in t.macros and not any(o.group == t.name for o in every)
        )
        before = formats[0][1]
        for number, format_ in known:
            if format_ != before:
                formats.append((f"0%{{?{macro}}} >= {number}", format_))
            before = format_
    return tuple(formats)


FAMILIES = {
    "fedora": "Fedora, RHEL and its rebuilds",
    "refpolicy": "the reference policy of Debian",
}


@cache
def _defects() -> dict[str, dict[str, str]]:
    with (_HERE / "defects.toml").open("rb") as stream:
        return tomllib.load(stream)


def _server(entry: dict[str, Any]) -> Server:
    words = {key.replace("-", "_"): value for key, value in entry.items()}
    words["packages"] = tuple(words["packages"])
    return Server(**words)


def host_target(os_release: Path = Path("/etc/os-release")) -> str:
    """Return the target that this host can compile for, or '' when it is none of ours."""
    try:
        text = os_release.read_text(encoding="utf-8")
    except OSError:
        return ""
    entries = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    entries = {key: value.strip().strip('"') for key, value in entries.items()}
    ids = [entries.get("ID", ""), *entries.get("ID_LIKE", "").split()]
    major = entries.get("VERSION_ID", "").split(".")[0]
    known = {load(name).runs_on: name for name in names()}
    # The release itself goes before a target that stands for all of a distribution; a rebuild of an
    # unknown RHEL is like Fedora by its own word, and is not.
    wanted = [f"{word}-{major}" for word in ids]
    wanted += [word for word in ids if word == ids[0] or "rhel" not in ids]
    return next((known[word] for word in wanted if word in known), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` for the nearest known word, or ''."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def known_classes() -> frozenset[str]:
    """Return the object classes that any target's policy has."""
    names = set()
    for path in (_HERE / "facts").glob("*/classes.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                names.add(line.split()[0])
    return frozenset(names)
