"""Signing: the form, photographs and thumbnails, the mail, the log; and pruning."""

from __future__ import annotations

import io
import os
import re
import stat
from datetime import timedelta
from pathlib import Path
from unittest import mock

from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import TestCase, override_settings
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from entries.models import Entry
from entries.tests.images import large_upload, upload


class SignTestCase(TestCase):
    def setUp(self) -> None:
        cache.clear()

    def sign(self, **data: object) -> HttpResponse:
        data = {"name": "Ada", "message": "A fine place.", **data}
        return self.client.post(reverse("sign"), data)

    def assert_refused(self, text: str, **data: object) -> None:
        response = self.sign(**data)
        self.assertContains(response, 'role="alert"')
        self.assertContains(response, text)
        assert not Entry.objects.exists()


class FormTest(SignTestCase):
    def test_form_is_labelled(self) -> None:
        response = self.client.get(reverse("sign"))
        for name in ("name", "message", "email", "photo"):
            self.assertContains(response, f'<label for="id_{name}">')
        self.assertContains(response, "csrfmiddlewaretoken")

    def test_entry_without_photograph(self) -> None:
        self.assertRedirects(self.sign(), reverse("list"), fetch_redirect_response=False)
        self.assertContains(self.client.get(reverse("list")), "Your entry is in the book")
        entry = Entry.objects.get()
        assert (entry.name, entry.message) == ("Ada", "A fine place.")
        assert [entry.photo.name, entry.thumbnail.name, mail.outbox] == ["", "", []]

    def test_missing_and_bad_fields(self) -> None:
        self.assert_refused("This field is required", name="")
        self.assert_refused("Enter a valid email address", email="nobody")

    def test_thank_you_mail(self) -> None:
        self.sign(email="ada@example.org")
        assert [message.to for message in mail.outbox] == [["ada@example.org"]]
        assert mail.outbox[0].from_email == settings.DEFAULT_FROM_EMAIL
        assert "A fine place." not in mail.outbox[0].body

    def test_entry_stands_when_the_mail_server_is_away(self) -> None:
        with mock.patch("entries.mail.send_mail", side_effect=ConnectionRefusedError):
            self.assertRedirects(self.sign(email="ada@example.org"), reverse("list"))
        log = Path(settings.LOGGING["handlers"]["file"]["filename"]).read_text("utf-8")
        assert f"no mail could be sent for entry {Entry.objects.get().pk}" in log

    def test_log_survives_rotation(self) -> None:
        path = Path(settings.LOGGING["handlers"]["file"]["filename"])
        self.sign()
        path.rename(path.with_suffix(".1"))
        self.sign()
        signed = f"INFO entries.views: entry {Entry.objects.latest('pk').pk} signed"
        assert signed in path.read_text("utf-8")


class PhotoTest(SignTestCase):
    def test_photograph_and_thumbnail(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # Orientation: the camera was held upright.
        self.sign(photo=upload(name="../../evil.html", exif=exif))
        entry = Entry.objects.get()
        assert re.search(r"^photos/\d{4}/\d\d/[0-9a-f]{32}\.jpg$", entry.photo.name)
        assert re.search(r"^thumbnails/\d{4}/\d\d/[0-9a-f]{32}\.jpg$", entry.thumbnail.name)
        assert (entry.photo.width, entry.photo.height) == (800, 400)
        with Image.open(entry.thumbnail.path) as thumbnail:
            assert (thumbnail.format, thumbnail.size) == ("JPEG", (160, 320))
            assert not thumbnail.getexif()
        self.assertContains(self.client.get(reverse("list")), entry.thumbnail.url)

    def test_transparency_becomes_white(self) -> None:
        data = io.BytesIO()
        Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(data, "PNG")
        self.sign(photo=SimpleUploadedFile("clear.png", data.getvalue()))
        with Image.open(Entry.objects.get().thumbnail.path) as thumbnail:
            assert thumbnail.getpixel((20, 20)) == (255, 255, 255)

    def test_large_upload_is_renamed_into_place(self) -> None:
        waiting = Path(settings.FILE_UPLOAD_TEMP_DIR)
        with mock.patch("os.rename", wraps=os.rename) as rename:
            self.sign(photo=large_upload())
        photo = Path(Entry.objects.get().photo.path)
        [source] = [call[0][0] for call in rename.call_args_list if Path(call[0][1]) == photo]
        assert Path(source).parent == waiting
        assert stat.S_IMODE(photo.stat().st_mode) == 0o644
        assert list(waiting.iterdir()) == []

    def test_refused_photographs(self) -> None:
        with override_settings(ENTRIES_PHOTO_BYTES=1000):
            self.assert_refused("This file is too large", photo=upload())
        self.assert_refused("Upload a valid image", photo=SimpleUploadedFile("x.png", b"no"))
        self.assert_refused("JPEG, PNG or WebP", photo=upload("GIF", name="x.gif"))
        with mock.patch("entries.forms.MAX_PIXELS", 1000):
            self.assert_refused("too many pixels", photo=upload())
        cut = SimpleUploadedFile("cut.jpg", upload().read()[:-500])
        self.assert_refused("damaged", photo=cut)


class PruneTest(SignTestCase):
    def test_old_entries_go_with_their_files(self) -> None:
        self.sign(name="Old", photo=upload())
        self.sign(name="New", photo=upload())
        old, new = Entry.objects.get(name="Old"), Entry.objects.get(name="New")
        Entry.objects.filter(pk=old.pk).update(created=timezone.now() - timedelta(days=31))
        out = io.StringIO()
        call_command("prune_entries", "--days", "30", "--dry-run", stdout=out)
        assert Entry.objects.count() == 2
        with self.captureOnCommitCallbacks(execute=True):
            call_command("prune_entries", "--days", "30", stdout=out)
        assert out.getvalue() == "1 entries would be deleted\n1 entries deleted\n"
        assert Entry.objects.get() == new
        for entry, kept in ((old, False), (new, True)):
            assert Path(entry.photo.path).exists() is kept
            assert Path(entry.thumbnail.path).exists() is kept

    def test_days_must_make_sense(self) -> None:
        for arguments in (["--days", "0"], []):
            with self.subTest(arguments=arguments), self.assertRaises(CommandError):  # noqa: PT027
                call_command("prune_entries", *arguments)
