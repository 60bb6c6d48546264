"""What the functions return that settings modules call: of Python, django-environ and their like.

Only what the documentation of each says, on values that are known; everything else is unknown.
Sources: docs.python.org; django-environ 0.12 "Types"; python-decouple 3.8 and dj-database-url 3.0
README; environs 14 README; django-configurations 2.5 "Values".
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from wsgi_sepkg.discover.value import (
    ABSENT,
    LONGEST_TEXT,
    MOST_ITEMS,
    Absent,
    Alternative,
    Items,
    Klass,
    Known,
    Library,
    Module,
    Table,
    Unknown,
    Value,
    either,
    envs_of,
    get,
    has_hole,
    hole,
    mapped,
    place_of,
    readable,
    with_envs,
)
from wsgi_sepkg.errors import Place

if TYPE_CHECKING:
    from wsgi_sepkg.discover.evaluate import Reader

BUILTINS = frozenset(
    "str int bool float list tuple set dict frozenset len getattr hasattr globals locals vars open "
    "print super isinstance any all sorted bytes type range enumerate zip reversed min max map "
    "filter iter next repr callable abs sum round object Exception property ImportError".split()
)
# Modules that are in every Python, or hold no settings.
_HARMLESS = (
    "os", "sys", "pathlib", "environ", "decouple", "dj_database_url", "environs", "typing",
    "datetime", "logging", "django.conf.global_settings", "django.utils", "django.core",
    "django.conf", "split_settings", "dotenv", "warnings", "re", "socket", "json", "tempfile",
    "django.urls", "django.contrib", "collections", "configurations", "urllib", "importlib",
    "celery", "kombu", "configparser", "ast", "platform", "string", "secrets", "random", "django",
)  # fmt: skip
# Functions that return their first argument, as far as settings are concerned.
_SAME = frozenset(
    "django.utils.translation.gettext_lazy django.utils.translation.gettext "
    "django.utils.translation.ugettext_lazy django.utils.translation.ugettext "
    "django.utils.translation.gettext_noop django.utils.translation.pgettext_lazy "
    "os.path.abspath os.path.realpath os.path.expanduser os.path.expandvars os.fspath "
    "django.utils.encoding.force_str split_settings.tools.optional os.path.normcase "
    "copy.deepcopy copy.copy django.utils.functional.lazystr django.utils.safestring.mark_safe "
    "json.loads.passed".split()
)
_DATABASES = {
    "postgres": "django.db.backends.postgresql",
    "postgresql": "django.db.backends.postgresql",
    "psql": "django.db.backends.postgresql",
    "pgsql": "django.db.backends.postgresql",
    "postgis": "django.contrib.gis.db.backends.postgis",
    "timescale": "django.db.backends.postgresql",
    "timescalegis": "django.contrib.gis.db.backends.postgis",
    "cockroachdb": "django_cockroachdb",
    "mysql": "django.db.backends.mysql",
    "mysql2": "django.db.backends.mysql",
    "mysqlgis": "django.contrib.gis.db.backends.mysql",
    "mysql-connector": "mysql.connector.django",
    "sqlite": "django.db.backends.sqlite3",
    "sqlite3": "django.db.backends.sqlite3",
    "spatialite": "django.contrib.gis.db.backends.spatialite",
    "oracle": "django.db.backends.oracle",
    "oraclegis": "django.contrib.gis.db.backends.oracle",
    "mssql": "mssql",
    "mssqlms": "mssql",
}
_CACHES = {
    "dbcache": "django.core.cache.backends.db.DatabaseCache",
    "dummycache": "django.core.cache.backends.dummy.DummyCache",
    "filecache": "django.core.cache.backends.filebased.FileBasedCache",
    "locmemcache": "django.core.cache.backends.locmem.LocMemCache",
    "locmem": "django.core.cache.backends.locmem.LocMemCache",
    "memcache": "django.core.cache.backends.memcached.PyMemcacheCache",
    "pymemcache": "django.core.cache.backends.memcached.PyMemcacheCache",
    "pylibmc": "django.core.cache.backends.memcached.PyLibMCCache",
    "redis": "django_redis.cache.RedisCache",
    "rediscache": "django_redis.cache.RedisCache",
    "rediss": "django_redis.cache.RedisCache",
}
_MAIL = {
    "smtp": "django.core.mail.backends.smtp.EmailBackend",
    "smtps": "django.core.mail.backends.smtp.EmailBackend",
    "smtp+tls": "django.core.mail.backends.smtp.EmailBackend",
    "smtp+ssl": "django.core.mail.backends.smtp.EmailBackend",
    "submission": "django.core.mail.backends.smtp.EmailBackend",
    "submit": "django.core.mail.backends.smtp.EmailBackend",
    "consolemail": "django.core.mail.backends.console.EmailBackend",
    "console": "django.core.mail.backends.console.EmailBackend",
    "filemail": "django.core.mail.backends.filebased.EmailBackend",
    "file": "django.core.mail.backends.filebased.EmailBackend",
    "memorymail": "django.core.mail.backends.locmem.EmailBackend",
    "dummymail": "django.core.mail.backends.dummy.EmailBackend",
    "dummy": "django.core.mail.backends.dummy.EmailBackend",
}
_FALSE = ("", "0", "false", "no", "off", "n", "f", "none")


def is_harmless(module: str) -> bool:
    """Return whether a star import from the module brings no settings."""
    return any(module == name or module.startswith(f"{name}.") for name in _HARMLESS)


def is_known(module: str) -> bool:
    """Return whether the module is there wherever the application runs."""
    return is_harmless(module)


# -- values ----------------------------------------------------------------------------------------


def as_text(value: Value) -> Value:
    """Return ``str(value)``; what is not known is a hole in the text."""
    if isinstance(value, Known):
        if isinstance(value.value, bytes):
            return Unknown("bytes", value.place)
        if isinstance(value.value, str):
            return value
        if value.value is None and value.envs:
            return Known(hole(readable(min(value.envs))[:60]), value.place, value.envs)
        return replace(value, value=str(value.value), path=False)
    if isinstance(value, Unknown):
        name = value.env or value.file or value.why
        return Known(hole(readable(name)[:60]), value.place, envs_of(value))
    return Known(hole("?"), place_of(value))


def operated(name: str, one: Value, two: Value, place: Place) -> Value:
    """Return what a binary operator gives."""
    if isinstance(one, Items) and isinstance(two, Items) and name in ("Add", "BitOr"):
        return Items(
            (*one.items, *two.items)[:MOST_ITEMS],
            one.open or two.open,
            one.place if one.place.file else two.place,
            one.envs | two.envs,
        )
    if isinstance(one, Items) and name == "Add" and isinstance(two, Unknown):
        return replace(one, open=True)
    if isinstance(two, Items) and name == "Add" and isinstance(one, Unknown):
        return replace(two, open=True)
    if isinstance(one, Table) and isinstance(two, Table) and name == "BitOr":
        return Table({**one.items, **two.items}, one.open or two.open, one.place)
    if isinstance(one, Known) and one.path and name == "Sub" and isinstance(two, Known):
        up = two.value if isinstance(two.value, int) else 0
        path = str(one.value)
        for _ in range(min(up, 50)):
            path = posixpath.dirname(path)
        return replace(one, value=path)
    if name == "Div":
        return _joined([one, two], place)
    if name == "Mod" and isinstance(one, Known) and isinstance(one.value, str):
        return _percent(one, two)
    if name == "Add" and (_is_text(one) or _is_text(two)):
        first, second = as_text(one), as_text(two)
        if isinstance(first, Known) and isinstance(second, Known):
            text = str(first.value) + str(second.value)
            if len(text) > LONGEST_TEXT:
                return Unknown("too long a text", place)
            is_path = first.path or second.path
            where = _first(first, second, place)
            return Known(text, where, first.envs | second.envs, is_path)
    if isinstance(one, Known) and isinstance(two, Known):
        return _number(name, one, two, place)
    return _why(one, two, place)


def _number(name: str, one: Known, two: Known, place: Place) -> Value:
    a, b = one.value, two.value
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return Unknown("a computed value", place)
    if abs(a) > 1e15 or abs(b) > 1e15:
        return Unknown("too large a number", place)
    operators: dict[str, Callable[[Any, Any], Any]] = {
        "Add": lambda x, y: x + y,
        "Sub": lambda x, y: x - y,
        "Mult": lambda x, y: x * y,
        "FloorDiv": lambda x, y: x // y,
        "Mod": lambda x, y: x % y,
        "BitOr": lambda x, y: x | y,
        "BitAnd": lambda x, y: x & y,
    }
    if name not in operators:
        return Unknown("a computed number", place)
    try:
        return Known(operators[name](a, b), place, one.envs | two.envs)
    except (ArithmeticError, TypeError):
        return Unknown("a computed number", place)


def _percent(one: Known, two: Value) -> Value:
    parts = list(two.items) if isinstance(two, Items) else [two]
    pieces = str(one.value).split("%s")
    if isinstance(two, Table) or len(pieces) != len(parts) + 1 or "%(" in str(one.value):
        return Unknown("a formatted text", one.place)
    return _filled(one, pieces, parts)


def _filled(one: Known, pieces: Sequence[str], parts: Sequence[Value]) -> Value:
    text, envs, path = pieces[0], one.envs, one.path
    for piece, part in zip(pieces[1:], parts, strict=True):
        inner = as_text(part)
        if not isinstance(inner, Known):
            return Unknown("a formatted text with several cases", one.place)
        text += str(inner.value) + piece
        envs, path = envs | inner.envs, path or inner.path
        if len(text) > LONGEST_TEXT:
            return Unknown("too long a text", one.place)
    return Known(text, one.place, envs, path)


def compared(name: str, one: Value, two: Value, place: Place) -> Value:
    """Return what a comparison gives."""
    if name in ("In", "NotIn") and isinstance(two, Library) and two.name == "os.environ":
        key = one.value if isinstance(one, Known) else "?"
        return Known(name == "NotIn", place, frozenset((str(key),)))
    if isinstance(two, Library) and two.name in ("sys.argv", "sys.modules"):
        # A server that serves the site is neither a test run nor a management command.
        return Known(name == "NotIn", place)
    if isinstance(one, Library) and one.name == "sys.version_info":
        return Known(name in ("Gt", "GtE"), place)
    if isinstance(one, Known) and isinstance(two, Items) and name in ("In", "NotIn"):
        known = [i.value for i in two.items if isinstance(i, Known)]
        if _plain(one) and (one.value in known or not (two.open or len(known) < len(two.items))):
            found = one.value in known
            return Known(found is (name == "In"), place, one.envs | two.envs)
        return Unknown("a comparison", place)
    if isinstance(one, Known) and isinstance(two, Table) and name in ("In", "NotIn"):
        if _plain(one) and (one.value in two.items or not two.open):
            return Known((one.value in two.items) is (name == "In"), place, one.envs)
        return Unknown("a comparison", place)
    if not isinstance(one, Known) or not isinstance(two, Known):
        return _why(one, two, place)
    if not _plain(one) or not _plain(two):
        return Unknown("a comparison", place, env=next(iter(one.envs | two.envs), ""))
    a: Any = one.value
    b: Any = two.value
    try:
        tests: dict[str, Callable[[], object]] = {
            "Eq": lambda: a == b,
            "NotEq": lambda: a != b,
            "Is": lambda: a is b,
            "IsNot": lambda: a is not b,
            "In": lambda: a in b,
            "NotIn": lambda: a not in b,
            "Lt": lambda: a < b,
            "LtE": lambda: a <= b,
            "Gt": lambda: a > b,
            "GtE": lambda: a >= b,
        }
        result = tests[name]()
    except TypeError:
        return Unknown("a comparison", place)
    return Known(bool(result), place, one.envs | two.envs)


def sliced(holder: Value, bounds: Sequence[Value]) -> Value:
    """Return a slice of a text or list."""
    numbers: list[Any] = [b.value if isinstance(b, Known) else "?" for b in bounds]
    if not all(n is None or (isinstance(n, int) and abs(n) < 10_000) for n in numbers):
        return Unknown("a slice", place_of(holder))
    wanted = slice(*numbers)
    try:
        if isinstance(holder, Items):
            return replace(holder, items=holder.items[wanted])
        if isinstance(holder, Known) and isinstance(holder.value, str) and _plain(holder):
            return replace(holder, value=holder.value[wanted])
    except ValueError:
        pass
    return _why(holder, holder, place_of(holder))


def element(reader: Reader, holder: Value, key: Value, place: Place) -> Value:
    """Return ``holder[key]``."""
    if isinstance(holder, Library) and holder.name == "os.environ":
        return _environment(key, None, place, reader)
    if isinstance(holder, Library) and holder.name == "globals()":
        return Unknown("a name that is computed", place)
    if isinstance(holder, Library) and holder.name == "path.parents":
        up = key.value if isinstance(key, Known) and isinstance(key.value, int) else 0
        return operated("Sub", holder.own[0], Known(up + 1), place)
    if isinstance(holder, Table) and isinstance(key, Known):
        found = get(holder, key.value)
        if isinstance(found, Absent):
            return Unknown(f"no key {key.value!a}"[:80], place)
        return with_envs(found, key.envs)
    if isinstance(holder, Table) and isinstance(key, Unknown) and holder.items:
        return either(Alternative(v, (), None) for v in list(holder.items.values())[:6])
    if isinstance(holder, Items) and isinstance(key, Known) and isinstance(key.value, int):
        known = -len(holder.items) <= key.value < len(holder.items)
        return holder.items[key.value] if known else _why(holder, key, place)
    return _why(holder, key, place)


# -- attributes and methods ------------------------------------------------------------------------


def attribute(holder: Library, name: str, place: Place) -> Value:
    """Return a name of a library, or of an object that one made."""
    if holder.name in ("os", "os.path") and name in ("sep", "pardir", "curdir", "linesep"):
        return Known({"sep": "/", "pardir": "..", "curdir": "."}.get(name, "\n"), place)
    if holder.name == "os" and name == "name":
        return Known("posix", place)
    if holder.name == "sys" and name == "platform":
        return Known("linux", place)
    return Library(f"{holder.name}.{name}", holder.own)


def method(holder: Value, name: str, place: Place) -> Value:
    """Return an attribute of a value: a part of a path, or a method to be called."""
    if isinstance(holder, Known) and holder.path:
        path = str(holder.value)
        if name == "parent":
            return replace(holder, value=posixpath.dirname(path))
        if name == "parents":
            return Library("path.parents", (holder,))
        if name in ("name", "stem", "suffix"):
            base = posixpath.basename(path)
            stem, suffix = posixpath.splitext(base)
            text = {"name": base, "stem": stem, "suffix": suffix}[name]
            return Known(text, holder.place, holder.envs)
        if name == "root":
            return holder
    if isinstance(holder, Known | Items | Table):
        return Library(f"method.{name}", (holder,))
    return Unknown(f".{name} of something", place)


def _is_text(value: Value) -> bool:
    return isinstance(value, Known) and isinstance(value.value, str)


def _plain(value: Known) -> bool:
    return not (isinstance(value.value, str) and has_hole(value.value))


def _first(one: Value, two: Value, place: Place) -> Place:
    for value in (one, two):
        if (found := place_of(value)).file:
            return found
    return place


def _why(one: Value, two: Value, place: Place) -> Value:
    """Return what keeps the result of an operation from being known."""
    for value in (one, two):
        if isinstance(value, Unknown):
            return replace(value, place=value.place if value.place.file else place)
    return Unknown("a computed value", place)


def _joined(parts: Sequence[Value], place: Place) -> Value:
    """Return a path of parts, as ``os.path.join`` makes it."""
    path: str | None = None
    envs: frozenset[str] = frozenset()
    where = place
    for part in parts:
        text = as_text(part)
        if not isinstance(text, Known) or not isinstance(text.value, str):
            return Unknown("a path of several cases", place)
        if path is None or text.value.startswith("/"):
            # The place of a path is where its last part was written.
            envs = envs | text.envs
            path = text.value
        else:
            path = f"{path.rstrip('/')}/{text.value}" if path != "/" else f"/{text.value}"
            envs |= text.envs
        if text.place.file:
            where = text.place
    if path is None or len(path) > 4096:
        return Unknown("no path", place)
    return Known(_tidy(path), where, envs, True)


def _tidy(path: str) -> str:
    return posixpath.normpath(path) if path.startswith("/") else path


# -- calls -----------------------------------------------------------------------------------------


def call(
    reader: Reader,
    function: Library,
    arguments: list[Value],
    named: dict[str, Value],
    place: Place,
) -> Value:
    """Return what a function of a library gives."""
    name = function.name
    first = arguments[0] if arguments else ABSENT
    if name in _SAME or name.endswith((".gettext_lazy", ".ugettext_lazy")):
        return mapped(first, lambda f: _path(f, place) if name.startswith("os.path") else f)
    if name in ("os.environ.get", "os.getenv", "os.environ.setdefault", "os.environ.pop"):
        default = arguments[1] if len(arguments) > 1 else named.get("default", Known(None, place))
        return _environment(first, default, place)
    if name.startswith("method."):
        return _method(reader, function, arguments, named, place)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(reader, function, arguments, named, place)
    for prefix, handler in _PREFIXED:
        if name.startswith(prefix):
            return handler(reader, function, arguments, named, place)
    if name.rpartition(".")[2] in ("strtobool", "parse_bool", "str2bool", "to_bool") and first:
        return mapped(first, _boolean)
    if name.endswith(".load_dotenv") or name.endswith(".read_dotenv"):
        _reads(reader, first, place)
        return Known(None, place)
    file = next((a.file for a in arguments if isinstance(a, Unknown) and a.file), "")
    return Unknown(f"{readable(name)[:60]}()", place, file=file)


def _environment(
    key: Value, default: Value | None, place: Place, reader: Reader | None = None
) -> Value:
    if not isinstance(key, Known) or not isinstance(key.value, str) or not _plain(key):
        return Unknown("an environment variable of a computed name", place)
    if default is None or isinstance(default, Absent):
        if reader is not None and len(reader.required) < 100:
            reader.required.setdefault(key.value, place)
        return Unknown(f"the environment variable {readable(key.value)}", place, env=key.value)
    envs = frozenset((key.value,))

    def one(value: Value) -> Value:
        if isinstance(value, Known) and not value.place.file:
            value = replace(value, place=place)
        return with_envs(value, envs)

    return mapped(default, one)


def _path(value: Value, place: Place) -> Value:
    text = as_text(value)
    if isinstance(text, Known) and isinstance(text.value, str):
        return replace(text, value=_tidy(text.value) or ".", path=True)
    return value


def _boolean(value: Value) -> Value:
    if isinstance(value, Known):
        if isinstance(value.value, str):
            return replace(value, value=value.value.strip().lower() not in _FALSE)
        return replace(value, value=bool(value.value))
    return value


def _listed(value: Value) -> Value:
    """Return a text with commas as a list."""
    if isinstance(value, Known) and isinstance(value.value, str):
        parts = [p.strip() for p in value.value.split(",")][:MOST_ITEMS]
        items = tuple(Known(p, value.place) for p in parts if p)
        return Items(items, has_hole(value.value), value.place, value.envs)
    return value


def _number_of(value: Value) -> Value:
    if isinstance(value, Known) and isinstance(value.value, str | int | float):
        try:
            return replace(value, value=int(value.value))
        except (ValueError, OverflowError):
            return Unknown("no number", value.place, env=next(iter(value.envs), ""))
    return value


def _cast(kind: str, value: Value) -> Value:
    """Return a value as a reader of the environment casts it."""
    if kind in ("bool", "BooleanValue"):
        return _boolean(value)
    if kind in ("int", "float", "IntegerValue", "PositiveIntegerValue"):
        return _number_of(value)
    if kind in ("list", "tuple", "set", "ListValue", "TupleValue", "Csv"):
        return _listed(value)
    if kind in ("path", "PathValue"):
        return _path(value, place_of(value)) if _is_text(value) else value
    if kind in ("db", "db_url", "dj_db_url", "DatabaseURLValue"):
        return mapped(value, database_of)
    if kind in ("cache", "cache_url", "dj_cache_url", "CacheURLValue"):
        return mapped(value, cache_of)
    if kind in ("email", "email_url", "dj_email_url", "EmailURLValue"):
        return mapped(value, mail_of)
    if kind in ("json", "dict", "DictValue") and _is_text(value):
        return json_of(value)
    return value


def _reads(reader: Reader, path: Value, place: Place) -> None:
    """Keep that the settings read a file."""
    from wsgi_sepkg.discover.evaluate import FileRead

    purpose = " ".join(reader.purpose)
    if len(reader.files) < 200:
        reader.files.append(FileRead(path, place, purpose))


def _content(reader: Reader, path: Value, place: Place) -> Value:
    _reads(reader, path, place)

    def one(value: Value) -> Value:
        text = as_text(value)
        name = readable(str(text.value)) if isinstance(text, Known) else "?"
        return Unknown(f"what {name} says", place, file=name)

    return mapped(path, one)


def _method(
    reader: Reader,
    function: Library,
    arguments: list[Value],
    named: dict[str, Value],
    place: Place,
) -> Value:
    """Return what a method of a known text, path, list or table gives."""
    name, holder = function.name.removeprefix("method."), function.own[0]
    if isinstance(holder, Table):
        return _table_method(name, holder, arguments, place)
    if isinstance(holder, Items):
        return holder if name in ("copy", "keys") else Unknown(f"list.{name}()", place)
    if not isinstance(holder, Known) or not isinstance(holder.value, str):
        return Unknown(f".{name}()", place)
    if holder.path:
        found = _path_method(reader, name, holder, arguments, place)
        if found is not None:
            return found
    return _text_method(reader, name, holder, arguments, named, place)


def _table_method(name: str, holder: Table, arguments: list[Value], place: Place) -> Value:
    if name in ("get", "pop", "setdefault") and arguments:
        default = arguments[1] if len(arguments) > 1 else Known(None, place)

        def one(key: Value) -> Value:
            if not isinstance(key, Known) or not _plain(key):
                return Unknown("a computed key", place)
            if holder.open and key.value not in holder.items:
                other = Unknown("what a file of the host says", place)
                return either([Alternative(default, (), True), Alternative(other, (), False)])
            found = get(holder, key.value)
            return default if isinstance(found, Absent) else with_envs(found, key.envs)

        return mapped(arguments[0], one)
    if name == "copy":
        return holder
    keys: list[Value] = [Known(k) for k in holder.items if isinstance(k, str | int)]
    if name == "keys":
        return Items(tuple(keys), holder.open, holder.place)
    if name == "values":
        return Items(tuple(holder.items.values()), holder.open, holder.place)
    if name == "items":
        pairs: list[Value] = [
            Items((Known(k), v)) for k, v in holder.items.items() if isinstance(k, str | int)
        ]
        return Items(tuple(pairs), holder.open, holder.place)
    return Unknown(f"dict.{name}()", place)


def _path_method(
    reader: Reader, name: str, holder: Known, arguments: list[Value], place: Place
) -> Value | None:
    if name in ("resolve", "absolute", "expanduser", "as_posix", "__str__", "__fspath__"):
        return holder
    if name in ("joinpath", "path", "__call__"):
        return _joined([holder, *arguments], place)
    if name in ("exists", "is_file", "is_dir"):
        return Unknown(f"whether {readable(str(holder.value))} exists", place)
    if name in ("read_text", "read_bytes", "open"):
        return _content(reader, holder, place)
    if name in ("with_name", "with_suffix") and arguments and isinstance(arguments[0], Known):
        folder, base = posixpath.split(str(holder.value))
        new = str(arguments[0].value)
        base = new if name == "with_name" else posixpath.splitext(base)[0] + new
        return replace(holder, value=f"{folder}/{base}")
    if name in ("mkdir", "touch", "relative_to", "glob", "iterdir"):
        return Unknown(f"Path.{name}()", place)
    return None


def _text_method(
    reader: Reader,
    name: str,
    holder: Known,
    arguments: list[Value],
    named: dict[str, Value],
    place: Place,
) -> Value:
    text = str(holder.value)
    plain = [a.value for a in arguments if isinstance(a, Known) and _plain(a)]
    envs = holder.envs.union(*(envs_of(a) for a in arguments)) if arguments else holder.envs
    if name == "format":
        if named or "{" not in text:
            pieces = _format_pieces(text, arguments, named)
        else:
            pieces = _format_pieces(text, arguments, {})
        if pieces is None:
            return Unknown("a formatted text", place)
        return _filled(holder, *pieces)
    if name == "join" and arguments:
        items = reader.iterated(arguments[0])
        if items is None:
            return Unknown("a joined text", place)
        return (
            _filled(replace(holder, value=""), ["", *([text] * (len(items) - 1)), ""], items)
            if items
            else replace(holder, value="")
        )
    if len(plain) != len(arguments):
        return Unknown(f"str.{name}()", place)
    if name in ("strip", "lstrip", "rstrip", "removeprefix", "removesuffix"):
        return replace(holder, value=getattr(text, name)(*map(str, plain)))
    if has_hole(text) and name not in ("startswith", "endswith"):
        return Unknown(f"str.{name}()", holder.place, env=next(iter(holder.envs), ""))
    if name in ("lower", "upper", "title", "capitalize", "casefold"):
        return replace(holder, value=getattr(text, name)())
    if name == "replace" and len(plain) == 2 and len(text) * (len(str(plain[1])) + 1) < 100_000:
        return replace(holder, value=text.replace(str(plain[0]), str(plain[1])), envs=envs)
    if name in ("startswith", "endswith", "isdigit", "isdecimal", "isnumeric"):
        return Known(bool(getattr(text, name)(*map(str, plain))), place, envs)
    if name in ("split", "rsplit", "splitlines"):
        parts = getattr(text, name)(*plain[:1])[:MOST_ITEMS]
        return Items(tuple(Known(p, holder.place) for p in parts), False, place, envs)
    if name in ("partition", "rpartition") and plain and str(plain[0]):
        parts = getattr(text, name)(str(plain[0]))
        return Items(tuple(Known(p, holder.place, envs) for p in parts), False, place)
    if name in ("find", "rfind", "count") and len(plain) == 1:
        return Known(int(getattr(text, name)(str(plain[0]))), place, envs)
    if name in ("encode", "decode"):
        return holder
    return Unknown(f"str.{name}()", place)


def _format_pieces(
    text: str, arguments: Sequence[Value], named: dict[str, Value]
) -> tuple[list[str], list[Value]] | None:
    import re

    if re.search(r"\{[^{}]*[:!.\[][^{}]*\}|\{\{|\}\}", text):
        return None
    pieces = re.split(r"\{([^{}]*)\}", text)
    values: list[Value] = []
    for position, name in enumerate(pieces[1::2]):
        if not name or name.isdecimal():
            index = int(name) if name and len(name) < 4 else position
            if index >= len(arguments):
                return None
            values.append(arguments[index])
        elif name in named:
            values.append(named[name])
        else:
            return None
    return pieces[0::2], values


# -- functions by name -----------------------------------------------------------------------------

_Handler = Callable[
    ["Reader", Library, list[Value], dict[str, Value], Place],
    Value,
]


def _of_join(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    result: Value = ABSENT
    for index, argument in enumerate(arguments):
        if index == 0:
            result = mapped(argument, lambda a: _path(a, place))
        else:
            before = result
            result = mapped(
                before,
                lambda b, argument=argument: mapped(  # type: ignore[misc]
                    argument, lambda a: _joined([b, a], place)
                ),
            )
    return result


def _of_path(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    if not arguments:
        return Known(".", place, path=True)
    return _of_join(reader, function, arguments, named, place)


def _of_normpath(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    return mapped(arguments[0], lambda a: _path(a, place)) if arguments else Unknown("?", place)


def _part_of_path(part: Callable[[str], str], is_path: bool) -> _Handler:
    """Return the handler of a function that takes a path apart."""

    def of(
        reader: Reader,
        function: Library,
        arguments: list[Value],
        named: dict[str, Value],
        place: Place,
    ) -> Value:
        def one(value: Value) -> Value:
            if isinstance(value, Known) and isinstance(value.value, str):
                return replace(value, value=part(value.value), path=is_path)
            return _why(value, value, place)

        return mapped(arguments[0], one) if arguments else Unknown(f"{function.name}()", place)

    return of


def _of_cast(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    if not arguments:
        empty: dict[str, str | int] = {"str": "", "int": 0, "bool": False}
        if function.name in empty:
            return Known(empty[function.name], place)
        if function.name == "dict":
            return Table(dict(named.items()), False, place)
        return Items((), False, place)
    first = arguments[0]
    if function.name == "str":
        return mapped(first, as_text)
    if function.name == "bool":
        return mapped(
            first,
            lambda f: (
                Known(reader.truth(f)[0], place, envs_of(f))
                if reader.truth(f)[0] is not None
                else _why(f, f, place)
            ),
        )
    if function.name in ("int", "float"):
        return mapped(first, _number_of)
    if function.name == "dict":
        keys: dict[Hashable, Value] = {}
        keys.update(named)

        def table(value: Value) -> Value:
            if isinstance(value, Table):
                merged: dict[Hashable, Value] = {}
                merged.update(value.items)
                merged.update(keys)
                return replace(value, items=merged)
            return Table(keys, True, place)

        return mapped(first, table)

    def items(value: Value) -> Value:
        if isinstance(value, Items):
            return value
        if isinstance(value, Table):
            return Items(tuple(reader.iterated(value) or ()), value.open, place)
        return Items((), True, place)

    return mapped(first, items)


def _of_getattr(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    if len(arguments) < 2 or not isinstance(arguments[1], Known):
        return Unknown("getattr()", place)
    holder, name = arguments[0], str(arguments[1].value)
    default = arguments[2] if len(arguments) > 2 else None
    if isinstance(holder, Module) and name not in holder.names and default is not None:
        return default
    if isinstance(holder, Module | Klass):
        return reader.attribute(holder, name, place)
    if default is not None and isinstance(holder, Library | Unknown):
        # What a module outside the tree says goes before the default.
        where = holder.name if isinstance(holder, Library) else holder.why
        return either(
            [
                Alternative(default, (f"{where} does not set {name}",), True),
                Alternative(Unknown(f"{name} of {where}", place), (f"{where} sets {name}",), False),
            ]
        )
    return Unknown(f"{name} of a module outside the tree", place)


def _of_import(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    def one(value: Value) -> Value:
        if isinstance(value, Known) and isinstance(value.value, str) and _plain(value):
            module = reader.module(value.value)
            if module is not None and not value.envs:
                return module
            return Unknown(f"the module {value.value}", place, file=value.value)
        return Unknown("a module of a computed name", place)

    return mapped(arguments[0], one) if arguments else Unknown("import_module()", place)


def _of_open(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    path = arguments[0] if arguments else named.get("file", ABSENT)
    return _content(reader, path, place)


def _of_len(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    items = reader.iterated(arguments[0]) if arguments else None
    return Known(len(items), place) if items is not None else Unknown("a length", place)


def _of_any(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    items = reader.iterated(arguments[0]) if arguments else None
    truths = [reader.truth(i)[0] for i in items or ()]
    if items is None or None in truths:
        return Unknown(f"{function.name}()", place)
    return Known(any(truths) if function.name == "any" else all(truths), place)


def _of_json(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    return mapped(arguments[0], json_of) if arguments else Unknown("json", place)


def _of_home(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    return Unknown("the home of the account", place)


def _of_cwd(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    return Unknown("the folder that the server starts in", place)


def _of_temporary(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    return Known("/tmp", place, path=True)  # noqa: S108


def _of_url(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    """``dj_database_url.config`` and ``.parse``."""
    if function.name.endswith(".parse"):
        return mapped(arguments[0], database_of) if arguments else Unknown("parse()", place)
    name = named.get("env", Known("DATABASE_URL", place))
    if arguments:
        name = arguments[0]
    found = _environment(name, named.get("default"), place)
    return mapped(found, database_of)


def _of_other_url(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    """``dj_email_url`` and ``django_cache_url``, whose tables are those of django-environ."""
    mail = function.name.startswith("dj_email")
    if function.name.endswith(".parse"):
        found: Value = arguments[0] if arguments else Unknown("parse()", place)
    else:
        usual = Known("EMAIL_URL" if mail else "CACHE_URL", place)
        default = named.get("default", None if mail else Known("locmem://", place))
        found = _environment(named.get("env", usual), default, place)
    return mapped(found, mail_of if mail else cache_of)


def _of_config(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    """``decouple.config``: the environment, then .env or settings.ini, then the default."""
    default = named.get("default", arguments[1] if len(arguments) > 1 else None)
    found = (
        _environment(arguments[0], default, place, reader)
        if arguments
        else Unknown("config", place)
    )
    cast = named.get("cast", arguments[2] if len(arguments) > 2 else ABSENT)
    if isinstance(cast, Library):
        kind = cast.name.rpartition(".")[2]
        return mapped(found, lambda f: _cast(kind.removesuffix("()"), f))
    if not isinstance(cast, Absent):
        return mapped(found, lambda f: reader.call(cast, [f], {}, place))
    return found


def _of_csv(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    return Library("decouple.Csv")


def _of_env_class(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    scheme: dict[Any, Value] = dict(named)
    return Library("env()", (Table(scheme, False, place),))


def _of_env(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    """Methods of an ``Env`` of django-environ or environs, and a call of it."""
    kind = function.name.removeprefix("env()").lstrip(".") or "str"
    if kind in ("read_env", "read_envfile"):
        path = arguments[0] if arguments else named.get("env_file", named.get("path", ABSENT))
        if not isinstance(path, Absent):
            _reads(reader, path, place)
        return Known(None, place)
    if kind in ("prefixed", "seal", "bool_constant"):
        return Unknown("env", place)
    if not arguments:
        name: Value = named.get("var", named.get("env", Unknown("env()", place)))
        usual = {
            "db": "DATABASE_URL",
            "db_url": "DATABASE_URL",
            "cache": "CACHE_URL",
            "cache_url": "CACHE_URL",
            "email": "EMAIL_URL",
            "email_url": "EMAIL_URL",
        }
        if isinstance(name, Unknown) and kind in usual:
            name = Known(usual[kind], place)
    else:
        name = arguments[0]
    default: Value | None = named.get("default")
    rest = arguments[1:]
    if default is None and rest:
        # env(var, cast, default) where the object itself is called; (var, default) otherwise.
        default = (rest[1] if len(rest) > 1 else None) if isinstance(rest[0], Library) else rest[0]
    cast = named.get("cast", rest[0] if rest and isinstance(rest[0], Library) else ABSENT)
    scheme = (
        get(function.own[0], name.value) if function.own and isinstance(name, Known) else ABSENT
    )
    if isinstance(scheme, Items) and len(scheme.items) == 2:
        cast = scheme.items[0] if isinstance(cast, Absent) else cast
        default = scheme.items[1] if default is None else default
    elif isinstance(scheme, Library):
        cast = scheme
    found = _environment(name, default, place, reader)
    if isinstance(cast, Library) and kind == "str":
        kind = cast.name
    return mapped(found, lambda f: _cast(kind, f))


def _of_env_path(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    return _of_join(reader, function, arguments, named, place)


def _of_values(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    """``values.*`` of django-configurations: the variable is DJANGO_ and the setting's name."""
    kind = function.name.rpartition(".")[2]
    default: Value = arguments[0] if arguments else named.get("default", Known(None, place))
    prefix = named.get("environ_prefix", Known("DJANGO"))
    said = named.get("environ_name")
    setting = reader.purpose[-1] if reader.purpose else "?"
    name = str(said.value) if isinstance(said, Known) else setting
    front = f"{prefix.value!s}_" if isinstance(prefix, Known) and prefix.value else ""
    if kind == "DatabaseURLValue" and not isinstance(said, Known):
        name, front = "DATABASE_URL", ""
    if kind == "SecretValue":
        return _environment(Known(front + name), None, place, reader)
    found = mapped(_environment(Known(front + name), default, place), lambda f: _cast(kind, f))
    if kind in ("DatabaseURLValue", "CacheURLValue"):
        return Table({"default": found}, False, place)
    return found


