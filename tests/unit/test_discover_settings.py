"""Settings are read, never run: what names hold, from where, under which conditions."""

# The tables of cases are read as tables.
# ruff: noqa: E501

from __future__ import annotations

import json
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


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("import os\nX = os.path.basename('/srv/a.db')", "a.db"),
        ("import os\nX = os.path.dirname(os.environ['A'])", "?"),
        ("import os\nX = os.path.dirname()", "?"),
        ("from pathlib import Path\nP = Path('/srv/a.tar.gz')\nX = [P.name, P.stem, P.suffix]", ["a.tar.gz", "a.tar", ".gz"]),
        ("from pathlib import Path\nX = str(Path('/srv/a.db').with_suffix('.log'))", "/srv/a.log"),
        ("from pathlib import Path\nX = str(Path('/srv/a.db').with_name('b'))", "/srv/b"),
        ("from pathlib import Path\nX = str(Path('/srv') / 'a' / '/etc/b')", "/etc/b"),
        ("from pathlib import Path\nX = Path('/srv').exists()", "?"),
        ("from pathlib import Path\nX = Path('/etc/a').read_text()", "?"),
        ("from pathlib import Path\nX = str(Path.home() / 'a')", "<the home of the account>/a"),
        ("from pathlib import Path\nX = Path.cwd()", "?"),
        ("import tempfile\nX = tempfile.gettempdir()", "/tmp"),
        ("X = ' a,b '.strip().upper().split(',')", ["A", "B"]),
        ("X = 'a=b'.partition('=')", ["a", "=", "b"]),
        ("X = 'redis://x'.replace('redis', 'rediss')", "rediss://x"),
        ("X = '/srv/a'.startswith('/srv')", True),
        ("X = 'ab'.find('b')", 1),
        ("X = 'a'.encode()", "a"),
        ("X = 'a'.translate({})", "?"),
        ("X = '{0!r}'.format('a')", "?"),
        ("X = '{} {}'.format('a')", "?"),
        ("X = '{b}'.format(a=1)", "?"),
        ("X = '%(a)s' % {'a': 1}", "?"),
        ("X = {'a': 1}.get('b', 2)", 2),
        ("X = {'a': 1}['b']", "?"),
        ("X = list({'a': 1}.keys()) + list({'b': 2}.values())", ["a", 2]),
        ("X = [k for k, v in {'a': 1}.items() if v]", ["a"]),
        ("X = dict({'a': 1}, b=2)", {"a": 1, "b": 2}),
        ("X = [str(), int(), dict(a=1), list()]", ["", 0, {"a": 1}, []]),
        ("X = [bool('a'), bool(''), int('7'), int('x')]", [True, False, 7, "?"]),
        ("X = [len(['a', 'b']), any([0, 1]), all([0, 1]), sorted(['a'])]", [2, True, False, ["a"]]),
        ("X = len(Y)", "?"),
        ("X = ['a', 'b', 'c'][1:] + ['d'][:1]", ["b", "c", "d"]),
        ("X = 'abc'[:-1]", "ab"),
        ("X = ('a', 'b')[-1]", "b"),
        ("X = ('a', 'b')[7]", "?"),
        ("X = [7 - 2, 7 * 2, 7 // 2, 7 % 2, 6 | 1, 6 & 3, 7 ** 2]", [5, 14, 3, 1, 7, 2, "?"]),
        ("X = 1 // 0", "?"),
        ("X = 10 ** 16 + 1 if False else 9999999999999999 + 1", "?"),
        ("X = ['a'] + Y", ["a"]),
        ("X = Y + ['a']", ["a"]),
        ("X = {'a': 1} | {'b': 2}", {"a": 1, "b": 2}),
        ("X = ['a' in ('a', 'b'), 'c' not in ['a'], 'a' in {'a': 1}]", [True, True, True]),
        ("X = [1 < 2, 'a' == 'b', None is None, 2 >= 3, 'a' < 1]", [True, False, True, False, "?"]),
        ("import sys\nX = sys.version_info >= (3, 8)", True),
        ("import os, sys\nX = [os.sep, os.name, sys.platform]", ["/", "posix", "linux"]),
        ("import json\nX = json.loads('no json')", "?"),
        ("def f(*a, **k):\n    return [list(a), k]\nX = f(1, 2, b=3)", [[1, 2], {"b": 3}]),
        ("def f(a, b=2, *, c=3):\n    return [a, b, c]\nX = f(1, c=4)", [1, 2, 4]),
        ("f = lambda a, b='x': a + b\nX = f('a')", "ax"),
        ("def f():\n    for n in ('a', 'b'):\n        if n == 'b':\n            return n\nX = f()", "b"),
        ("def f():\n    if A:\n        return 'a'\n    return 'b'\nX = f()", ("a", "b")),
        ("A, B = 'a', 'b'\nX = [B, A]", ["b", "a"]),
        ("A, *B = ('a', 'b', 'c')\nX = [A, B]", ["?", "?"]),
        ("class A:\n    B = 'b'\n    class C:\n        D = 'd'\nclass E(A):\n    pass\nX = [E.B, A.C.D]", ["b", "d"]),
        ("with open('/etc/a') as f:\n    X = f.read()", "?"),
        ("try:\n    X = 'a'\nfinally:\n    Y = 'b'\nX = X + Y", "ab"),
        ("X = {'a': 1, 'b': 2}\ndel X['a']\nX.pop('b')", {}),
        ("X = ['a', 'b', 'c']\nX.remove('a')\nX.pop()", ["b"]),
        ("X = ['a', 'b', 'c']\nX.pop(0)", ["b", "c"]),
        ("X = ['b', *['a']]\nX.extend(['c'])", ["b", "a", "c"]),
        ("X = {'a': ['b']}\nX['a'] += ['c']\nX['a'].append('d')", {"a": ["b", "c", "d"]}),
        ("X = {}\nX.setdefault('a', []).append('b')", {"a": ["b"]}),
        ("X = {}\nX.setdefault('a', {}).setdefault('b', {}).update(c=1)", {"a": {"b": {"c": 1}}}),
        ("X = {'a': ['b']}\nX.setdefault('a', []).append('c')", {"a": ["b", "c"]}),
        ("X = [not 'a', -3, 'a' or 'b', '' or 'b', 'a' and 'b']", [False, -3, "a", "b", "b"]),
        ("X = [{k: v for k, v in {'a': 1}.items()}, {n for n in ('b',)}]", [{"a": 1}, ["b"]]),
        ("match A:\n    case 'a':\n        X = 1\n    case _:\n        X = 2", (1, 2, None)),
        ("X = 2\nwhile A:\n    X = 1", (1, 2)),
        ("for N in ('a',):\n    pass\nelse:\n    X = 1", 1),
        ("for k, v in {'a': 1}.items():\n    X = [k, v]", ["a", 1]),
        ("for N in ('a', 'b'):\n    X = N\n    break", ("?", None)),
        ("from .more import B as C\nimport app.more as n\nX = C + n.B", "moremore"),
        ("X: str = 'a'\nX += 'b'", "ab"),
        ("vars()['X'] = 1\nglobals().update({'X': 2})", 2),
        ("X = eval('1')", "?"),
        ("from split_settings.tools import include\ninclude('more.py')\nX = B", "more"),
        ("import enum\nclass E(enum.Enum):\n    A = 'a'\nX = E.A", "a"),
        ("import json\nX = json.loads('" + "[" * 22 + "]" * 22 + "')", json.loads("[" * 21 + '"?"' + "]" * 21)),
        ("import os\nX = 'A' in os.environ", False),
        ("import app.more\nX = getattr(app.more, 'A', 'b')", "b"),
        ("import local\nX = getattr(local, 'A', 'b')", ("b", "?")),
        ("from importlib import import_module\nX = import_module('app.more').B", "more"),
        ("from importlib import import_module\nX = import_module('a.b')", "?"),
        ("from decouple import config\nX = config('P', default='yes', cast=bool)", True),
        ("from decouple import config\nX = config('P', default='3', cast=lambda v: int(v) + 1)", 4),
        ("from decouple import config\nX = config('P')", "?"),
        ("import environ\nenv = environ.Env()\nX = env.json('P', default='{\"a\": 1}')", {"a": 1}),
        ("import environ\nenv = environ.Env()\nX = str(env.path('P', default='/srv/./a'))", "/srv/a"),
        ("import environ\nenv = environ.Env()\nX = env.bool('P', default='off')", False),
        ("import environ\nX = environ.Env().prefixed('A')", "?"),
    ],
)  # fmt: skip
def test_more_of_python_and_of_its_libraries_is_understood(read, text, wanted):
    assert plain(read(text, more="B = 'more'")[1]["X"]) == wanted


