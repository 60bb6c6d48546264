"""The guest book in Django's admin site."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from entries.models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    """Entries can be corrected and removed here, but are only added by guests."""

    list_display = ["name", "created", "email", "photo"]
    list_filter = ["created"]
    search_fields = ["name", "message", "email"]
    readonly_fields = ["photo", "created"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
