"""Settings are read, never run: what names hold, from where, under which conditions."""

# The tables of cases are read as tables.
# ruff: noqa: E501

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from wsgi_sepkg.discover.evaluate import Reader, TooMuch
from wsgi_sepkg.discover.needs import needs
from wsgi_sepkg.discover.source import Tree, Unreadable
from wsgi_sepkg.discover.value import Either, Items, Known, Table, Unknown, Value, readable

ROOT = "/usr/share/app"


def plain(value: Value) -> object:
    """Return a value as Python shows it; what is not known is ``?``, alternatives are a tuple."""
    if isinstance(value, Known):
        return readable(value.value) if isinstance(value.value, str) else value.value
    if isinstance(value, Items):
        return [plain(i) for i in value.items]
    if isinstance(value, Table):
        return {k: plain(v) for k, v in value.items.items()}
    if isinstance(value, Either):
        return tuple(plain(a.value) for a in value.alternatives)
    return "?" if isinstance(value, Unknown) else None


@pytest.fixture
def read(tmp_path: Path):
    """Return a function that reads ``app/settings.py`` and returns its reader and its names."""

    def call(text: str, **files: str):
        (tmp_path / "app").mkdir(exist_ok=True)
        (tmp_path / "app" / "__init__.py").touch()
        for name, content in {"settings": text, **files}.items():
            path = tmp_path / "app" / f"{name}.py"
            path.write_text(textwrap.dedent(content))
        reader = Reader(Tree(tmp_path), ".", ROOT)
        module = reader.module("app.settings")
        assert module is not None
        return reader, dict(module.names)

    return call


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("X = 'a' + 'b'", "ab"),
        ("A = '/srv'\nX = f'{A}/media'", "/srv/media"),
        ("X = '%s/%s' % ('a', 'b')", "a/b"),
        ("X = '{}/{name}'.format('a', name='b')", "a/b"),
        ("X = '/'.join(['', 'var', 'lib'])", "/var/lib"),
        ("from pathlib import Path\nX = Path(__file__).resolve().parent.parent / 'db'", f"{ROOT}/db"),
        ("from pathlib import Path\nX = str(Path(__file__).parents[1].joinpath('a'))", f"{ROOT}/a"),
        (
            "import os\nB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))\n"
            "X = os.path.join(B, 'media')",
            f"{ROOT}/media",
        ),
        ("import os\nX = os.path.normpath(os.path.join('/srv/app', '..', 'media'))", "/srv/media"),
        ("import environ\nX = environ.Path(__file__) - 2", ROOT),
        ("import environ\nR = environ.Path(__file__) - 2\nX = str(R.path('static'))", f"{ROOT}/static"),
        ("import os\nX = os.environ.get('M', '/srv/m')", "/srv/m"),
        ("import os\nX = os.getenv('M') or '/srv/m'", "/srv/m"),
        ("import os\nX = os.environ['M']", "?"),
        ("import os\nX = f\"redis://{os.environ['H']}:6379/0\"", "redis://<H>:6379/0"),
        ("from decouple import config\nX = config('P', default=25, cast=int)", 25),
        ("from decouple import config, Csv\nX = config('P', default='a,b', cast=Csv())", ["a", "b"]),
        ("import environ\nenv = environ.Env(P=(int, 26))\nX = env('P')", 26),
        ("import environ\nenv = environ.Env()\nX = env.list('P', default=['a'])", ["a"]),
        ("from environs import Env\nenv = Env()\nX = env.str('P', 'b')", "b"),
        ("X = [n for n in ('a', 'b') if n != 'a']", ["b"]),
        ("X = []\nX += ['a']\nX.append('b')\nX.insert(0, 'c')", ["a", "b", "c"]),
        ("X = {'a': {}}\nX['a']['b'] = 1\nX.update(c=2)", {"a": {"b": 1}, "c": 2}),
        ("X = {**{'a': 1}, 'b': 2}", {"a": 1, "b": 2}),
        ("X = 1 if True else 2", 1),
        ("def f(n, m='/srv'):\n    return f'{m}/{n}'\nX = f('a')", "/srv/a"),
        ("for N in ('a', 'b'):\n    X = N", "b"),
        ("import sys\nX = 'test' if 'test' in sys.argv else 'real'", "real"),
        ("try:\n    import os\n    X = 1\nexcept ImportError:\n    X = 2", (1, 2)),
        ("globals()['X'] = 3", 3),
        ("import json\nX = json.loads('{\"a\": [1]}')", {"a": [1]}),
        ("from django.utils.translation import gettext_lazy as _\nX = _('a')", "a"),
    ],
)  # fmt: skip
def test_expressions_of_settings_are_understood(read, text, wanted):
    assert plain(read(text)[1]["X"]) == wanted


