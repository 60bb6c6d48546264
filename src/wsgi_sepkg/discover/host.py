"""What the configuration of servers says: httpd, nginx, systemd units, gunicorn, uWSGI, compose.

Files are read as text and by their form; nothing is expanded, included from outside the tree or
run. Sources: httpd.apache.org/docs/2.4 (directives), modwsgi.readthedocs.io (WSGIDaemonProcess),
nginx.org (core, proxy, uwsgi modules), systemd.exec(5), systemd.service(5), docs.gunicorn.org
(settings), uwsgi-docs (options), compose-spec.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from wsgi_sepkg.discover.evaluate import Reader
from wsgi_sepkg.discover.needs import SHARED, Finding, Kind
from wsgi_sepkg.discover.source import Tree, Unreadable
from wsgi_sepkg.discover.value import ABSENT, Items, Known, alternatives
from wsgi_sepkg.errors import Place

# With User=, without CAP_SYS_ADMIN, each of these sets NoNewPrivileges (systemd.exec(5)).
_NO_NEW_PRIVILEGES = frozenset(
    "SystemCallFilter SystemCallArchitectures RestrictAddressFamilies RestrictNamespaces "
    "PrivateDevices ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectClock "
    "MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID LockPersonality "
    "ProtectHostname".split()
)
_SERVERS = ("gunicorn", "uvicorn", "daphne", "hypercorn", "uwsgi", "mod_wsgi-express")
_WORKERS = ("celery", "rq", "rqworker", "rqscheduler", "dramatiq", "huey_consumer")
_FOLDERS = {
    "StateDirectory": ("data", "/var/lib"),
    "CacheDirectory": ("cache", "/var/cache"),
    "LogsDirectory": ("log", "/var/log"),
    "ConfigurationDirectory": ("config", "/etc"),
    "RuntimeDirectory": ("runtime", "/run"),
}
_IMAGES = {
    "postgres": "postgresql",
    "postgis": "postgresql",
    "timescale": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "redis": "redis",
    "valkey": "redis",
    "rabbitmq": "amqp",
    "memcached": "memcached",
    "mongo": "mongodb",
    "elasticsearch": "http",
    "opensearch": "http",
}


@dataclass(frozen=True)
class ProcessFound:
    """A process that a unit or a program's configuration starts.

    ``kind`` is web, worker, scheduler or command; ``run`` its command line without addresses,
    accounts and the path of the program.
    """

    name: str
    kind: str
    run: str
    place: Place


@dataclass
class Host:
    """What was found. ``root`` is the folder of the code on the host, where a file says it."""

    findings: list[Finding] = field(default_factory=list)
    processes: list[ProcessFound] = field(default_factory=list)
    root: str = ""
    root_place: Place = field(default_factory=Place)

    def add(self, kind: Kind, key: str, value: str | int, setting: str, place: Place,
            reason: str = "", default: bool | None = True) -> None:  # fmt: skip
        """Keep a finding."""
        self.findings.append(Finding(kind, key, value, setting, place, reason, (), default))

    def note(self, setting: str, place: Place, text: str) -> None:
        """Keep a remark."""
        self.add("note", "", text, setting, place)

    def path(self, use: str, path: str, setting: str, place: Place, reason: str) -> None:
        """Keep a path, where it is one that can be packaged."""
        path = posixpath.normpath(path)
        if not path.startswith("/") or re.search(r"[^A-Za-z0-9/._+@~-]", path):
            return
        if path in SHARED or re.match(r"/(tmp|var/tmp|home|root|dev|proc|sys)(/|$)", path):
            self.note(setting, place, f"{path} is shared with others, or no place for a package")
            return
        self.add("path", use, path, setting, place, reason)

    def code(self, path: str, place: Place) -> None:
        """Take the folder of the code, from the first file that says it."""
        path = posixpath.normpath(path)
        deep = re.fullmatch(r"(/[A-Za-z0-9._+@~-]+){2,}", path)
        if not self.root and deep and path not in SHARED:
            self.root, self.root_place = path, place


def read_host(tree: Tree, files: list[str]) -> Host:
    """Return what the configuration files among ``files`` say. Unreadable ones are noted."""
    host = Host()
    for file in files:
        base = file.rpartition("/")[2]
        if not _wanted(file, base):
            continue
        try:
            text = tree.text(file)
            if base.endswith((".service", ".socket", ".timer")):
                _unit(host, tree, file, files)
            elif base.startswith("gunicorn") and base.endswith(".py"):
                _gunicorn(host, tree, file)
            elif re.search(r"(?m)^\s*\[uwsgi\]", text):
                _uwsgi(host, file, text)
            elif re.fullmatch(r"(docker-)?compose[\w.-]*\.ya?ml", base):
                _compose(host, file, text)
            elif re.search(r"(?m)^\s*(server|upstream|location)\s[^;]*\{", text):
                _nginx(host, file, text)
            elif re.search(r"(?m)^\s*(WSGI\w+|<VirtualHost|Alias|ProxyPass)\b", text):
                _httpd(host, file, text)
        except Unreadable as exc:
            host.note("", exc.place, exc.message)
    return host


def _wanted(file: str, base: str) -> bool:
    if file.count("/") > 6 or "/tests/" in f"/{file}" or "/node_modules/" in file:
        return False
    ends = (".service", ".socket", ".timer", ".conf", ".ini", ".vhost", ".yml", ".yaml")
    return base.endswith(ends) or (base.startswith("gunicorn") and base.endswith(".py"))


def _sure(text: str) -> bool:
    """Return whether a value is written out: no template, no variable."""
    return not re.search(r"\{\{|\{%|\$|%\(|@@|<[A-Z]", text)


# -- systemd ---------------------------------------------------------------------------------------


def _rows(file: str, text: str) -> Iterator[tuple[str, str, str, Place]]:
    """Yield section, key, value and place of an INI-like file; continued lines are joined."""
    section, waiting, start = "", "", 0
    for number, line in enumerate(text.splitlines(), 1):
        row = line.strip()
        if not waiting and (not row or row.startswith(("#", ";"))):
            continue
        start = start if waiting else number
        if row.endswith("\\"):
            waiting += row[:-1] + " "
            continue
        row, waiting = waiting + row, ""
        if row.startswith("[") and row.endswith("]"):
            section = row[1:-1]
        else:
            key, _, value = row.partition("=")
            yield section, key.strip(), value.strip(), Place(file, start)


def _unit(host: Host, tree: Tree, file: str, files: list[str]) -> None:
    """Judge a unit with its drop-ins, which come after it in the order of their names."""
    drop_ins = sorted(f for f in files if f.startswith(f"{file}.d/") and f.endswith(".conf"))
    said: dict[str, list[tuple[str, Place]]] = {}
    for part in [file, *drop_ins]:
        for _, key, value, place in _rows(part, tree.text(part)):
            if value:
                said.setdefault(key, []).append((value, place))
            else:
                said.pop(key, None)  # an empty assignment resets a list
    name = file.rpartition("/")[2]
    for value, place in said.get("ListenStream", []):
        if value.startswith("/run/"):
            host.path(
                "socket", posixpath.dirname(value), f"{name} ListenStream", place, "its socket"
            )
    starts = said.get("ExecStart", [])
    ours = [(v, p) for v, p in starts if _program(v)[0]]
    if not ours:
        return
    for key, (use, base) in _FOLDERS.items():
        for value, place in said.get(key, []):
            for word in value.split():
                if _sure(word) and not word.startswith("/"):
                    folder = f"{base}/{word.partition(':')[0]}"
                    host.path(use, folder, f"{name} {key}", place, "made by systemd")
    for value, place in said.get("WorkingDirectory", [])[-1:]:
        if _sure(value):
            host.code(value.lstrip("-"), place)
    for value, place in said.get("EnvironmentFile", []):
        path = value.lstrip("-")
        if _sure(path) and path.startswith("/etc/"):
            host.path(
                "secret", path, f"{name} EnvironmentFile", place, "environment of the service"
            )
    _hazards(host, name, said)
    for value, place in ours:
        _started(host, name, value, place)


def _hazards(host: Host, name: str, said: dict[str, list[tuple[str, Place]]]) -> None:
    """Say what of a unit changes or hides the domain of its process."""

    def yes(key: str) -> bool:
        return key in said and said[key][-1][0].lower() in ("yes", "true", "1", "on")

    def note(key: str, text: str) -> None:
        host.note(f"{name} {key}", said[key][-1][1], text)

    first, place = said["ExecStart"][0]
    if "User" not in said and "DynamicUser" not in said:
        host.note(name, place, "no User=: it runs as root")
    if yes("NoNewPrivileges"):
        note("NoNewPrivileges", "a domain transition needs nnp_transition, else it fails open")
    implied = sorted(k for k in said if k in _NO_NEW_PRIVILEGES)
    if implied and "User" in said and not yes("NoNewPrivileges"):
        note(implied[0], f"with User=, {', '.join(implied)} sets NoNewPrivileges too")
    if yes("MemoryDenyWriteExecute"):
        note("MemoryDenyWriteExecute", "fails as execmem does, without any denial in the log")
    if yes("PrivateTmp"):
        note(
            "PrivateTmp", "its /tmp is one of its own: nothing there is shared with the web server"
        )
    if "SELinuxContext" in said:
        note("SELinuxContext", "overrides the domain that the program's label gives")
    if "KeyringMode" in said:
        note("KeyringMode", "web and worker share no keyring unless both say private or shared")
    for key in ("LimitNOFILE", "LimitAS"):
        if key in said:
            note(key, "set by systemd: the application needs no setrlimit")
    for key in ("ProtectSystem", "ReadOnlyPaths"):
        if key in said:
            note(key, "a refused write there is EROFS, and no denial of SELinux")
    words = _words(first)
    program = posixpath.basename(words[0]) if words else ""
    if program in ("sh", "bash", "env") or re.fullmatch(r"python[0-9.]*", program):
        host.note(
            f"{name} ExecStart", place,
            f"starts {program}: the domain follows from that program's label, not from the "
            "application's; a program of its own is needed",
        )  # fmt: skip
    if words and words[0].startswith(("/home/", "/root/")):
        host.note(f"{name} ExecStart", place, "systemd may not execute programs in home folders")


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line.lstrip("@-:+!"))[:200]
    except ValueError:
        return []


def _program(line: str) -> tuple[str, list[str]]:
    """Return the server or worker that a command line starts, and its arguments."""
    words = _words(line)
    while words:
        base = posixpath.basename(words[0])
        if base in ("env",) or "=" in words[0]:
            words = words[1:]
        elif base in ("sh", "bash") and len(words) > 2 and words[1] in ("-c", "-lc"):
            words = _words(words[2].removeprefix("exec ").strip())
        elif re.fullmatch(r"python[0-9.]*", base):
            if len(words) > 2 and words[1] == "-m":
                words = words[2:]
            elif len(words) > 1 and words[1].endswith("manage.py"):
                return "manage", words[2:]
            else:
                return "", []
        elif base == "manage.py":
            return "manage", words[1:]
        elif base in (*_SERVERS, *_WORKERS):
            return base, words[1:]
        else:
            return "", []
    return "", []


def _started(host: Host, unit: str, line: str, place: Place) -> None:
    from wsgi_sepkg import targets

    program, arguments = _program(line)
    if program == "uwsgi" and "--ini" in arguments:
        host.note(unit, place, "uWSGI reads what to do from its .ini: name that file with --from")
        return
    runner = targets.load("debian-12").runners.get(program)
    if runner is None or not all(map(_sure, arguments)):
        host.note(unit, place, f"starts {program} in a way that is not read: {line[:100]}")
        return
    kept: list[str] = []
    skip = False
    for index, word in enumerate(arguments):
        plain = word.partition("=")[0]
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if skip:
            skip = False
        elif plain in runner.refused:
            _address(host, unit, plain, word.partition("=")[2] or following, place)
            skip = "=" not in word and not following.startswith("-") and plain not in (
                "-D", "--daemon", "--reload", "-B", "--beat", "--detach",
            )  # fmt: skip
        else:
            kept.append(word)
    stem = unit.rpartition(".")[0].rpartition("-")[2].lower()
    kind = next(iter(runner.kinds))
    if program == "celery":
        kind = "scheduler" if "beat" in kept else "worker"
    elif program == "manage":
        kind = "command"
    known = {"web": "web", "worker": "worker", "scheduler": "beat"}
    name = known.get(kind, re.sub(r"[^a-z0-9-]", "", stem) or "command")
    taken = [p.name for p in host.processes]
    name = name if name not in taken else f"{name}-{len(taken)}"
    host.processes.append(ProcessFound(name, kind, shlex.join([program, *kept]), place))


def _address(host: Host, unit: str, option: str, value: str, place: Place) -> None:
    if option in ("-b", "--bind", "--socket", "-s", "--http-socket", "--uds", "--uwsgi-socket"):
        _listen(host, f"{unit} {option}", value, place)


def _listen(host: Host, setting: str, value: str, place: Place) -> None:
    """Keep where an application server listens."""
    address = value.removeprefix("unix:").removeprefix("//")
    if address.startswith("/"):
        folder = posixpath.dirname(posixpath.normpath(address))
        host.add("application", "upstream", f"unix:{posixpath.normpath(address)}", setting, place)
        if folder in SHARED or not folder.startswith("/run/"):
            host.note(setting, place, f"{address}: its socket needs a folder of its own in /run")
    elif re.fullmatch(r"([A-Za-z0-9.-]*):?[0-9]{2,5}", address):
        name, _, port = address.rpartition(":")
        here = "127.0.0.1" if name in ("", "0.0.0.0", "localhost", "127.0.0.1") else name  # noqa: S104
        host.add("application", "upstream", f"{here}:{port}", setting, place)


# -- httpd, nginx ----------------------------------------------------------------------------------


def _served(host: Host, url: str, path: str, setting: str, place: Place) -> None:
    """Keep a folder that a web server hands out; its URL tells what it is for."""
    words = f"{url} {path}".lower()
    if re.search(r"\.\w{1,5}$", path.rstrip("/")):
        return  # a file, as favicon.ico: its label is that of its folder
    if re.search(r"media|upload", words):
        host.path("media", path, setting, place, f"handed out as {url}")
    elif re.search(r"static|assets", words):
        host.path("static", path, setting, place, f"handed out as {url}")
    elif not re.search(r"favicon|robots|\.well-known|\.(txt|ico|html)$", words):
        host.note(setting, place, f"{path} is handed out as {url}: what is it for?")


def _httpd(host: Host, file: str, text: str) -> None:
    for number, line in _joined(text):
        words = _words(line)
        if len(words) < 2 or line.startswith(("#", "<")):
            continue
        place, name = Place(file, number), words[0].lower()
        if name == "alias" and len(words) == 3 and _sure(words[2]):
            _served(host, words[1], words[2], "Alias", place)
        elif name == "wsgiscriptalias" and len(words) > 2 and _sure(words[2]):
            script = posixpath.normpath(words[2])
            host.code(posixpath.dirname(posixpath.dirname(script)), place)
            if words[1] != "/":
                host.add("application", "url", words[1], "WSGIScriptAlias", place)
        elif name == "wsgidaemonprocess":
            _daemon(host, words[2:], place)
        elif name == "wsgisocketprefix" and not words[1].startswith(("/run/", "run/", "/var/run/")):
            host.note("WSGISocketPrefix", place, f"{words[1]}: the sockets belong into /run")
        elif name == "listen" and _sure(words[1]):
            _port(host, words[1].rpartition(":")[2], "Listen", place)
        elif name in ("proxypass", "proxypassmatch") and len(words) > 2 and _sure(words[2]):
            unix = re.match(r"(?:unix:)(/[^|]+)\|", words[2])
            http = re.match(r"https?://([\w.-]+:[0-9]+)", words[2])
            if unix:
                _listen(host, "ProxyPass", f"unix:{unix.group(1)}", place)
            elif http:
                _listen(host, "ProxyPass", http.group(1), place)
        elif name == "wsgipythonhome" and _sure(words[1]):
            host.note("WSGIPythonHome", place, f"{words[1]}: its libraries need lib_t")


def _joined(text: str) -> Iterator[tuple[int, str]]:
    waiting, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start if waiting else number
        if line.rstrip().endswith("\\"):
            waiting += line.rstrip()[:-1] + " "
            continue
        yield start, (waiting + line).strip()
        waiting = ""


def _daemon(host: Host, options: list[str], place: Place) -> None:
    for option in options:
        key, _, value = option.partition("=")
        if not value or not _sure(value):
            continue
        setting = f"WSGIDaemonProcess {key}"
        if key in ("processes", "threads") and value.isdecimal() and 0 < int(value) <= 256:
            host.add("application", key, int(value), setting, place)
        elif key == "user" and re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value):
            if value not in ("apache", "www-data", "root"):
                host.add("application", "user", value, setting, place)
        elif key in ("home", "python-path"):
            host.code(value.split(":")[0], place)
        elif key == "python-home":
            host.note(setting, place, f"{value}: its libraries need lib_t, see `init --venv`")
        elif key in ("memory-limit", "virtual-memory-limit"):
            host.note(
                setting, place, "sets a limit, which httpd_t may not: use LimitAS= of the unit"
            )


def _port(host: Host, text: str, setting: str, place: Place) -> None:
    number = re.match(r"[0-9]{1,5}", text)
    if number and int(number.group()) not in (80, 81, 443, 488, 8008, 8009, 8443, 9000):
        host.note(
            setting, place, f"port {number.group()} is not one of the web server's: a [[port]]"
        )


def _nginx(host: Host, file: str, text: str) -> None:
    """Read blocks and directives; variables and included files are left alone."""
    place = Place(file, 1)
    host.add("application", "server", "nginx", "nginx", place)
    locations: list[str] = []
    for number, words, sign in _statements(text):
        place = Place(file, number)
        if sign == "{":
            locations.append(words[-1] if words and words[0] == "location" else "")
        elif sign == "}":
            if locations:
                locations.pop()
        elif words:
            where = next((name for name in reversed(locations) if name), "/")
            _nginx_directive(host, words, where, place)


def _nginx_directive(host: Host, words: list[str], where: str, place: Place) -> None:
    name, value = words[0], words[-1]
    if len(words) < 2 or not _sure(value):
        return
    if name == "alias" or (name == "root" and where != "/"):
        path = value if name == "alias" else posixpath.join(value, where.strip("^~/ "))
        _served(host, where, path, f"nginx {name}", place)
    elif name in ("proxy_pass", "uwsgi_pass"):
        unix = re.search(r"unix:(/[^:;]+)", value)
        tcp = re.search(r"(?:^|//)([\w.-]+:[0-9]{2,5})", value)
        if unix:
            _listen(host, f"nginx {name}", f"unix:{unix.group(1)}", place)
        elif tcp:
            _listen(host, f"nginx {name}", tcp.group(1), place)
    elif name == "server" and ("unix:" in words[1] or re.search(r":[0-9]{2,5}$", words[1])):
        _listen(host, "nginx upstream", words[1], place)
    elif name == "listen":
        _port(host, words[1].rpartition(":")[2], "nginx listen", place)


def _statements(text: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield the line, the words and the ending sign of each statement of nginx."""
    words: list[str] = []
    line = 1
    token = re.compile(r"\n|#[^\n]*|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[{};]|[^\s{};\"']+")
    for match in token.finditer(text):
        part = match.group()
        if part == "\n":
            line += 1
        elif part.startswith("#"):
            continue
        elif part in "{};":
            yield line, words, part
            words = []
        elif len(words) < 50:
            words.append(part.strip("\"'"))
        line += part.count("\n") if part != "\n" else 0


