"""What an administrator set by hand on a host, in this project's words; and how to undo it.

Read are ``semanage export``, a list of ``getsebool -a``, ``file_contexts.local``, and the .te of a
module that audit2allow made. Sources: semanage(8), getsebool(8), file_contexts(5).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from wsgi_sepkg.discover.needs import Finding
from wsgi_sepkg.errors import Place

_FORMS = {
    "export": re.compile(r"(?m)^(fcontext|port|boolean|login|user|interface|node) -[aDmd]\b"),
    "booleans": re.compile(r"(?m)^\w+ --> (on|off)\b"),
    "contexts": re.compile(r"(?m)^/\S*\s+(-[-dlspbc]\s+)?\w+:object_r:\w+:"),
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


def read_local(text: str, file: str, known: Sequence[Finding], words: Collection[str]) -> Local:
    """Return what a list of local settings says about an application.

    ``known`` are the findings so far; ``words`` are its name and folders: a file context or port
    that has nothing to do with them is left alone.
    """
    local = Local()
    form = form_of(text)
    if form == "module":
        _module(local, file, text, known)
        return local
    for number, line in enumerate(text.splitlines(), 1):
        place = Place(file, number)
        row = line.strip()
        if form == "booleans":
            match = re.fullmatch(r"(\w+) --> on\b.*", row)
            if match:
                _boolean(local, match.group(1), place, known)
        elif form == "contexts":
            match = re.match(r"(/\S+)\s+(?:-[-dlspbc]\s+)?\w+:object_r:(\w+):", row)
            if match:
                _context(local, match.group(1), match.group(2), place, known, words)
        elif form == "export":
            _exported(local, row, place, known, words)
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
        _context(local, said[-1], options["-t"], place, known, words)
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
    use = _USES.get(type_, "")
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
    local.undo.append(f"semanage fcontext -d {shlex.quote(pattern)}")


def _port(local: Local, number: str, type_: str, protocol: str, place: Place) -> None:
    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", number):
        return
    local.note(
        f"port {type_}", place,
        f"{protocol} {number}: where the application uses it, a [[port]] labels it in the package",
    )  # fmt: skip


def _module(local: Local, file: str, text: str, known: Sequence[Finding]) -> None:
    """Judge the rules of a module that audit2allow made: what each stands for."""
    name = re.search(r"(?m)^\s*(?:module|policy_module\()\s*(\w+)", text)
    connected = {f.key for f in known if f.kind == "connect"}
    rule = re.compile(r"allow\s+(\w+)\s+(\w+)\s*:\s*(\w+)\s+(\{[^}]*\}|\w+)\s*;")
    for number, line in enumerate(text.splitlines(), 1):
        match = rule.search(line)
        if not match:
            continue
        place = Place(file, number)
        source, target, class_, said = match.groups()
        permissions = said.strip("{} ").split()
        setting = f"{source} {target}:{class_}"
        service = _PORTS.get(target, "")
        if "name_connect" in permissions and service:
            if service not in connected:
                reason = f"the module {name.group(1) if name else file} let it connect"
                local.findings.append(Finding("connect", service, "", setting, place, reason))
            else:
                local.note(setting, place, f"replaced by the connection to {service}")
        elif "name_connect" in permissions:
            local.note(
                setting, place, f"{target}: which service is it? A [[connect]] with its port"
            )
        elif set(permissions) & {"execmem", "execstack", "execheap", "execmod"}:
            local.note(setting, place, "memory that is written and run: not taken over")
        elif class_ in ("file", "dir", "lnk_file", "sock_file"):
            local.note(
                setting,
                place,
                f"access by label: a [path] gives what lies there its own type "
                f"({target} is not opened as a whole)",
            )
        else:
            local.note(setting, place, "not taken over: see what is denied without it")
    if name:
        local.undo.append(f"semodule -X 400 -r {name.group(1)}")


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