def _of_sorted(
    reader: Reader, function: Library, arguments: list[Value], named: dict[str, Value], place: Place
) -> Value:
    return arguments[0] if arguments else Unknown("sorted()", place)


_SPECIAL: dict[str, _Handler] = {
    "os.path.join": _of_join,
    "posixpath.join": _of_join,
    "pathlib.Path": _of_path,
    "pathlib.PurePath": _of_path,
    "pathlib.PosixPath": _of_path,
    "path.Path": _of_path,
    "environ.Path": _of_env_path,
    "os.path.dirname": _part_of_path(posixpath.dirname, True),
    "os.path.normpath": _of_normpath,
    "os.path.basename": _part_of_path(posixpath.basename, False),
    "str": _of_cast,
    "int": _of_cast,
    "float": _of_cast,
    "bool": _of_cast,
    "list": _of_cast,
    "tuple": _of_cast,
    "set": _of_cast,
    "frozenset": _of_cast,
    "dict": _of_cast,
    "collections.OrderedDict": _of_cast,
    "getattr": _of_getattr,
    "importlib.import_module": _of_import,
    "django.utils.module_loading.import_string": _of_import,
    "open": _of_open,
    "io.open": _of_open,
    "codecs.open": _of_open,
    "logging.config.fileConfig": _of_open,
    "len": _of_len,
    "any": _of_any,
    "all": _of_any,
    "sorted": _of_sorted,
    "reversed": _of_sorted,
    "json.loads": _of_json,
    "ast.literal_eval": _of_json,
    "pathlib.Path.home": _of_home,
    "pathlib.Path.cwd": _of_cwd,
    "os.getcwd": _of_cwd,
    "tempfile.gettempdir": _of_temporary,
    "dj_database_url.config": _of_url,
    "dj_database_url.parse": _of_url,
    "dj_email_url.parse": _of_other_url,
    "dj_email_url.config": _of_other_url,
    "django_cache_url.parse": _of_other_url,
    "django_cache_url.config": _of_other_url,
    "decouple.config": _of_config,
    "decouple.Csv": _of_csv,
    "environ.Env": _of_env_class,
    "environ.FileAwareEnv": _of_env_class,
    "environs.Env": _of_env_class,
    "environs.FileAwareEnv": _of_env_class,
    "environ.Env.read_env": lambda r, f, a, n, p: _of_env(r, Library("env().read_env"), a, n, p),
}
_PREFIXED: tuple[tuple[str, _Handler], ...] = (
    ("env()", _of_env),
    ("configurations.values.", _of_values),
)


