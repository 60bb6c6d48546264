"""What an administrator set by hand on a host, in this project's words; and how to undo it.

Read are ``semanage export``, a list of ``getsebool -a``, ``file_contexts.local``, and the .te and
.fc of a module that audit2allow or a person made. Sources: semanage(8), getsebool(8),
file_contexts(5), audit2allow(1), the language of the reference policy.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

from wsgi_sepkg.discover.needs import Finding
from wsgi_sepkg.errors import Place
from wsgi_sepkg.policy.derive import granted_on_files
from wsgi_sepkg.project.names import label_of
from wsgi_sepkg.targets import Facts

_FORMS = {
    "export": re.compile(r"(?m)^(fcontext|port|boolean|login|user|interface|node) -[aDmd]\b"),
    "booleans": re.compile(r"(?m)^\w+ --> (on|off)\b"),
    "contexts": re.compile(r"(?m)^/\S*\s+(-[-dlspbc]\s+)?\w+:object_r:\w+:"),
    "fc": re.compile(r"(?m)^/\S*\s+(-[-dlspbc]\s+)?gen_context\("),
    "module": re.compile(r"(?m)^\s*(module|policy_module\()\s*\w+"),
}
# Type of the base policy that administrators give: the use that it stands for.
_USES = {
    "httpd_sys_content_t": "code",
    "httpd_sys_rw_content_t": "data",
    "httpd_sys_ra_content_t": "log",
    "httpd_log_t": "log",
    "httpd_cache_t": "cache",
    "httpd_tmp_t": "temporary",
    "httpd_config_t": "config",
    "public_content_t": "static",
    "public_content_rw_t": "media",
}
_SERVICES = {
    "httpd_can_network_connect_db": "database",
    "httpd_can_sendmail": "smtp",
    "httpd_can_network_memcache": "memcached",
    "httpd_can_network_connect_memcache": "memcached",
    "httpd_can_network_redis": "redis",
    "httpd_can_connect_ldap": "ldap",
    "httpd_can_network_connect_ldap": "ldap",
    "httpd_graceful_shutdown": "http",
}
_BROAD = {
    "httpd_can_network_connect": "opens every port",
    "httpd_can_network_relay": "opens the ports of proxies",
    "httpd_execmem": "lets every page of memory be written and run",
    "httpd_unified": "lets every content be written and run",
    "httpd_tmp_exec": "lets temporary files be run",
    "httpd_setrlimit": "brings a capability along",
    "httpd_enable_homedirs": "opens the homes of people",
    "httpd_read_user_content": "opens the homes of people",
}
_PORTS = {
    "postgresql_port_t": "postgresql",
    "mysqld_port_t": "mysql",
    "redis_port_t": "redis",
    "memcache_port_t": "memcached",
    "amqp_port_t": "amqp",
    "smtp_port_t": "smtp",
    "ldap_port_t": "ldap",
    "http_port_t": "http",
    "mongod_port_t": "mongodb",
}
_CONTEXT = re.compile(r"(/\S+)\s+(?:-[-dlspbc]\s+)?(?:gen_context\()?\w+:object_r:(\w+)\s*[:,]")
_DATABASES = ("postgresql", "mysql", "oracle", "mssql", "mongodb")


@dataclass
class Local:
    """Findings, and the commands that take back what the package does instead."""

    findings: list[Finding] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)

    def note(self, setting: str, place: Place, text: str) -> None:
        """Keep a remark."""
        self.findings.append(Finding("note", "", text, setting, place))


def form_of(text: str) -> str:
    """Return which kind of list a text is, '' for none of them."""
    return next((name for name, form in _FORMS.items() if form.search(text)), "")


def read_local(
    text: str,
    file: str,
    known: Sequence[Finding],
    words: Collection[str],
    facts: Facts,
    uses: Mapping[str, str] | None = None,
) -> Local:
    """Return what a list of local settings says about an application.

    ``known`` are the findings so far; ``words`` are its name and folders: a file context or port
    that has nothing to do with them is left alone. ``facts`` are those of the base policy, ``uses``
    what ``uses_of`` tells of the types of modules.
    """
    local = Local()
    form = form_of(text)
    if form == "module":
        _Module(local, file, known, facts).read(text)
        return local
    for number, line in enumerate(text.splitlines(), 1):
        place = Place(file, number)
        row = line.strip()
        if form == "booleans":
            match = re.fullmatch(r"(\w+) --> on\b.*", row)
            if match:
                _boolean(local, match.group(1), place, known)
        elif form in ("contexts", "fc"):
            match = _CONTEXT.match(row)
            if match:
                path, type_ = match.groups()
                _context(local, path, type_, place, known, words, uses or {}, form == "fc")
        elif form == "export":
            _exported(local, row, place, known, words)
    if form == "fc":
        # semodule names a module as its file is named.
        local.undo = [f"semodule -X 400 -r {shlex.quote(posixpath.basename(file)[:-3])}"]
    local.undo = list(dict.fromkeys(local.undo))
    return local


def _exported(
    local: Local, row: str, place: Place, known: Sequence[Finding], words: Collection[str]
) -> None:
    try:
        said = shlex.split(row)
    except ValueError:
        return
    options = dict(_options(said))
    if len(said) < 3 or "-D" in said:
        return
    if said[0] == "boolean" and "-1" in said:
        _boolean(local, said[-1], place, known)
    elif said[0] == "fcontext" and "-a" in said and "-t" in options:
        _context(local, said[-1], options["-t"], place, known, words, {})
    elif said[0] == "port" and "-a" in said and "-t" in options:
        _port(local, said[-1], options["-t"], options.get("-p", "tcp"), place)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, following in pairwise(words):
        if word in ("-t", "-p", "-f", "-r"):
            yield word, following


def _boolean(local: Local, name: str, place: Place, known: Sequence[Finding]) -> None:
    if not re.fullmatch(r"httpd_\w+", name):
        return
    setting = f"boolean {name}"
    connected = sorted({f.key for f in known if f.kind == "connect"})
    if name in _BROAD:
        instead = f"; connections found instead: {', '.join(connected)}" if connected else ""
        local.note(setting, place, f"{_BROAD[name]}: not taken over{instead}")
        local.undo.append(f"setsebool -P {name} off")
    elif name in _SERVICES:
        service = _SERVICES[name]
        fitting = [
            c for c in connected if c == service or (service == "database" and c in _DATABASES)
        ]
        if fitting:
            local.note(setting, place, f"replaced by the connection to {', '.join(fitting)} alone")
        elif service == "database":
            local.findings.append(
                Finding("question", "connect.database", "is on: to which one?", setting, place)
            )
        else:
            reason = f"the host had {name} on"
            local.findings.append(Finding("connect", service, "", setting, place, reason))
        local.undo.append(f"setsebool -P {name} off")
    else:
        local.findings.append(
            Finding("boolean", name, True, setting, place, f"the host had {name} on")
        )


def _context(
    local: Local,
    pattern: str,
    type_: str,
    place: Place,
    known: Sequence[Finding],
    words: Collection[str],
    uses: Mapping[str, str],
    of_module: bool = False,
) -> None:
    path = re.sub(r"(\(/\.\*\)\?|/\.\*|/?)\$?$", "", pattern).replace("\\.", ".")
    if not re.fullmatch(r"/[A-Za-z0-9/._+@~-]+", path):
        if any(word in pattern for word in words):
            local.note("fcontext", place, f"{pattern} is no plain folder: a [[file-context]]")
        return
    if not any(path == w or path.startswith(f"{w}/") or f"/{w}/" in f"{path}/" for w in words):
        return
    setting = f"fcontext {type_}"
    named = [f for f in known if f.kind == "path" and f.value == path]
    use = uses.get(type_) or _USES.get(type_, "")
    if use in ("code", "data"):
        lower = path.lower()
        served = "media" if re.search(r"media|upload", lower) else ""
        use = served or ("cache" if use == "data" and "cache" in lower else use)
        use = "static" if use == "code" and re.search(r"static|assets", lower) else use
    if named:
        local.note(setting, place, f"{path}: replaced by the use {named[0].key}")
    elif use:
        reason = f"the host labelled it {type_}"
        local.findings.append(Finding("path", use, path, setting, place, reason))
    else:
        local.note(setting, place, f"{path}: no use stands for this type")
        return
    if not of_module:
        local.undo.append(f"semanage fcontext -d {shlex.quote(pattern)}")


def _port(local: Local, number: str, type_: str, protocol: str, place: Place) -> None:
    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", number):
        return
    local.note(
        f"port {type_}", place,
        f"{protocol} {number}: where the application uses it, a [[port]] labels it in the package",
    )  # fmt: skip


_RULE = re.compile(
    r"\b(allow|dontaudit|auditallow|neverallow)\s+(\w+|\{[^}]*\})\s+(\w+|\{[^}]*\})\s*:"
    r"\s*(\w+|\{[^}]*\})\s+(\{[^}]*\}|\w+)\s*;"
)
_CALL = re.compile(r"(?m)^\s*([a-z]\w+)\(\s*`?(\w+)(?:\s*,[^)\n]*)?\)")
_NO_CALL = ("policy_module", "gen_require", "optional_policy", "tunable_policy", "require")
_MEMORY = frozenset(("execmem", "execstack", "execheap", "execmod"))
_FILES = frozenset("file dir lnk_file sock_file fifo_file".split())
_WRITING = frozenset(("write", "unlink", "rename"))
_MOST_RULES = 2_000


def _rules(text: str) -> Iterator[tuple[int, tuple[str, str, str], list[str]]]:
    """Yield line, (source, target, class) and permissions of each rule that allows; sets apart."""
    plain = re.sub(r"#[^\n]*", "", text)
    found = 0
    for match in _RULE.finditer(plain):
        if match.group(1) != "allow":
            continue
        line = plain.count("\n", 0, match.start()) + 1
        sources, targets, classes, permissions = (
            part.strip("{} \n\t").split() for part in match.groups()[1:]
        )
        for source, target, class_ in product(sources, targets, classes):
            found += 1
            if found > _MOST_RULES:
                return
            yield line, (source, source if target == "self" else target, class_), permissions


def uses_of(texts: Iterable[str], facts: Facts) -> dict[str, str]:
    """Return what the own types of modules are for, as the rules of the web server's domain show.

    A type that it writes is data, that it only appends to a log, that it reads configuration.
    """
    done: dict[str, set[str]] = {}
    for text in texts:
        for _, (source, target, class_), permissions in _rules(text):
            if source.startswith("httpd") and target not in facts.types and class_ == "file":
                done.setdefault(target, set()).update(permissions)
    return {
        type_: "data" if said & _WRITING else "log" if "append" in said else "config"
        for type_, said in done.items()
    }


class _Module:
    """Judges the rules of a foreign module: what stands for each, and what it no longer grants."""

    def __init__(self, local: Local, file: str, known: Sequence[Finding], facts: Facts) -> None:
        self.local = local
        self.file = file
        self.facts = facts
        self.connected = {f.key for f in known if f.kind == "connect"}
        self.labels: dict[str, list[Finding]] = {}
        for one in known:
            if one.kind == "path":
                # A file context of the host or of a module goes before the base policy.
                given = one.setting.removeprefix("fcontext ") if "fcontext " in one.setting else ""
                label = given or label_of(facts, f"{one.value}/x")[0]
                self.labels.setdefault(label, []).append(one)

    def read(self, text: str) -> None:
        """Judge each rule and call of the text."""
        named = re.search(r"(?m)^\s*(?:module|policy_module\()\s*(\w+)", text)
        name = named.group(1) if named else ""
        for line, vector, permissions in _rules(text):
            self._rule(vector, permissions, Place(self.file, line))
        plain = re.sub(r"#[^\n]*", "", text)
        for match in list(_CALL.finditer(plain))[:_MOST_RULES]:
            if match.group(1) not in _NO_CALL:
                line = plain.count("\n", 0, match.start(1)) + 1
                self._call(match.group(1), match.group(2), Place(self.file, line))
        if name:
            self.local.undo.append(f"semodule -X 400 -r {name}")

    def _rule(self, vector: tuple[str, str, str], permissions: list[str], place: Place) -> None:
        source, target, class_ = vector
        setting = f"{source} {target}:{class_}"
        if not source.startswith("httpd"):
            text = f"about {source}, which is not this application: not taken over"
        elif "name_connect" in permissions:
            self._connected(target, setting, place)
            return
        elif "name_bind" in permissions:
            text = "it listens there: a [[port]] with bind-by labels that one port alone"
        elif set(permissions) & _MEMORY:
            text = "memory that is written and run: not taken over"
        elif class_ in _FILES:
            text = self._labelled(target, class_, permissions)
        elif class_.startswith("capability"):
            text = f"{' '.join(permissions)}: goes past the checks of the kernel: not taken over"
        else:
            text = "not taken over: see what is denied without it"
        self.local.note(setting, place, text)

    def _connected(self, port: str, setting: str, place: Place) -> None:
        service = _PORTS.get(port, "")
        if not service:
            text = f"{port}: which service is it? A [[connect]] with its port"
            self.local.note(setting, place, text)
        elif service in self.connected:
            self.local.note(setting, place, f"replaced by the connection to {service}")
        else:
            self.connected.add(service)
            reason = f"a module of the host let it connect ({posixpath.basename(self.file)})"
            self.local.findings.append(Finding("connect", service, "", setting, place, reason))

    def _labelled(self, target: str, class_: str, permissions: list[str]) -> str:
        """Return which paths stand for a rule on a label, and what is not granted any more."""
        paths = self.labels.get(target, [])
        if not paths:
            own = "" if target in self.facts.types else "; its .fc, named with --from, says where"
            return (
                f"access by label: a [path] gives what lies there its own type ({target} is not "
                f"opened as a whole){own}"
            )
        names = ", ".join(sorted({f"path.{f.key} ({f.value})" for f in paths}))
        text = f"replaced by {names}: what lies there, instead of all that is {target} on the host"
        kept = set().union(*(granted_on_files(f.key) for f in paths))
        gone = sorted(set(permissions) - kept) if class_ == "file" else []
        return f"{text}; no longer: {' '.join(gone)}" if gone else text

    def _call(self, interface: str, first: str, place: Place) -> None:
        port = re.fullmatch(
            r"corenet_(?:tcp_connect|sendrecv)_(\w+?)(?:_client_packets|_port)", interface
        )
        if not first.startswith("httpd"):
            text = f"about {first}, which is not this application: not taken over"
        elif port and f"{port.group(1)}_port_t" in _PORTS:
            self._connected(f"{port.group(1)}_port_t", interface, place)
            return
        elif interface.startswith("corenet_tcp_connect_all"):
            found = ", ".join(sorted(self.connected))
            text = "opens every port: not taken over" + (f"; instead: {found}" if found else "")
        elif interface in self.facts.interfaces:
            text = "an interface for a whole domain: not taken over; see what is denied without it"
        else:
            return
        self.local.note(interface, place, text)


def undo_page(name: str, commands: Sequence[str]) -> str:
    """Return a page with the commands that take back what was set by hand."""
    lines = [
        f"# After {name}-selinux is installed",
        "",
        "The package brings what these settings of the host did, which go before the package's as",
        "long as they are there. Run, as root, once the package is in:",
        "",
        "```sh",
        *commands,
        "```",
        "",
        "A boolean serves every application of the web server: leave it on where another needs it.",
    ]
    return "\n".join(lines) + "\n"
