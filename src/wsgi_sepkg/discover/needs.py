"""What the settings of a Django application need from SELinux: paths, connections, and questions.

Each setting is judged by what the documentation of Django or of the application says it does. What
cannot be told becomes a question; nothing is guessed.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from wsgi_sepkg.discover.evaluate import Reader
from wsgi_sepkg.discover.library import split_url
from wsgi_sepkg.discover.value import (
    ABSENT,
    Absent,
    Alternative,
    Items,
    Known,
    Table,
    Unknown,
    Value,
    alternatives,
    envs_of,
    get,
    has_hole,
    place_of,
    readable,
)
from wsgi_sepkg.errors import Place

Kind = Literal["path", "connect", "application", "file", "boolean", "power", "question", "note"]
# Folders that belong to the host, never to one application.
SHARED = frozenset(
    "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys "
    "/tmp /usr /usr/bin /usr/lib /usr/lib64 /usr/local /usr/sbin /usr/share /var /var/cache "
    "/var/db /var/lib /var/log /var/run /var/spool /var/tmp /var/www /var/www/html /run/lock "
    "/data /code /usr/local/lib /usr/local/share /usr/local/etc".split()
)


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    ``key`` is a use of ``path``, a service of ``connect``, a key of ``application``, a name of
    ``power``, or the key of the description that a question would fill. ``default`` says whether it
    holds where the environment sets nothing; ``when`` under which conditions, ``envs`` what can
    change it.
    """

    kind: Kind
    key: str
    value: str | int | bool
    setting: str
    place: Place
    reason: str = ""
    when: tuple[str, ...] = ()
    default: bool | None = True
    envs: frozenset[str] = frozenset()
    socket: bool = False
    port: int = 0