# -- application servers, containers ---------------------------------------------------------------


def _gunicorn(host: Host, tree: Tree, file: str) -> None:
    names = Reader(tree, ".", "/").file_module(file).names
    for key in ("bind", "accesslog", "errorlog", "pidfile", "worker_tmp_dir", "user", "chdir"):
        for case in alternatives(names.get(key, ABSENT)):
            values = case.value.items if isinstance(case.value, Items) else (case.value,)
            for one in values:
                if isinstance(one, Known) and isinstance(one.value, str) and _sure(one.value):
                    _gunicorn_setting(host, key, one.value, one.place)


def _gunicorn_setting(host: Host, key: str, value: str, place: Place) -> None:
    setting = f"gunicorn {key}"
    if key == "bind":
        _listen(host, setting, value, place)
    elif key in ("accesslog", "errorlog") and value.startswith("/"):
        host.path("log", posixpath.dirname(value), setting, place, "the server's log")
    elif key == "pidfile" and value.startswith("/run/"):
        host.path("runtime", posixpath.dirname(value), setting, place, "the server's pid file")
    elif key == "worker_tmp_dir" and value.startswith("/dev/shm"):  # noqa: S108
        host.note(setting, place, f"{value}: needs a type of its own for shared memory")
    elif key == "chdir":
        host.code(value, place)


