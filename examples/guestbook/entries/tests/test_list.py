"""The list, its cache, and what surrounds every page."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management import call_command
from django.test import TestCase, override_settings
from django.urls import reverse

from entries.models import Entry


class ListTest(TestCase):
    def setUp(self) -> None:
        cache.clear()

    def test_newest_first_in_pages(self) -> None:
        for number in range(5):
            Entry.objects.create(name=f"Guest {number}", message="Hello")
        first = self.client.get(reverse("list"))
        self.assertContains(first, "Page 1 of 2")
        self.assertContains(first, "Guest 4")
        self.assertNotContains(first, "Guest 1")
        self.assertContains(self.client.get(reverse("list") + "?page=2"), "Guest 0")

    def test_no_such_page(self) -> None:
        for page in ("0", "2", "-1", "x"):
            with self.subTest(page=page):
                assert self.client.get(f"/?page={page}").status_code == 404

    def test_what_guests_write_is_escaped(self) -> None:
        Entry.objects.create(name="<b>x</b>", message="<script>")
        response = self.client.get(reverse("list"))
        self.assertContains(response, "&lt;script&gt;")
        self.assertNotContains(response, "<b>")

    def test_second_request_comes_from_the_cache(self) -> None:
        Entry.objects.create(name="Ada", message="Hello")
        self.client.get(reverse("list"))
        with self.assertNumQueries(0):
            self.assertContains(self.client.get(reverse("list")), "Ada")
        assert list(Path(settings.CACHES["default"]["LOCATION"]).glob("*.djcache"))

    def test_a_change_renews_the_list(self) -> None:
        self.client.get(reverse("list"))
        with self.captureOnCommitCallbacks(execute=True):
            entry = Entry.objects.create(name="Ada", message="Hello")
        self.assertContains(self.client.get(reverse("list")), "Ada")
        with self.captureOnCommitCallbacks(execute=True):
            entry.delete()
        self.assertNotContains(self.client.get(reverse("list")), "Ada")

    def test_security_headers(self) -> None:
        response = self.client.get(reverse("list"))
        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert response["X-Frame-Options"] == "DENY"
        self.assertNotContains(response, "<script")
        self.assertNotContains(response, "style=")


class SiteTest(TestCase):
    def test_collectstatic(self) -> None:
        call_command("collectstatic", interactive=False, verbosity=0)
        for name in ("entries/guestbook.css", "entries/book.svg", "admin/css/base.css"):
            assert (Path(settings.STATIC_ROOT) / name).is_file(), name

    def test_migrations_are_complete(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)

    @override_settings(SECRET_KEY="0123456789abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQ")
    def test_deployment_check(self) -> None:
        call_command("check", deploy=True, fail_level="WARNING", verbosity=0)

    def test_admin(self) -> None:
        entry = Entry.objects.create(name="Ada", message="Helo")
        address = reverse("admin:entries_entry_change", args=[entry.pk])
        assert self.client.get(address).status_code == 302
        self.client.force_login(get_user_model().objects.create_superuser("root"))
        self.assertContains(self.client.get(reverse("admin:entries_entry_changelist")), "Ada")
        data = {"name": "Ada", "message": "Hello", "email": ""}
        assert self.client.post(address, data).status_code == 302
        entry.refresh_from_db()
        assert entry.message == "Hello"
        assert self.client.get(reverse("admin:entries_entry_add")).status_code == 403