def test_a_database_address_is_taken_apart(read):
    _, names = read(
        """
        import dj_database_url
        DATABASES = {'default': dj_database_url.config(default='postgres://u:p@db.example:5433/n')}
        """
    )
    entry = plain(names["DATABASES"])["default"]
    assert entry["ENGINE"] == "django.db.backends.postgresql"
    assert (entry["HOST"], entry["PORT"]) == ("db.example", "5433")


def test_both_branches_are_kept_with_their_condition_and_the_likely_one_is_known(read):
    _, names = read(
        """
        import os
        if os.environ.get('BIG'):
            X = 'big'
        else:
            X = 'small'
        """
    )
    one, other = names["X"].alternatives
    assert (plain(one.value), one.default) == ("big", False)
    assert "BIG" in one.when[0]
    assert (plain(other.value), other.default) == ("small", True)


def test_a_site_runs_with_debug_off_whatever_a_developer_wrote(read):
    _, names = read("DEBUG = True\nX = 'a' if DEBUG else 'b'")
    assert [a.default for a in names["X"].alternatives] == [False, True]


def test_star_imports_and_relative_imports_are_followed(read):
    _, names = read(
        "from .base import *\nfrom . import more\nX = A + more.B",
        base="A = 'a'\n_hidden = 1",
        more="B = 'b'",
    )
    assert plain(names["X"]) == "ab"
    assert "_hidden" not in names


def test_the_place_of_a_value_is_where_it_was_written(read):
    _, names = read("from .base import *\nX = A", base="\n\nA = '/srv/a'")
    assert (names["X"].place.file, names["X"].place.line) == ("app/base.py", 3)


def test_a_module_that_is_not_in_the_tree_is_said(read):
    reader, _ = read("from secret_settings import *\nX = 1")
    assert "secret_settings" in reader.remarks[0].text


# -- what it means ---------------------------------------------------------------------------------


@pytest.fixture
def found(read):
    """Return a function: the findings of settings, as (kind, key, value, default)."""

    def call(text: str, **files: str) -> set[tuple[str, str, object, bool | None]]:
        reader, names = read(text, **files)
        return {(f.kind, f.key, f.value, f.default) for f in needs(reader, names)}

    return call


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("MEDIA_ROOT = '/srv/m'", ("path", "media", "/srv/m", True)),
        ("MEDIA_ROOT = '/srv'", ("question", "path.media", None, True)),
        ("MEDIA_ROOT = 'media'", ("question", "path.media", None, True)),
        ("MEDIA_ROOT = '/tmp/m'", ("question", "path.media", None, True)),
        ("import os\nMEDIA_ROOT = os.environ['M']", ("question", "path.media", None, True)),
        (
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '/srv/d/a.db'}}",
            ("path", "data", "/srv/d", True),
        ),
        (
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'HOST': 'db'}}",
            ("connect", "mysql", "db", True),
        ),
        (
            "DATABASES = {'default': {'ENGINE': 'my.own.engine'}}",
            ("question", "connect.database", None, True),
        ),
        (
            "CACHES = {'default': {'BACKEND': 'django_redis.cache.RedisCache',"
            " 'LOCATION': 'redis://cache:6379/1'}}",
            ("connect", "redis", "cache", True),
        ),
        (
            "CACHES = {'default': {'BACKEND': 'django.core.cache.backends.memcached.PyMemcacheCache',"
            " 'LOCATION': ['10.0.0.1:11211']}}",
            ("connect", "memcached", "10.0.0.1", True),
        ),
        ("CELERY_BROKER_URL = 'amqp://g:g@mq//'", ("connect", "amqp", "mq", True)),
        ("EMAIL_HOST = 'mail.example.org'", ("connect", "smtp", "mail.example.org", True)),
        (
            "EMAIL_BACKEND = 'anymail.backends.mailgun.EmailBackend'",
            ("connect", "http", "", True),
        ),
        ("AUTH_LDAP_SERVER_URI = 'ldaps://d'", ("connect", "ldap", "d", True)),
        (
            "CHANNEL_LAYERS = {'default': {'BACKEND': 'channels_redis.core.RedisChannelLayer',"
            " 'CONFIG': {'hosts': [('r', 6379)]}}}",
            ("connect", "redis", "r", True),
        ),
        (
            "LOGGING = {'handlers': {'f': {'class': 'logging.FileHandler',"
            " 'filename': '/var/log/app/a.log'}}}",
            ("path", "log", "/var/log/app", True),
        ),
        (
            "STORAGES = {'default': {'BACKEND': 'storages.backends.s3.S3Storage'}}",
            ("connect", "http", "", True),
        ),
        (
            "SECRET_KEY = open('/etc/app/key').read()",
            ("path", "secret", "/etc/app/key", True),
        ),
        ("LOCALE_PATHS = ['/opt/words']", ("path", "code", "/opt/words", True)),
        (
            "SESSION_ENGINE = 'django.contrib.sessions.backends.file'",
            ("question", "path.temporary", None, True),
        ),
        ("WSGI_APPLICATION = 'a.wsgi.app'", ("application", "wsgi", "a.wsgi:app", True)),
    ],
)  # fmt: skip
def test_a_setting_means_a_path_a_connection_or_a_question(found, text, wanted):
    got = found(text)
    assert any(
        (kind, key, default) == (wanted[0], wanted[1], wanted[3]) and wanted[2] in (None, value)
        for kind, key, value, default in got
    ), got


