"""A description that ``init`` made, with nothing open, passes ``check`` as it stands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wsgi_sepkg import cli

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("checkmodule"), reason="checkmodule is not installed"),
]

SETTINGS = """\
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
STATE = Path(os.environ.get("NOTES_STATE", "/var/lib/notes"))
WSGI_APPLICATION = "notes.wsgi.application"
INSTALLED_APPS = ["django.contrib.staticfiles"]
STATIC_ROOT = BASE_DIR / "static"
STATIC_URL = "static/"
MEDIA_ROOT = STATE / "media"
MEDIA_URL = "media/"
FILE_UPLOAD_TEMP_DIR = MEDIA_ROOT / ".upload"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "HOST": "db.example.org"}}
if os.environ.get("NOTES_SQLITE"):
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": STATE / "db" / "n.db"}}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": "cache.example.org:11211",
    }
}
EMAIL_HOST = "mail.example.org"
SECRET_KEY = open("/etc/notes/secret-key").read()
LOGGING = {
    "version": 1,
    "handlers": {
        "file": {
            "class": "logging.handlers.WatchedFileHandler",
            "filename": "/var/log/notes/notes.log",
        },
        "syslog": {"class": "logging.handlers.SysLogHandler"},
    },
}
"""


def test_what_init_writes_passes_check(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "notes").mkdir(parents=True)
    entry = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'notes.settings')\n"
    for name, text in {
        "manage.py": entry,
        "notes/__init__.py": "",
        "notes/wsgi.py": f"{entry}application = print\n",
        "notes/settings.py": SETTINGS,
    }.items():
        (folder / name).write_text(text)
    words = ["init", str(folder), "--no-input", "-a", "project.license=MIT"]
    words += ["-a", "project.maintainer=Example Ltd <packages@example.org>"]
    made = CliRunner().invoke(cli.app, [*words, "-a", "project.targets=debian-12"])
    assert made.exit_code == 0, made.output
    checked = CliRunner().invoke(cli.app, ["check", str(folder), "--target", "debian-12", "-v"])
    assert checked.exit_code == 0, checked.output
    for named in ("notes_media_t", "notes_secret_t", "notes_log_t", "memcache_port_t"):
        assert named in checked.output