def _uwsgi(host: Host, file: str, text: str) -> None:
    words: list[str] = []
    place = Place(file, 1)
    for section, key, value, where in _rows(file, text):
        if section != "uwsgi" or not _sure(value):
            continue
        name = key.replace("_", "-")
        place = where
        if name in ("socket", "uwsgi-socket", "http-socket", "http"):
            _listen(host, f"uwsgi {name}", value, where)
        elif name in ("logto", "logger", "daemonize", "req-logger") and "/" in value:
            path = value.rpartition(":")[2]
            host.path("log", posixpath.dirname(path), f"uwsgi {name}", where, "the server's log")
        elif name in ("pidfile", "master-fifo", "stats") and value.startswith("/run/"):
            host.path(
                "runtime", posixpath.dirname(value), f"uwsgi {name}", where, "the server's own"
            )
        elif name == "chdir":
            host.code(value, where)
        elif name in ("module", "wsgi") and re.fullmatch(r"[\w.]+(:\w+)?", value):
            words += ["--module", value]
            entry = value if ":" in value else f"{value}:application"
            host.add("application", "wsgi", entry, f"uwsgi {name}", where)
        elif name in ("processes", "workers", "threads") and value.isdecimal():
            words += [f"--{name}", value]
        elif name == "wsgi-file" and re.fullmatch(r"[\w/]+\.py", value) and value[0] != "/":
            words += ["--module", value.removesuffix(".py").replace("/", ".")]
        elif name in ("plugin", "plugins") and re.fullmatch(r"[\w,]+", value):
            words = ["--plugin", value, *words]
        elif name == "uid" and re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value) and value != "root":
            host.add("application", "user", value, "uwsgi uid", where)
        elif name == "attach-daemon" and re.fullmatch(
            r"\S*python[0-9.]* (\S*/)?manage\.py \w+[\w =-]*", value
        ):
            command = value.partition("manage.py ")[2].split()
            run = shlex.join(["manage", *command])
            host.processes.append(ProcessFound(command[0], "worker", run, where))
        elif name in ("virtualenv", "home", "venv"):
            host.note(f"uwsgi {name}", where, f"{value}: its libraries need lib_t")
        elif name == "attach-daemon":
            host.note(f"uwsgi {name}", where, f"{value[:80]}: a process of its own is better")
    if words:
        host.processes.append(ProcessFound("web", "web", shlex.join(["uwsgi", *words]), place))


def _compose(host: Host, file: str, text: str) -> None:
    """Take images as hints of what the application talks to; never as a fact."""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*image:\s*[\"']?([\w./-]+)", line)
        if match:
            image = match.group(1).rpartition("/")[2]
            service = next((s for word, s in _IMAGES.items() if word in image), "")
            if service:
                host.note(
                    "image", Place(file, number), f"a hint: containers run {image} ({service})"
                )
