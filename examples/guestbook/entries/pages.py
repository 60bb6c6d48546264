"""The pages of the list, kept in Django's cache."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.core.paginator import Paginator

if TYPE_CHECKING:
    from entries.models import Entry

_GENERATION = "entries:generation"


class EntryPage(NamedTuple):
    """One page of the list, newest entry first."""

    number: int
    last: int
    entries: list[Entry]


def get(number: int) -> EntryPage:
    """Page *number*, from the cache if it is there; raises InvalidPage beyond the last one."""
    # The generation is part of the key and is read before the database, so a page built
    # while an entry is being saved is stored under a key that nobody asks for any more.
    generation = cache.get_or_set(_GENERATION, lambda: uuid.uuid4().hex, None)
    key = f"entries:page:{generation}:{number}"
    page = cache.get(key)
    if page is None:
        entries = apps.get_model("entries", "Entry").objects.all()
        found = Paginator(entries, settings.ENTRIES_PER_PAGE).page(number)
        page = EntryPage(number, found.paginator.num_pages, list(found))
        cache.set(key, page, 300)
    return page


def forget() -> None:
    """Leave every cached page behind."""
    cache.set(_GENERATION, uuid.uuid4().hex, None)