@pytest.mark.parametrize(
    "text",
    [
        "EMAIL_BACKEND = 'django.core.mail.backends.console.EmailBackend'",
        "CACHES = {'default': {'BACKEND': 'django.core.cache.backends.locmem.LocMemCache'}}",
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}",
        "CELERY_BROKER_URL = 'memory://'",
        "LOGGING = {'handlers': {'c': {'class': 'logging.StreamHandler'}}}",
        "LOCALE_PATHS = [__file__]",
    ],
)
def test_what_needs_nothing_asks_for_nothing(found, text):
    assert found(text) == set()


def test_uploads_in_an_object_store_make_no_folder_of_uploads(found):
    got = found(
        """
        MEDIA_ROOT = '/srv/m'
        DEFAULT_FILE_STORAGE = 'storages.backends.s3boto3.S3Boto3Storage'
        """
    )
    assert not any(key == "media" for _, key, _, _ in got)


def test_a_connection_under_a_condition_is_not_taken_as_certain(found):
    got = found(
        """
        import os
        if os.environ.get('REDIS'):
            CACHES = {'default': {'BACKEND': 'django.core.cache.backends.redis.RedisCache',
                                  'LOCATION': 'redis://r'}}
        """
    )
    assert got == {("connect", "redis", "r", False)}


# -- hostile settings ------------------------------------------------------------------------------