# -- addresses -------------------------------------------------------------------------------------


def json_of(value: Value) -> Value:
    """Return what a JSON text holds."""
    if not isinstance(value, Known) or not isinstance(value.value, str) or not _plain(value):
        return value
    try:
        data = json.loads(value.value)
    except (ValueError, RecursionError):
        return Unknown("no JSON", value.place)
    return _plain_value(data, value.place, value.envs)


def _plain_value(data: Any, place: Place, envs: frozenset[str], depth: int = 0) -> Value:
    if depth > 20:
        return Unknown("nested too deeply to be read", place)
    if isinstance(data, dict):
        items = {k: _plain_value(v, place, envs, depth + 1) for k, v in data.items()}
        return Table(items, False, place)
    if isinstance(data, list):
        parts = tuple(_plain_value(v, place, envs, depth + 1) for v in data[:MOST_ITEMS])
        return Items(parts, False, place, envs)
    return Known(data, place, envs)


def split_url(text: str) -> tuple[str, str, str, str]:
    """Return scheme, host, port and path of a URL; a part that is not known keeps its hole."""
    try:
        parts = urlsplit(text)
        host, _, port = parts.netloc.rpartition("@")[2].partition(":")
        if parts.netloc.rpartition("@")[2].startswith("["):
            host, _, port = parts.netloc.rpartition("@")[2].partition("]")
            host, port = host.strip("["), port.strip(":")
    except ValueError:
        return "", "", "", ""
    return parts.scheme.lower(), unquote(host), port, unquote(parts.path)


