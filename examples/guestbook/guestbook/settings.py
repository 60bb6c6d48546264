"""Settings of the guest book, for Django 3.2 to 5.2 on Python 3.8 and later.

Each value is looked up in the environment, then in the configuration file, then in
``DEFAULTS``.  The one secret the site needs is read from a file of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

# Put in front of every default path below: a build root, a test folder, a demo folder.
PREFIX = os.environ.get("GUESTBOOK_PREFIX", "").rstrip("/")

DEFAULTS = {
    "GUESTBOOK_ALLOWED_HOSTS": "localhost, 127.0.0.1, [::1]",
    "GUESTBOOK_DEBUG": "no",
    "GUESTBOOK_HTTPS": "yes",
    "GUESTBOOK_TIME_ZONE": "UTC",
    "GUESTBOOK_SECRET_FILE": f"{PREFIX}/etc/guestbook/secret-key",
    "GUESTBOOK_DB_ENGINE": "sqlite",
    "GUESTBOOK_DB_NAME": "guestbook",
    "GUESTBOOK_DB_USER": "guestbook",
    "GUESTBOOK_DB_PASSWORD_FILE": "",
    "GUESTBOOK_DB_HOST": "",
    "GUESTBOOK_DB_PORT": "",
    "GUESTBOOK_MAIL_HOST": "localhost",
    "GUESTBOOK_MAIL_PORT": "25",
    "GUESTBOOK_MAIL_FROM": "guestbook@localhost",
    "GUESTBOOK_PAGE_SIZE": "10",
    "GUESTBOOK_PHOTO_MEGABYTES": "5",
    "GUESTBOOK_LOG_LEVEL": "INFO",
}


def read_conf(path: Path, *, required: bool) -> dict[str, str]:
    """Read the ``KEY=value`` lines of *path*; a missing optional file is an empty one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        if not required:
            return {}
        raise ImproperlyConfigured(f"GUESTBOOK_CONF names {path}, which does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"cannot read the configuration {path}: {error}") from error
    values = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or key not in DEFAULTS:
            raise ImproperlyConfigured(f"{path}:{number}: not a setting of the guest book: {key}")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[key] = value
    return values


CONF_FILE = Path(os.environ.get("GUESTBOOK_CONF") or f"{PREFIX}/etc/guestbook/guestbook.conf")
CONF = read_conf(CONF_FILE, required=bool(os.environ.get("GUESTBOOK_CONF")))


def setting(name: str) -> str:
    """The value of one setting, as written."""
    return os.environ.get(name, CONF.get(name, DEFAULTS[name]))


def flag(name: str) -> bool:
    """The value of a setting that is either on or off."""
    value = setting(name).lower()
    if value not in ("yes", "true", "on", "1", "no", "false", "off", "0"):
        raise ImproperlyConfigured(f"{name} must be yes or no, not {value!r}")
    return value in ("yes", "true", "on", "1")


def number(name: str) -> int:
    """The value of a setting that counts something."""
    value = setting(name)
    if not value.isdecimal() or int(value) < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number above 0, not {value!r}")
    return int(value)


def secret(path: str, purpose: str) -> str:
    """The first line of a secret file, which must exist and hold something."""
    try:
        lines = Path(path).read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"cannot read the {purpose} in {path}: {error}") from error
    if not lines:
        raise ImproperlyConfigured(f"the file of the {purpose}, {path}, is empty")
    return lines[0]


def database() -> dict[str, object]:
    """The database connection: a SQLite file, or PostgreSQL over TCP or a Unix socket."""
    engine = setting("GUESTBOOK_DB_ENGINE")
    if engine == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{PREFIX}/var/lib/guestbook/db/guestbook.sqlite3",
            "OPTIONS": {"timeout": 20},
        }
    if engine != "postgresql":
        raise ImproperlyConfigured(f"GUESTBOOK_DB_ENGINE: sqlite or postgresql, not {engine!r}")
    password_file = setting("GUESTBOOK_DB_PASSWORD_FILE")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": setting("GUESTBOOK_DB_NAME"),
        "USER": setting("GUESTBOOK_DB_USER"),
        "PASSWORD": secret(password_file, "database password") if password_file else "",
        # Empty: the local socket.  A folder: the socket in it.  Anything else: TCP.
        "HOST": setting("GUESTBOOK_DB_HOST"),
        "PORT": setting("GUESTBOOK_DB_PORT"),
        "CONN_MAX_AGE": 60,
    }


SECRET_KEY = os.environ.get("GUESTBOOK_SECRET_KEY") or secret(
    setting("GUESTBOOK_SECRET_FILE"), "secret key"
)
DEBUG = flag("GUESTBOOK_DEBUG")
ALLOWED_HOSTS = [host.strip() for host in setting("GUESTBOOK_ALLOWED_HOSTS").split(",")]

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = flag("GUESTBOOK_HTTPS")
CSRF_COOKIE_HTTPONLY = True
# HSTS and the redirection to HTTPS are left to the web server, which holds the certificate.
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "entries",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "guestbook.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "guestbook.urls"
WSGI_APPLICATION = "guestbook.wsgi.application"
TEST_RUNNER = "entries.tests.runner.TemporaryRootsRunner"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": f"{PREFIX}/var/cache/guestbook",
    }
}

# Relative, so that the site may also live below a path (WSGIScriptAlias /guestbook ...).
STATIC_URL = "static/"
STATIC_ROOT = f"{PREFIX}/usr/share/guestbook/static"
MEDIA_URL = "media/"
MEDIA_ROOT = f"{PREFIX}/var/lib/guestbook/media"
# A large upload is written here and then renamed to its place.  A renamed file keeps its
# SELinux label, so the folder lies within MEDIA_ROOT and has the label of MEDIA_ROOT.
FILE_UPLOAD_TEMP_DIR = f"{MEDIA_ROOT}/.upload"
FILE_UPLOAD_PERMISSIONS = 0o644

EMAIL_BACKEND = f"django.core.mail.backends.{'console' if DEBUG else 'smtp'}.EmailBackend"
EMAIL_HOST = setting("GUESTBOOK_MAIL_HOST")
EMAIL_PORT = number("GUESTBOOK_MAIL_PORT")
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL = SERVER_EMAIL = setting("GUESTBOOK_MAIL_FROM")

LANGUAGE_CODE = "en-gb"
TIME_ZONE = setting("GUESTBOOK_TIME_ZONE")
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "file": {
            # Watched: logrotate may move the file away.  Delayed: a build has no log folder.
            "class": "logging.handlers.WatchedFileHandler",
            "filename": f"{PREFIX}/var/log/guestbook/guestbook.log",
            "formatter": "line",
            "encoding": "utf-8",
            "delay": True,
        }
    },
    "root": {"handlers": ["file"], "level": setting("GUESTBOOK_LOG_LEVEL")},
}

# The guest book's own.
ENTRIES_PER_PAGE = number("GUESTBOOK_PAGE_SIZE")
ENTRIES_PHOTO_BYTES = number("GUESTBOOK_PHOTO_MEGABYTES") * 1024 * 1024
