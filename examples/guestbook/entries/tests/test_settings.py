"""The settings module, read anew with an environment of the test's own."""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from unittest import mock

from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase

PROJECT = Path(__file__).parents[2]


class SettingsTest(SimpleTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.prefix = Path(folder.name)
        self.etc = self.prefix / "etc/guestbook"
        self.etc.mkdir(parents=True)
        (self.etc / "secret-key").write_text("from the file\n")

    def read(self, conf: str = "", **variables: str) -> dict[str, object]:
        (self.etc / "guestbook.conf").write_text(conf)
        environment = {"GUESTBOOK_PREFIX": str(self.prefix), **variables}
        with mock.patch.dict(os.environ, environment, clear=True):
            return runpy.run_path(str(PROJECT / "guestbook/settings.py"))

    def refuse(self, pattern: str, conf: str = "", **variables: str) -> None:
        with self.assertRaisesRegex(ImproperlyConfigured, pattern):  # noqa: PT027
            self.read(conf, **variables)

    def test_defaults_are_safe(self) -> None:
        values = self.read()
        assert values["DEBUG"] is False
        assert values["SESSION_COOKIE_SECURE"] is True
        assert values["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
        assert (values["EMAIL_HOST"], values["EMAIL_PORT"]) == ("localhost", 25)

    def test_without_prefix(self) -> None:
        values = self.read(GUESTBOOK_PREFIX="", GUESTBOOK_SECRET_KEY="x")
        assert values["MEDIA_ROOT"] == "/var/lib/guestbook/media"
        assert values["FILE_UPLOAD_TEMP_DIR"] == "/var/lib/guestbook/media/.upload"
        assert values["STATIC_ROOT"] == "/usr/share/guestbook/static"
        assert values["DATABASES"]["default"]["NAME"] == "/var/lib/guestbook/db/guestbook.sqlite3"
        assert values["CACHES"]["default"]["LOCATION"] == "/var/cache/guestbook"
        assert (
            values["LOGGING"]["handlers"]["file"]["filename"] == "/var/log/guestbook/guestbook.log"
        )

    def test_secret_key(self) -> None:
        assert self.read()["SECRET_KEY"] == "from the file"
        assert self.read(GUESTBOOK_SECRET_KEY="variable")["SECRET_KEY"] == "variable"
        self.refuse("cannot read the secret key in /nowhere", GUESTBOOK_SECRET_FILE="/nowhere")
        (self.etc / "secret-key").write_text("\n")
        self.refuse("is empty")

    def test_configuration_file(self) -> None:
        conf = "# comment\n\nGUESTBOOK_MAIL_HOST = 'mail.example.org'\nGUESTBOOK_HTTPS=no\n"
        values = self.read(conf)
        assert values["EMAIL_HOST"] == "mail.example.org"
        assert values["CSRF_COOKIE_SECURE"] is False
        assert self.read(conf, GUESTBOOK_MAIL_HOST="mx")["EMAIL_HOST"] == "mx"
        self.refuse(r"guestbook\.conf:1: not a setting", "GUESTBOOK_COLOUR=red\n")
        self.refuse("GUESTBOOK_HTTPS must be yes or no", "GUESTBOOK_HTTPS=maybe\n")
        self.refuse("whole number", "GUESTBOOK_PAGE_SIZE=0\n")
        self.refuse("/nowhere, which does not exist", GUESTBOOK_CONF="/nowhere")

    def test_sample_shows_every_default(self) -> None:
        sample = PROJECT / "etc/guestbook.conf"
        if not sample.exists():
            self.skipTest("installed elsewhere")
        lines = [line[1:] for line in sample.read_text("utf-8").splitlines() if line[:2] == "#G"]
        shown = dict(line.split("=", 1) for line in lines)
        values = self.read("\n".join(lines), GUESTBOOK_SECRET_KEY="x", GUESTBOOK_PREFIX="")
        expected = {k: v for k, v in values["DEFAULTS"].items() if k != "GUESTBOOK_DEBUG"}
        assert shown == expected

    def test_postgresql(self) -> None:
        (self.etc / "db").write_text("s3cret\n")
        conf = (
            "GUESTBOOK_DB_ENGINE=postgresql\nGUESTBOOK_DB_HOST=db.example.org\n"
            f"GUESTBOOK_DB_PORT=5433\nGUESTBOOK_DB_PASSWORD_FILE={self.etc}/db\n"
        )
        database = self.read(conf)["DATABASES"]["default"]
        assert database["ENGINE"] == "django.db.backends.postgresql"
        assert (database["HOST"], database["PORT"]) == ("db.example.org", "5433")
        assert (database["USER"], database["PASSWORD"]) == ("guestbook", "s3cret")
        database = self.read("GUESTBOOK_DB_ENGINE=postgresql\n")["DATABASES"]["default"]
        assert (database["HOST"], database["PASSWORD"]) == ("", "")
        self.refuse("sqlite or postgresql", "GUESTBOOK_DB_ENGINE=oracle\n")