SQLITE, PG = "django.db.backends.sqlite3", "django.db.backends.postgresql"
REDIS, SMTP = "django_redis.cache.RedisCache", "django.core.mail.backends.smtp.EmailBackend"


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("dj_database_url.parse('sqlite:////srv/a.db')", {"ENGINE": SQLITE, "NAME": "/srv/a.db"}),
        ("dj_database_url.parse('sqlite://')", {"ENGINE": SQLITE, "NAME": ":memory:"}),
        ("dj_database_url.parse('postgres://%2Frun%2Fpg/n')", {"ENGINE": PG, "HOST": "/run/pg"}),
        ("dj_database_url.parse('postgres://u:p@[::1]:5433/n')", {"HOST": "::1", "PORT": "5433"}),
        ("env.db('D', default='psql://h/n')", {"ENGINE": PG, "HOST": "h"}),
        ("env.db(default='psql://h/n')", {"ENGINE": PG, "HOST": "h"}),
        ("env.cache('C', default='rediscache://h:7/1')", {"BACKEND": REDIS}),
        ("env.email('E', default='smtp+tls://u:p@m:26')", {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "m", "EMAIL_PORT": 26}),
        ("env.email('E', default='filemail:///srv/mail')", {"EMAIL_FILE_PATH": "/srv/mail"}),
        ("dj_email_url.parse('smtp://m')", {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "m"}),
        ("django_cache_url.config(default='redis://h')", {"BACKEND": REDIS}),
    ],
)  # fmt: skip
def test_addresses_become_the_tables_of_django(read, call, wanted):
    start = "import dj_database_url, dj_email_url, django_cache_url, environ\nenv = environ.Env()\n"
    got = plain(read(f"{start}X = {call}")[1]["X"])
    assert {key: got[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    "call",
    [
        "dj_database_url.parse('what://h')",
        "dj_database_url.config()",
        "env.db('D')",
        "env.cache('C', default='what://h')",
        "env.email('E', default='what://h')",
    ],
)
def test_an_address_that_is_not_known_stays_unknown(read, call):
    start = "import dj_database_url, environ\nenv = environ.Env()\n"
    assert plain(read(f"{start}X = {call}")[1]["X"]) == "?"


def test_what_settings_demand_of_the_environment_is_kept(read):
    reader, _ = read("import os, environ\nA = os.environ['ONE']\nB = environ.Env()('TWO')")
    assert set(reader.required) == {"ONE", "TWO"}


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
        ("DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'HOST': 'localhost'}}", ("connect", "mysql", "/", True)),
        ("DATABASES = {'default': {'ENGINE': 'django.db.backends.oracle', 'HOST': 'o', 'PORT': 1522}}", ("connect", "oracle", "o", True)),
        ("import os\nDATABASES = os.environ['D']", ("question", "connect.database", None, True)),
        ("import os\nCACHES = os.environ['C']", ("question", "connect.cache", None, True)),
        ("CACHES = {'default': {'BACKEND': 'my.Cache'}}", ("question", "connect.cache", None, True)),
        ("CACHES = {'default': {'BACKEND': 'django.core.cache.backends.filebased.FileBasedCache', 'LOCATION': '/srv/c'}}", ("path", "cache", "/srv/c", True)),
        ("CACHES = {'default': {'BACKEND': 'x.memcached.C', 'LOCATION': 'unix:/run/m.sock'}}", ("connect", "memcached", "/run/m.sock", True)),
        ("SESSION_ENGINE = 'django.contrib.sessions.backends.file'\nSESSION_FILE_PATH = '/srv/s'", ("path", "temporary", "/srv/s", True)),
        ("SESSION_ENGINE = 'redis_sessions.session'\nSESSION_REDIS = {'host': 'r', 'port': 6380}", ("connect", "redis", "r", True)),
        ("CELERY = {'broker_url': 'redis://r/0', 'result_backend': 'db+postgresql://d/n'}", ("connect", "postgresql", "d", True)),
        ("import os\nCELERY_BROKER_URL = os.environ['B']", ("question", "connect.broker", None, True)),
        ("RQ_QUEUES = {'default': {'URL': 'redis://r:6379/0'}}", ("connect", "redis", "r", True)),
        ("RQ_QUEUES = {'default': {'HOST': 'r', 'PORT': 6379}}", ("connect", "redis", "r", True)),
        ("Q_CLUSTER = {'redis': {'host': 'r', 'port': 6379}}", ("connect", "redis", "r", True)),
        ("HUEY = {'connection': {'url': 'redis://r'}}", ("connect", "redis", "r", True)),
        ("CHANNEL_LAYERS = {'default': {'BACKEND': 'channels_rabbitmq.core.RabbitmqChannelLayer'}}", ("connect", "amqp", "", True)),
        ("EMAIL_BACKEND = 'django.core.mail.backends.filebased.EmailBackend'\nEMAIL_FILE_PATH = '/srv/mail'", ("path", "data", "/srv/mail", True)),
        ("AUTHENTICATION_BACKENDS = ['django_auth_ldap.backend.LDAPBackend']", ("connect", "ldap", "", True)),
        ("AUTHENTICATION_BACKENDS = ['social_core.backends.github.GithubOAuth2']", ("connect", "http", "", True)),
        ("LOGGING = {'handlers': {'s': {'class': 'logging.handlers.SysLogHandler'}}}", ("connect", "syslog", "", True)),
        ("LOGGING = {'handlers': {'m': {'class': 'logging.handlers.SMTPHandler'}}}", ("connect", "smtp", "", True)),
        ("import os\nLOGGING = os.environ['L']", ("question", "path.log", None, True)),
        ("HAYSTACK_CONNECTIONS = {'default': {'ENGINE': 'x', 'URL': 'http://solr:8983/'}}", ("connect", "http", "solr", True)),
        ("HAYSTACK_CONNECTIONS = {'default': {'ENGINE': 'x', 'PATH': '/srv/index'}}", ("path", "data", "/srv/index", True)),
        ("WAGTAILSEARCH_BACKENDS = {'default': {'URLS': ['https://e:9200']}}", ("connect", "http", "e", True)),
        ("ELASTICSEARCH_DSL = {'default': {'hosts': [{'host': 'e', 'port': 9200}]}}", ("connect", "http", "e", True)),
        ("INSTALLED_APPS = ['social_django']", ("connect", "http", "", True)),
        ("INSTALLED_APPS = ['django_q']", ("power", "shared-memory", True, True)),
        ("MAILMAN_REST_API_URL = 'http://localhost:8001'", ("connect", "http", "localhost", True)),
        ("SENTRY_DSN = 'https://k@sentry.example/1'", ("connect", "http", "", True)),
        ("import os\nSENTRY_DSN = os.environ.get('SENTRY_DSN', '')", ("connect", "http", "", False)),
        ("import os\nSECRET_KEY = os.environ['K']", ("application", "secret-variable", "K", True)),
        ("X = open('/etc/app/app.ini').read()", ("path", "config", "/etc/app", True)),
        ("X = open('/srv/what').read()", ("question", "path.config", None, True)),
        ("TEMPLATES = [{'DIRS': ['/opt/t']}]", ("path", "code", "/opt/t", True)),
        ("STATIC_URL = 's/'", ("application", "static-url", "/s/", True)),
        ("STORAGES = {'default': {'BACKEND': 'my.Storage'}}", ("question", "connect.storage", None, True)),
        ("STORAGES = {'x': {'BACKEND': 'django.core.files.storage.FileSystemStorage', 'OPTIONS': {'location': '/srv/x'}}}", ("path", "media", "/srv/x", True)),
        ("MEDIA_ROOT = '/srv/m '", ("question", "path.media", None, True)),
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("INSTALLED_APPS = ['compressor']", "set COMPRESS_OFFLINE"),
        ("INSTALLED_APPS = ['django.contrib.gis']", "GDAL"),
        ("SECRET_KEY = 'x'", "the same on every host"),
        ("STATIC_URL = 'https://cdn.example/s/'", "served elsewhere"),
        ("OUR_FOLDER = '/srv/ours'", "/srv/ours: what is it for?"),
        ("LOGGING = {'handlers': {'f': {'class': 'logging.handlers.RotatingFileHandler', 'filename': '/var/log/a/b'}}}", "renames and removes"),
        ("import os\nCACHES = {'default': {'BACKEND': 'x.redis', 'LOCATION': 'redis://h:' + os.environ['P']}}", "needs a [[connect]] with that port"),
    ],
)  # fmt: skip
def test_what_is_no_line_is_told(read, text, words):
    reader, names = read(text)
    assert any(words in str(f.value) for f in needs(reader, names) if f.kind == "note")


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
    "a chain of setdefault": "X = {}\nX" + ".setdefault('a', {})" * 300 + ".update(b=1)",
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