CANARY = "__import__('os').system('touch {canary}')"
HOSTILE = {
    "a call of the shell": f"X = {CANARY}",
    "in a default": f"def f(a={CANARY}):\n    return a\nX = f()",
    "in a decorator": f"@{CANARY}\ndef f():\n    return 1\nX = f()",
    "in a class": f"class A:\n    x = {CANARY}\nX = A().x",
    "in a format": f"X = f'{{{CANARY.replace(chr(39), chr(34))}}}'",
    "exec": f'exec("{CANARY}")\nX = 1',
    "eval": f'X = eval("{CANARY}")',
    "a pickle": "import pickle\nX = pickle.loads(b'cos\\nsystem\\n(S\"touch {canary}\"\\ntR.')",
    "a metaclass": f"class M(type):\n    def __new__(c, *a):\n        {CANARY}\nclass A(metaclass=M): ...",
    "a comprehension": f"X = [{CANARY} for _ in range(3)]",
    "subprocess": "import subprocess\nX = subprocess.check_output(['touch', '{canary}'])",
    "a walrus": f"X = (y := {CANARY})",
    "an attribute of str": "X = ''.__class__.__mro__[1].__subclasses__()",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_is_executed(read, tmp_path, name):
    canary = tmp_path / "canary"
    before = set(sys.modules)
    reader, names = read(HOSTILE[name].replace("{canary}", str(canary)))
    needs(reader, names)
    assert not canary.exists()
    assert "app.settings" not in set(sys.modules) - before


ENDLESS = {
    "deep calls": "X = " + "f(" * 90 + "1" + ")" * 90,
    "a chain of attributes": "X = a" + ".b" * 900,
    "a long sum": "X = " + "1 + " * 900 + "1",
    "deep lists": "X = " + "[" * 90 + "]" * 90,
    "deep branches": "".join(" " * i + "if a:\n" for i in range(90)) + " " * 90 + "X = 1",
    "a function of itself": "def f(n):\n    return f(n) + f(n)\nX = f(1)",
    "two functions of one another": "def f(n):\n    return [g(n), g(n)]\ndef g(n):\n"
    "    return [f(n), f(n)]\nX = f(1)",
    "a text that doubles": "X = 'a' * 20\n" + "X = X + X\n" * 60,
    "a list that doubles": "X = ['a']\n" + "X = X + X\n" * 60,
    "a number that grows": "X = 9 ** 9 ** 9\nY = 1 << 9999999999\nZ = 'a' * 10**12",
    "branches that multiply": "".join(f"if a{i}:\n    X{i} = 1\nelse:\n    X{i} = 2\n" for i in range(60))
    + "X = [" + ", ".join(f"X{i}" for i in range(60)) + "]\nY = "
    + " + ".join(f"str(X{i})" for i in range(30)),
    "loops in loops": "for a in range(9):\n" + "".join(
        " " * (i + 1) + f"for b{i} in ('a','b','c','d','e','f','g','h'):\n" for i in range(12)
    ) + " " * 14 + "X = 1",
    "an import of itself": "from .settings import *\nfrom app.settings import X\nX = 1",
    "a while that never ends": "while True:\n    X = 1",
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_the_reading_ends(read, name):
    try:
        reader, names = read(ENDLESS[name])
    except TooMuch:
        return
    needs(reader, names)
    assert reader.steps <= 150_000


BROKEN = {
    "a null byte": (b"X = 1\0", "null byte"),
    "no Python": (b"X = = 1", "not valid Python"),
    "too large": (b"X = 1\n" * 50_000, "larger than"),
    "a wrong encoding": (b"# -*- coding: no-such -*-\n", "encoding"),
    "an encoding that unpacks": (b"# -*- coding: zlib_codec -*-\n", "encoding"),
    "utf-16": ("X = 1".encode("utf-16"), "UTF-8|utf-8|null"),
    "not the encoding it says": (b"X = '\xff'\n", "encoding|is not utf-8"),
    "too deep": (b"X = " + b"-" * 200_000 + b"1", "too deeply"),
    "too many attributes": (b"X = a" + b".b" * 100_000, "too deeply"),
    "parentheses": (b"X = " + b"(" * 100_000, "not valid Python"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_one_clear_error_with_its_place(tmp_path, name):
    data, words = BROKEN[name]
    (tmp_path / "settings.py").write_bytes(data)
    with pytest.raises(Unreadable, match=words) as caught:
        Reader(Tree(tmp_path), ".", ROOT).module("settings")
    assert caught.value.place.file == "settings.py"
    assert caught.value.exit_status == 2


def test_links_out_of_the_tree_are_not_followed(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.py").write_text("X = 'secret'")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "settings.py").symlink_to(tmp_path / "other" / "secret.py")
    (tmp_path / "tree" / "folder").symlink_to(tmp_path / "other")
    (tmp_path / "tree" / "inner.py").write_text("X = 1")
    (tmp_path / "tree" / "linked.py").symlink_to("inner.py")
    reader = Reader(Tree(tmp_path / "tree"), ".", ROOT)
    assert reader.module("settings") is None
    assert reader.module("folder.secret") is None
    assert reader.module("linked") is not None


def test_a_pipe_or_a_folder_is_not_read(tmp_path):
    import os

    os.mkfifo(tmp_path / "settings.py")
    (tmp_path / "folder.py").mkdir()
    reader = Reader(Tree(tmp_path), ".", ROOT)
    assert reader.module("settings") is None
    assert reader.module("folder") is None


def test_names_of_modules_cannot_leave_the_tree(tmp_path):
    (tmp_path / "x.py").write_text("X = 1")
    (tmp_path / "tree").mkdir()
    reader = Reader(Tree(tmp_path / "tree"), ".", ROOT)
    assert reader.module("..x") is None
    assert reader.module("../x") is None


def test_control_characters_do_not_reach_comments():
    assert "\n" not in readable("a\nb\r\x1b[31m\u202e")