def database_of(value: Value) -> Value:
    """Return the table of DATABASES that a URL means (django-environ, dj-database-url)."""
    if isinstance(value, Known) and value.value in (None, ""):
        return Table({}, False, value.place)
    if not isinstance(value, Known) or not isinstance(value.value, str):
        return value
    scheme, host, port, path = split_url(value.value)
    engine = _DATABASES.get(scheme.removesuffix("+ssl"))
    if engine is None:
        return Unknown("a database address", value.place, env=next(iter(value.envs), ""))
    name = path.removeprefix("/")
    if "sqlite" in engine or "spatialite" in engine:
        # sqlite:///relative, sqlite:////absolute
        name = name or ":memory:"
    items = {"ENGINE": engine, "HOST": host, "PORT": port, "NAME": name}
    return Table(
        {k: Known(v, value.place, value.envs) for k, v in items.items()}, False, value.place
    )


def cache_of(value: Value) -> Value:
    """Return the table of CACHES that a URL means (django-environ)."""
    if not isinstance(value, Known) or not isinstance(value.value, str):
        return value
    scheme, host, port, path = split_url(value.value)
    backend = _CACHES.get(scheme)
    if backend is None:
        return Unknown("a cache address", value.place, env=next(iter(value.envs), ""))
    location = value.value if "redis" in scheme else f"{host}:{port}" if port else host
    if scheme == "filecache" or (not host and path and "redis" not in scheme):
        location = path if scheme == "filecache" else f"unix:{path}"
    items = {"BACKEND": backend, "LOCATION": location}
    return Table(
        {k: Known(v, value.place, value.envs) for k, v in items.items()}, False, value.place
    )


def mail_of(value: Value) -> Value:
    """Return the EMAIL_ settings that a URL means (django-environ)."""
    if not isinstance(value, Known) or not isinstance(value.value, str):
        return value
    scheme, host, port, path = split_url(value.value)
    backend = _MAIL.get(scheme)
    if backend is None:
        return Unknown("a mail address", value.place, env=next(iter(value.envs), ""))
    items: dict[Any, Value] = {
        "EMAIL_BACKEND": Known(backend, value.place, value.envs),
        "EMAIL_HOST": Known(host, value.place, value.envs),
    }
    if port.isdecimal() and len(port) < 6:
        items["EMAIL_PORT"] = Known(int(port), value.place, value.envs)
    if path and "file" in backend:
        items["EMAIL_FILE_PATH"] = Known(path, value.place, value.envs)
    return Table(items, False, value.place)