@cache
def knowledge() -> dict[str, Any]:
    """Return what is known of backends and applications (django.toml)."""
    file = Path(__file__).with_name("django.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def needs(reader: Reader, names: dict[str, Value]) -> list[Finding]:
    """Return what the names of a settings module mean, without repetitions."""
    judge = _Judge(reader, names)
    judge.run()
    return _once(judge.found)


def _once(found: list[Finding]) -> list[Finding]:
    """Return each finding once, under the weakest of its conditions."""
    best: dict[tuple[object, ...], Finding] = {}
    for one in found:
        key = (one.kind, one.key, one.value, one.setting, one.place, one.socket, one.port)
        before = best.get(key)
        if before is None:
            best[key] = one
            continue
        default = (
            True
            if one.default or before.default
            else (None if None in (one.default, before.default) else False)
        )
        when = before.when if before.default is default else one.when
        best[key] = replace(before, default=default, when=when, envs=before.envs | one.envs)
    return list(best.values())


def _kind_of(table: str, name: str) -> str | None:
    """Return what the longest fitting part of a class's name stands for, None for no such part."""
    fitting = [part for part in knowledge()[table] if part in name.lower()]
    return str(knowledge()[table][max(fitting, key=len)]) if fitting else None


@dataclass(frozen=True)
class _Case:
    """One alternative of a value, with what holds for all that is found in it."""

    value: Value
    when: tuple[str, ...] = ()
    default: bool | None = True
    envs: frozenset[str] = frozenset()


class _Judge:
    def __init__(self, reader: Reader, names: dict[str, Value]) -> None:
        self.reader = reader
        self.names = names
        self.found: list[Finding] = []
        self.root = reader.root
        self.case = _Case(ABSENT)

    def run(self) -> None:
        self.application()
        self.databases()
        self.caches()
        self.sessions()
        self.mail()
        self.queues()
        self.files()
        self.logs()
        self.folders()
        self.directory()
        self.search()
        self.addresses_of_apps()
        self.apps()
        self.secrets()
        self.reports()
        self.read_files()
        self.others()
        self.remarks()

    # -- helpers -----------------------------------------------------------------------------

    def get(self, name: str) -> Value:
        return self.names.get(name, ABSENT)

    def within(self, case: Alternative) -> _Case:
        """Return a case inside the present one."""
        outer = self.case
        default = (
            False
            if outer.default is False or case.default is False
            else None
            if outer.default is None or case.default is None
            else True
        )
        envs = outer.envs | envs_of(case.value)
        when = tuple(dict.fromkeys((*outer.when, *case.when)))
        return _Case(case.value, when, default, envs)

    def each(self, value: Value) -> Iterator[Value]:
        """Yield the alternatives of a value; findings made meanwhile carry its conditions."""
        before = self.case
        for case in alternatives(value):
            self.case = self.within(case)
            try:
                yield case.value
            finally:
                self.case = before

    def add(self, kind: Kind, key: str, value: str | int | bool, setting: str, place: Place,
            reason: str = "", socket: bool = False, port: int = 0,
            envs: frozenset[str] = frozenset()) -> None:  # fmt: skip
        c = self.case
        envs |= c.envs
        self.found.append(
            Finding(kind, key, value, setting, place, reason, c.when, c.default, envs, socket, port)
        )

    def ask(self, key: str, setting: str, value: Value, why: str = "") -> None:
        """Leave a question about the key of the description that a setting would fill."""
        text = why or _because(value)
        self.add("question", key, text, setting, place_of(value))

    def only_when_set(self, key: str, setting: str, one: Known) -> None:
        """Tell of something that is off until the host sets an environment variable."""
        names = ", ".join(sorted(one.envs))
        before = self.case
        self.case = replace(before, default=False, when=(*before.when, f"{names} is set"))
        self.add("question", key, "another service", setting, one.place)
        self.case = before

    def note(self, setting: str, place: Place, text: str) -> None:
        self.add("note", "", text, setting, place)

    def connect(
        self, service: str, setting: str, value: Value, reason: str, host: str = "", port: str = ""
    ) -> None:
        """A connection to a well-known service; ``host`` and ``port`` as the settings have them."""
        place = place_of(value)
        socket = host.startswith("/")
        number = 0
        if port and port.isdecimal() and len(port) < 6:
            known = knowledge()["service-port"].get(service, [])
            number = 0 if int(port) in known else int(port)
        elif port and not socket:
            names = ", ".join(_holes(port)) or "the host"
            self.note(
                setting,
                place,
                f"another port than {service}'s own, set by {names}, "
                "needs a [[connect]] with that port",
            )
        self.add("connect", service, readable(host), setting, place, reason, socket, number)

    def path(self, use: str, setting: str, value: Value, reason: str, folder: bool = False) -> None:
        """A path of the application; ``folder``: the setting names a file in it."""
        for one in self.each(value):
            if isinstance(one, Absent) or (isinstance(one, Known) and one.value in ("", None)):
                continue
            text = one.value if isinstance(one, Known) else None
            if not isinstance(text, str) or has_hole(text):
                self.ask(f"path.{use}", setting, one)
                continue
            if not text.startswith("/"):
                self.ask(
                    f"path.{use}", setting, one,
                    f"{readable(text)} is relative to the folder that the server starts in",
                )  # fmt: skip
                continue
            wanted = posixpath.dirname(posixpath.normpath(text)) if folder else text
            wanted = posixpath.normpath(wanted)
            self._placed(use, setting, one, wanted, reason)

    def _placed(self, use: str, setting: str, one: Value, path: str, reason: str) -> None:
        key = f"path.{use}"
        if path in SHARED:
            self.ask(
                key, setting, one, f"{path} is shared with others: it needs a folder of its own"
            )
        elif re.match(r"/(tmp|var/tmp|home|root|dev|proc|run/user)/", path):
            self.ask(key, setting, one, f"{path} is no place for files of a package")
        elif path == self.root:
            self.ask(key, setting, one, "lies beside the code: it needs a folder of its own")
        elif (
            path.startswith(f"{posixpath.dirname(self.root)}/")
            and not path.startswith(f"{self.root}/")
            and _from_root(one, self.root)
        ):
            self.ask(key, setting, one, f"{path} lies above the application's folder")
        elif re.search(r"[^A-Za-z0-9/._+@~-]", path):
            self.ask(key, setting, one, f"{readable(path)} is no plain path")
        else:
            self.add("path", use, path, setting, place_of(one), reason)

    # -- the application ---------------------------------------------------------------------

    def application(self) -> None:
        for one in self.each(self.get("WSGI_APPLICATION")):
            if isinstance(one, Known) and isinstance(one.value, str) and "." in one.value:
                module, _, name = one.value.rpartition(".")
                self.add("application", "wsgi", f"{module}:{name}", "WSGI_APPLICATION", one.place)
        for setting, key in (("STATIC_URL", "static-url"), ("MEDIA_URL", "media-url")):
            for one in self.each(self.get(setting)):
                if isinstance(one, Known) and isinstance(one.value, str) and one.value:
                    self._url(key, setting, one)

    def _url(self, key: str, setting: str, one: Known) -> None:
        text = str(one.value)
        if has_hole(text) or re.match(r"(https?:)?//", text):
            self.note(
                setting, one.place, f"{readable(text)} is served elsewhere, or set by the host"
            )
            return
        if text.startswith("./"):
            text = text[1:]
        self.add("application", key, "/" + text.strip("/") + "/", setting, one.place)

    # -- databases ---------------------------------------------------------------------------

    def databases(self) -> None:
        value = self.get("DATABASES")
        if isinstance(value, Absent):
            return
        for table in self.each(value):
            if not isinstance(table, Table):
                self.ask("connect.database", "DATABASES", table)
                continue
            for alias, entry in table.items.items():
                for database in self.each(entry):
                    self._database(f"DATABASES[{alias!s}]", database)
            if table.open:
                self.ask("connect.database", "DATABASES", table, "not all databases are known")

    def _database(self, setting: str, database: Value) -> None:
        if isinstance(database, Table) and not database.items and not database.open:
            return
        if not isinstance(database, Table):
            self.ask("connect.database", setting, database)
            return
        for engine in self.each(get(database, "ENGINE")):
            name = engine.value if isinstance(engine, Known) else None
            kind = _kind_of("database", name) if isinstance(name, str) else None
            if not isinstance(name, str) or kind is None:
                self.ask("connect.database", setting, _placed_or(engine, database))
            elif kind == "sqlite":
                self._sqlite(setting, get(database, "NAME"))
            elif kind:
                self._server(kind, setting, database, engine)

    def _sqlite(self, setting: str, name: Value) -> None:
        for one in self.each(name):
            memory = (
                isinstance(one, Known) and isinstance(one.value, str) and ":memory:" in one.value
            )
            if not memory:
                self.path("data", f"{setting}[NAME]", one, "the SQLite database", folder=True)

    def _server(self, kind: str, setting: str, database: Table, engine: Value) -> None:
        options = get(database, "OPTIONS")
        unix = get(options, "unix_socket") if isinstance(options, Table) else ABSENT
        port = _text(get(database, "PORT"))
        reason = f"the database ({kind})"
        for host in self.each(get(database, "HOST")):
            where = _text(host)
            at: Value = host if place_of(host).file else engine
            if isinstance(unix, Known):
                self.connect(kind, setting, unix, reason, str(unix.value))
            elif kind == "postgresql" and where == "" and not isinstance(host, Unknown):
                self.connect(kind, setting, at, reason, "/")
            elif kind == "mysql" and where in ("", "localhost") and not isinstance(host, Unknown):
                # The client library takes localhost as the socket (mysql_real_connect).
                self.connect(kind, setting, at, reason, "/")
            else:
                self.connect(kind, setting, at, reason, where or "localhost", port)

    # -- caches, sessions, queues ------------------------------------------------------------

    def caches(self) -> None:
        for table in self.each(self.get("CACHES")):
            if isinstance(table, Unknown):
                self.ask("connect.cache", "CACHES", table)
            for alias, entry in table.items.items() if isinstance(table, Table) else ():
                for one in self.each(entry):
                    self._cache(f"CACHES[{alias!s}]", one)

    def _cache(self, setting: str, entry: Value) -> None:
        if not isinstance(entry, Table):
            self.ask("connect.cache", setting, entry)
            return
        for backend in self.each(get(entry, "BACKEND")):
            name = backend.value if isinstance(backend, Known) else None
            kind = _kind_of("cache", name) if isinstance(name, str) else None
            location = get(entry, "LOCATION")
            if kind is None:
                self.ask("connect.cache", setting, _placed_or(backend, entry))
            elif not kind and isinstance(backend, Known) and backend.envs:
                self.only_when_set("connect.cache", setting, backend)
            elif kind == "file":
                self.path("cache", f"{setting}[LOCATION]", location, "the cache in files")
            elif kind:
                self.addresses(kind, f"{setting}[LOCATION]", location, backend, "the cache")

    def addresses(
        self, service: str, setting: str, value: Value, instead: Value, reason: str
    ) -> None:
        """Connections to addresses of any form that client libraries take."""
        for one in self.each(value):
            if isinstance(one, Items):
                pair = [p.value for p in one.items if isinstance(p, Known)]
                if len(pair) == 2 and isinstance(pair[1], int):
                    place: Value = one if one.place.file else instead
                    self.connect(service, setting, place, reason, str(pair[0]), str(pair[1]))
                    continue
                for item in one.items:
                    self.addresses(service, setting, item, instead, reason)
            elif isinstance(one, Table):
                inner = next(
                    (
                        one.items[k]
                        for k in ("address", "url", "URL", "host", "hosts")
                        if k in one.items
                    ),
                    ABSENT,
                )
                port = _text(get(one, "port"))
                if isinstance(inner, Known) and "://" not in str(inner.value):
                    self.connect(service, setting, inner, reason, str(inner.value), port)
                else:
                    self.addresses(service, setting, inner, instead, reason)
            elif isinstance(one, Known) and isinstance(one.value, str):
                self._address(service, setting, one, reason)
            else:
                at: Value = one if place_of(one).file else instead
                self.connect(service, setting, at, reason, _text(one) or "localhost")

    def _address(self, service: str, setting: str, one: Known, reason: str) -> None:
        for part in re.split(r"[;,]", str(one.value)):
            text = part.strip()
            if text.startswith("unix:") and not text.startswith("unix://"):
                text = text.removeprefix("unix:")
            scheme, host, port, path = split_url(text) if "://" in text else ("", "", "", "")
            if scheme:
                if scheme in ("unix", "redis+socket", "unixs", "ldapi"):
                    self.connect(service, setting, one, reason, path or "/")
                else:
                    self.connect(service, setting, one, reason, host or "localhost", port)
            elif text.startswith("/"):
                self.connect(service, setting, one, reason, text)
            elif text:
                host, _, port = text.rpartition(":") if ":" in text else (text, "", "")
                self.connect(service, setting, one, reason, host or "localhost", port)

    def sessions(self) -> None:
        for one in self.each(self.get("SESSION_ENGINE")):
            if isinstance(one, Known) and str(one.value).endswith("backends.file"):
                path = self.get("SESSION_FILE_PATH")
                if isinstance(path, Absent) or (isinstance(path, Known) and path.value is None):
                    self.ask(
                        "path.temporary",
                        "SESSION_ENGINE",
                        one,
                        "sessions are kept in /tmp: set SESSION_FILE_PATH to a folder",
                    )
                self.path("temporary", "SESSION_FILE_PATH", path, "sessions in files")
            elif isinstance(one, Known) and "redis" in str(one.value):
                self.addresses("redis", "SESSION_REDIS", self.get("SESSION_REDIS"), one, "sessions")

    def queues(self) -> None:
        """Celery, Channels, RQ, Huey and their like."""
        celery = self.get("CELERY")
        for name, value in self._named(celery, "CELERY", "broker_url", "BROKER_URL"):
            self.url(name, value, "the queue of tasks", "connect.broker")
        for name, value in self._named(celery, "CELERY", "result_backend", "RESULT_BACKEND"):
            self.url(name, value, "results of tasks", "connect.results")
        for name in ("BROKER_URL", "CELERY_BROKER", "DRAMATIQ_BROKER_URL"):
            self.url(name, self.get(name), "the queue of tasks", "connect.broker")
        for layers in self.each(self.get("CHANNEL_LAYERS")):
            for layer in self.each(get(layers, "default")) if isinstance(layers, Table) else ():
                self._layer(layer)
        for queues in self.each(self.get("RQ_QUEUES")):
            for queue_name, queue in queues.items.items() if isinstance(queues, Table) else ():
                for one in self.each(queue):
                    self._queue(f"RQ_QUEUES[{queue_name!s}]", one)
        for name in ("Q_CLUSTER", "HUEY"):
            for one in self.each(self.get(name)):
                if isinstance(one, Table):
                    inner = get(one, "redis" if name == "Q_CLUSTER" else "connection")
                    if isinstance(inner, Known) and not inner.value:
                        if inner.envs:
                            self.only_when_set("connect.queue", name, inner)
                    elif not isinstance(inner, Absent):
                        self.addresses("redis", name, inner, one, "the queue of tasks")

    def _named(
        self, table: Value, prefix: str, inner: str, outer: str
    ) -> Iterator[tuple[str, Value]]:
        name = f"{prefix}_{outer}"
        if name in self.names:
            yield name, self.names[name]
        for one in self.each(table):
            if isinstance(one, Table) and inner in one.items:
                yield f"{prefix}[{inner}]", one.items[inner]

    def _layer(self, layer: Value) -> None:
        setting = "CHANNEL_LAYERS"
        if not isinstance(layer, Table):
            self.ask("connect.channels", setting, layer)
            return
        backend = get(layer, "BACKEND")
        name = str(backend.value) if isinstance(backend, Known) else ""
        config = get(layer, "CONFIG")
        hosts = get(config, "hosts") if isinstance(config, Table) else ABSENT
        if "redis" in name:
            self.addresses(
                "redis", setting, hosts, backend, "messages between processes (Channels)"
            )
        elif "rabbit" in name:
            self.connect("amqp", setting, backend, "messages between processes (Channels)")
        elif "InMemory" not in name and "postgres" not in name:
            self.ask("connect.channels", setting, _placed_or(backend, layer))

    def _queue(self, setting: str, queue: Value) -> None:
        if not isinstance(queue, Table):
            self.ask("connect.queue", setting, queue)
            return
        unix, url = get(queue, "UNIX_SOCKET_PATH"), get(queue, "URL")
        if isinstance(unix, Known):
            self.connect("redis", setting, unix, "the queue of tasks", str(unix.value))
        elif not isinstance(url, Absent):
            self.url(setting, url, "the queue of tasks", "connect.queue")
        elif "HOST" in queue.items:
            host = get(queue, "HOST")
            at = host if place_of(host).file else queue
            self.connect(
                "redis",
                setting,
                at,
                "the queue of tasks",
                _text(host) or "localhost",
                _text(get(queue, "PORT")),
            )

    def url(self, setting: str, value: Value, reason: str, question: str) -> None:
        """A connection to what an address names by its scheme."""
        for one in self.each(value):
            if isinstance(one, Known) and not one.value and one.envs:
                self.only_when_set(question, setting, one)
                continue
            if isinstance(one, Absent) or (isinstance(one, Known) and not one.value):
                continue
            if not isinstance(one, Known) or not isinstance(one.value, str):
                self.ask(question, setting, one)
                continue
            text = str(one.value)
            scheme, host, port, path = split_url(text)
            if "://" not in text:
                scheme = text.partition(":")[0].lower() if not has_hole(text) else ""
            service = knowledge()["scheme"].get(scheme)
            if scheme == "filesystem":
                self.ask("path.data", setting, one, "tasks are handed over in a folder")
            elif scheme.startswith(("sqla+sqlite", "db+sqlite", "file")):
                path = text.partition("://")[2].removeprefix("/") or path
                self.path("data", setting, replace(one, value=path), reason, folder=True)
            elif service is None:
                self.ask(question, setting, one)
            elif service and scheme in ("unix", "redis+socket", "ldapi"):
                self.connect(service, setting, one, reason, path or "/")
            elif service:
                self.connect(service, setting, one, reason, host or "localhost", port)

    # -- mail --------------------------------------------------------------------------------

    def mail(self) -> None:
        for table in self.each(self.get("MAILERS")):
            for alias, entry in table.items.items() if isinstance(table, Table) else ():
                for one in self.each(entry):
                    options = get(one, "OPTIONS") if isinstance(one, Table) else ABSENT
                    host = get(options, "host") if isinstance(options, Table) else ABSENT
                    port = get(options, "port") if isinstance(options, Table) else ABSENT
                    names = {**self.names, "EMAIL_HOST": host, "EMAIL_PORT": port}
                    self.names, kept = names, self.names
                    for backend in self.each(get(one, "BACKEND")):
                        name = _text(backend) or "smtp"
                        at = backend if place_of(backend).file else host
                        self._mail(name, at, f"MAILERS[{alias!s}]")
                    self.names = kept
        said = [n for n in self.names if n.startswith("EMAIL_")]
        backend = self.get("EMAIL_BACKEND")
        meant = [
            n for n in said if n in ("EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_URL")
        ]
        if isinstance(backend, Absent) and meant:
            # smtp is Django's default.
            self._mail("django.core.mail.backends.smtp.EmailBackend", self.get(meant[0]), meant[0])
            return
        for one in self.each(backend):
            if isinstance(one, Known) and isinstance(one.value, str):
                self._mail(one.value, one, "EMAIL_BACKEND")
            elif isinstance(one, Absent):
                if meant:
                    self._mail("smtp", self.get(meant[0]), meant[0])
            else:
                self.ask("connect.mail", "EMAIL_BACKEND", one)

    def _mail(self, backend: str, value: Value, setting: str, depth: int = 0) -> None:
        kind = _kind_of("email", backend)
        if kind is None:
            self.ask("connect.mail", setting, value)
        elif kind == "file":
            self.path("data", "EMAIL_FILE_PATH", self.get("EMAIL_FILE_PATH"), "mails in files")
        elif kind == "smtp":
            host = _text(_likely(self.get("EMAIL_HOST")))
            at = value if place_of(value).file else self.get("EMAIL_HOST")
            self.connect(
                "smtp",
                setting,
                at,
                "mail is sent",
                host or "localhost",
                _text(_likely(self.get("EMAIL_PORT"))),
            )
        elif kind == "http":
            self.connect("http", setting, value, "mail is sent through a service on the web")
        elif kind.isupper() and depth < 3:
            inner = _likely(self.get(kind))
            name = str(inner.value) if isinstance(inner, Known) else "smtp"
            self._mail(name, value, kind, depth + 1)

    # -- files -------------------------------------------------------------------------------

    def files(self) -> None:
        apps = self.installed()
        static = self.get("STATIC_ROOT")
        unset = isinstance(static, Absent) or (isinstance(static, Known) and not static.value)
        if unset and any(a.startswith("django.contrib.staticfiles") for a in apps):
            self.note("STATIC_ROOT", place_of(static), "not set: no static files are collected")
        self.path("static", "STATIC_ROOT", static, "static files, collected at build time")
        local = self._storages()
        if local:
            self.path("media", "MEDIA_ROOT", self.get("MEDIA_ROOT"), "uploads")
        upload = self.get("FILE_UPLOAD_TEMP_DIR")
        media = {f.value for f in self.found if f.kind == "path" and f.key == "media"}
        for one in self.each(upload):
            within = isinstance(one, Known) and any(
                str(one.value) == m or str(one.value).startswith(f"{m}/") for m in media
            )
            use = "media" if within else "temporary"
            if not (isinstance(one, Known) and one.value in media):
                self.path(use, "FILE_UPLOAD_TEMP_DIR", one, "uploads on their way in")
        for name in ("SENDFILE_ROOT", "PRIVATE_STORAGE_ROOT"):
            self.path("data", name, self.get(name), "files that are handed out after a check")
        self.path("data", "WHOOSH_INDEX", self.get("WHOOSH_INDEX"), "the search index")
        for options in self.each(self.get("DBBACKUP_STORAGE_OPTIONS")):
            if isinstance(options, Table):
                self.path("data", "DBBACKUP_STORAGE_OPTIONS", get(options, "location"), "backups")

    def _storages(self) -> bool:
        """Judge where uploads go; return whether some go into MEDIA_ROOT."""
        local = False
        seen = False
        for setting, value in self._storage_values():
            for one in self.each(value):
                entry = get(one, "BACKEND") if isinstance(one, Table) else one
                for backend in self.each(entry):
                    seen = True
                    local |= self._storage(setting, backend, one)
        return local or not seen

    def _storage_values(self) -> Iterator[tuple[str, Value]]:
        if "DEFAULT_FILE_STORAGE" in self.names:
            yield "DEFAULT_FILE_STORAGE", self.names["DEFAULT_FILE_STORAGE"]
        for table in self.each(self.get("STORAGES")):
            for alias, entry in table.items.items() if isinstance(table, Table) else ():
                if alias != "staticfiles":
                    yield f"STORAGES[{alias!s}]", entry

    def _storage(self, setting: str, backend: Value, entry: Value) -> bool:
        name = str(backend.value) if isinstance(backend, Known) else ""
        kind = _kind_of("storage", name) if name else None
        if isinstance(backend, Absent):
            return True
        if kind is None:
            self.ask("connect.storage", setting, _placed_or(backend, entry))
            return True
        if kind == "http":
            self.connect("http", setting, backend, "uploads are kept in an object store")
            return False
        options = get(entry, "OPTIONS") if isinstance(entry, Table) else ABSENT
        location = get(options, "location") if isinstance(options, Table) else ABSENT
        if kind == "file" and not isinstance(location, Absent):
            self.path("media", f"{setting}[location]", location, "uploads")
            return "default" not in setting
        return kind == "file"

    def logs(self) -> None:
        for logging in self.each(self.get("LOGGING")):
            handlers = get(logging, "handlers") if isinstance(logging, Table) else ABSENT
            for table in self.each(handlers):
                for name, entry in table.items.items() if isinstance(table, Table) else ():
                    for handler in self.each(entry):
                        if isinstance(handler, Table):
                            self._handler(f"LOGGING[handlers][{name!s}]", handler)
            if isinstance(logging, Unknown):
                self.ask("path.log", "LOGGING", logging)

    def _handler(self, setting: str, handler: Table) -> None:
        for kind in self.each(get(handler, "class")):
            name = str(kind.value) if isinstance(kind, Known) else ""
            if "SysLogHandler" in name or "JournalHandler" in name:
                self.connect("syslog", setting, kind, "log messages go to the system log")
            elif "SMTPHandler" in name:
                self.connect("smtp", setting, kind, "log messages are mailed")
            elif name.rpartition(".")[2].endswith("FileHandler") or "filename" in handler.items:
                file = get(handler, "filename")
                if isinstance(file, Known) and str(file.value).startswith(("/dev/", "/proc/")):
                    continue
                self.path("log", f"{setting}[filename]", file, "the log", folder=True)
                if "Rotating" in name:
                    self.note(
                        setting,
                        place_of(kind),
                        f"{name.rpartition('.')[2]} renames and "
                        "removes files, which a log may not be: WatchedFileHandler and "
                        "logrotate can",
                    )

    def folders(self) -> None:
        """Templates, translations and other code outside the application's folder."""
        for name in ("LOCALE_PATHS", "STATICFILES_DIRS", "FIXTURE_DIRS"):
            self._outside(name, self.get(name))
        for templates in self.each(self.get("TEMPLATES")):
            for one in templates.items if isinstance(templates, Items) else ():
                if isinstance(one, Table):
                    self._outside("TEMPLATES[DIRS]", get(one, "DIRS"))

    def _outside(self, setting: str, value: Value) -> None:
        for one in self.each(value):
            for item in one.items if isinstance(one, Items) else ():
                for path in self.each(item):
                    text = path.value if isinstance(path, Known) else ""
                    if (
                        isinstance(text, str)
                        and text.startswith("/")
                        and not has_hole(text)
                        and not _below(text, self.root)
                    ):
                        self.path("code", setting, path, "read beside the application's own")

    def directory(self) -> None:
        uri = self.get("AUTH_LDAP_SERVER_URI")
        for one in self.each(uri):
            if isinstance(one, Known) and isinstance(one.value, str):
                self.url(
                    "AUTH_LDAP_SERVER_URI", one, "accounts of an LDAP directory", "connect.ldap"
                )
            elif not isinstance(one, Absent):
                self.connect("ldap", "AUTH_LDAP_SERVER_URI", one, "accounts of an LDAP directory")
        for backends in self.each(self.get("AUTHENTICATION_BACKENDS")):
            for item in backends.items if isinstance(backends, Items) else ():
                for one in self.each(item):
                    name = str(one.value) if isinstance(one, Known) else ""
                    if name.startswith("django_auth_ldap") and isinstance(uri, Absent):
                        self.connect(
                            "ldap", "AUTHENTICATION_BACKENDS", one, "accounts of an LDAP directory"
                        )
                    elif name.startswith(("social_core.backends", "mozilla_django_oidc")):
                        self.connect(
                            "http", "AUTHENTICATION_BACKENDS", one, "sign-in through other sites"
                        )

    def search(self) -> None:
        for table in self.each(self.get("HAYSTACK_CONNECTIONS")):
            for entry in table.items.values() if isinstance(table, Table) else ():
                if isinstance(entry, Table):
                    self.path(
                        "data", "HAYSTACK_CONNECTIONS[PATH]", get(entry, "PATH"), "the search index"
                    )
                    self._web("HAYSTACK_CONNECTIONS", get(entry, "URL"), "the search index")
        for table in self.each(self.get("WAGTAILSEARCH_BACKENDS")):
            for entry in table.items.values() if isinstance(table, Table) else ():
                for one in self.each(entry):
                    if isinstance(one, Table):
                        for key in ("URLS", "HOSTS"):
                            self._web("WAGTAILSEARCH_BACKENDS", get(one, key), "the search index")
        for table in self.each(self.get("ELASTICSEARCH_DSL")):
            for entry in table.items.values() if isinstance(table, Table) else ():
                if isinstance(entry, Table):
                    self._web("ELASTICSEARCH_DSL", get(entry, "hosts"), "the search index")

    def addresses_of_apps(self) -> None:
        """Web addresses that settings of well-known applications name."""
        for name, reason in knowledge()["address"].items():
            if name in self.names:
                self._web(name, self.names[name], reason)

    def _web(self, setting: str, value: Value, reason: str) -> None:
        """A connection to a web address; ports that no service has are named."""
        for one in self.each(value):
            for item in one.items if isinstance(one, Items) else (one,):
                if isinstance(item, Table):
                    host_of = get(item, "host")
                    self.connect(
                        "http", setting, host_of, reason, _text(host_of), _text(get(item, "port"))
                    )
                    continue
                text = _text(item)
                if not text:
                    continue
                scheme, host, port, _ = split_url(text if "://" in text else f"http://{text}")
                self.connect("http", setting, item, reason, host, port)
                del scheme

    # -- applications, secrets, reports ------------------------------------------------------

    def installed(self) -> list[str]:
        """Return the installed applications, in any case."""
        found = []
        for apps in alternatives(self.get("INSTALLED_APPS")):
            for item in apps.value.items if isinstance(apps.value, Items) else ():
                found += [
                    str(a.value.value) for a in alternatives(item) if isinstance(a.value, Known)
                ]
        return found

    def apps(self) -> None:
        for apps in self.each(self.get("INSTALLED_APPS")):
            for item in apps.items if isinstance(apps, Items) else ():
                for one in self.each(item):
                    name = str(one.value) if isinstance(one, Known) else ""
                    for app, need in knowledge()["app"].items():
                        if name != app and not name.startswith(f"{app}."):
                            continue
                        if "power" in need:
                            at = place_of(one)
                            self.add("power", need["power"], True, name, at, need["reason"])
                        else:
                            self.connect(need["to"], "INSTALLED_APPS", one, need["reason"])
                    if name == "compressor":
                        self._compressor(one)
                    if name == "django.contrib.gis":
                        self.note("INSTALLED_APPS", place_of(one), "GeoDjango loads GDAL and GEOS")

    def _compressor(self, one: Value) -> None:
        if not self.reader.truth(self.get("COMPRESS_OFFLINE"))[0]:
            self.note(
                "COMPRESS_OFFLINE",
                place_of(one),
                "django-compressor writes into STATIC_ROOT "
                "while it serves: static files are read-only, set COMPRESS_OFFLINE",
            )

    def secrets(self) -> None:
        for one in self.each(self.get("SECRET_KEY")):
            if isinstance(one, Known) and one.value and not one.envs:
                self.note(
                    "SECRET_KEY",
                    one.place,
                    "stands in the settings: it would be the same "
                    "on every host, and readable in the package",
                )
            elif isinstance(one, Known) and one.envs:
                self.add("application", "secret-variable", min(one.envs), "SECRET_KEY", one.place)
            elif isinstance(one, Unknown) and one.env:
                self.add("application", "secret-variable", one.env, "SECRET_KEY", one.place)

    def reports(self) -> None:
        for name in (
            "SENTRY_DSN",
            "RAVEN_DSN",
            "SENTRY_SDK_DSN",
            "ROLLBAR",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ):
            value = self.get(name)
            if isinstance(value, Absent):
                continue
            for one in self.each(value):
                off = isinstance(one, Known) and not one.value
                if off and isinstance(one, Known) and not one.envs:
                    continue
                before = self.case
                switch = self.get(f"{name.partition('_')[0]}_ENABLED")
                if not isinstance(switch, Absent) and not self.reader.truth(switch)[0]:
                    off = True
                if off:
                    self.case = replace(
                        before, default=False, when=(*before.when, f"{name} is set")
                    )
                self.connect("http", name, one, "errors are reported to a service on the web")
                self.case = before

    def read_files(self) -> None:
        for file in self.reader.files:
            for one in self.each(file.path):
                text = one.value if isinstance(one, Known) else ""
                if not isinstance(text, str) or not text.startswith("/") or has_hole(text):
                    continue
                if _below(text, self.root):
                    continue
                self._host_file(posixpath.normpath(text), file.purpose, one, file.place)

    def _host_file(self, path: str, purpose: str, one: Value, place: Place) -> None:
        secret = re.search(r"(?i)secret|passw|token|_key|credential", f"{purpose} {path}")
        setting = purpose.split(" ", maxsplit=1)[0] if purpose else "a file that is read"
        at = place_of(one) if place_of(one).file else place
        if path.startswith(("/proc/", "/sys/", "/dev/", "/usr/share/", "/etc/ssl/", "/etc/pki/")):
            return
        if secret:
            self.add("path", "secret", path, setting, at, "a secret, read from a file of its own")
        elif path.startswith("/etc/"):
            folder = posixpath.dirname(path)
            wanted = path if folder == "/etc" else folder
            self.add("path", "config", wanted, setting, at, f"{path} is read")
            self.add("file", "config", path, setting, at, "configuration that is read")
        elif path.startswith("/run/secrets/"):
            self.note(setting, at, f"{path} is read where containers mount secrets")
        else:
            self.ask("path.config", setting, one, f"{path} is read: what is it?")

    def others(self) -> None:
        """Tell of paths of the host in settings that this program does not know."""
        known = [str(f.value) for f in self.found if f.kind in ("path", "file")]
        for name, value in self.names.items():
            for one in self.each(value):
                text = one.value if isinstance(one, Known) else None
                if (
                    name.isupper()
                    and isinstance(text, str)
                    and re.match(r"/(etc|var|srv|opt|run)/[^\s*{]+$", text)
                    and not has_hole(text)
                    and not _below(text, self.root)
                    and not any(text == k or _below(text, k) or _below(k, text) for k in known)
                ):
                    self.note(name, place_of(one), f"{text}: what is it for?")

    def remarks(self) -> None:
        for remark in self.reader.remarks:
            self.note("", remark.place, remark.text)


def _likely(value: Value) -> Value:
    """Return the alternative that holds where the environment sets nothing."""
    parts = alternatives(value)
    known = [a.value for a in parts if not isinstance(a.value, Absent)]
    return next(
        (a.value for a in parts if a.default and not isinstance(a.value, Absent)),
        known[0] if known else ABSENT,
    )


def _text(value: Value) -> str:
    """Return a value as text, '' for nothing; a part that is not known stays a hole."""
    value = _likely(value)
    if isinstance(value, Known):
        return "" if value.value is None else str(value.value)
    if isinstance(value, Unknown):
        return f"\ue000{value.env or value.why}\ue001"
    return ""


def _holes(text: str) -> list[str]:
    from wsgi_sepkg.discover.value import holes

    return holes(text)


def _below(path: str, root: str) -> bool:
    path = posixpath.normpath(path)
    return path == root or path.startswith(f"{root}/")


def _from_root(value: Value, root: str) -> bool:
    return isinstance(value, Known) and value.path


def _placed_or(value: Value, other: Value) -> Value:
    return value if place_of(value).file else other


def _because(value: Value) -> str:
    """Return why a value is not known, for a person."""
    if isinstance(value, Known):
        return f"{readable(str(value.value))[:120]} is not known to this program"
    if isinstance(value, Unknown):
        if value.env:
            return f"comes from the environment variable {readable(value.env)}, without a default"
        if value.file:
            return f"comes from {readable(value.file)}"
        return f"cannot be read: {readable(value.why)}"
    return "cannot be read"
