"""The entries of the guest book."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import PurePosixPath

from django.db import models, transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from entries import pages


def _random_path(folder: str, filename: str) -> str:
    """A name nobody can guess or choose, of which only the suffix is the caller's."""
    suffix = PurePosixPath(filename).suffix.lower()
    return f"{folder}/{timezone.now():%Y/%m}/{uuid.uuid4().hex}{suffix}"


def photo_path(_entry: Entry, filename: str) -> str:
    """Where a photograph goes below MEDIA_ROOT."""
    return _random_path("photos", filename)


def thumbnail_path(_entry: Entry, filename: str) -> str:
    """Where a thumbnail goes below MEDIA_ROOT."""
    return _random_path("thumbnails", filename)


class Entry(models.Model):
    """What one guest left behind."""

    name = models.CharField(max_length=80)
    message = models.TextField(max_length=2000)
    email = models.EmailField("e-mail", blank=True)
    photo = models.ImageField("photograph", blank=True, upload_to=photo_path)
    thumbnail = models.ImageField(blank=True, editable=False, upload_to=thumbnail_path)
    created = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    class Meta:
        ordering = ["-created", "-pk"]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.name}, {self.created:%Y-%m-%d}"


@receiver(post_save, sender=Entry)
@receiver(post_delete, sender=Entry)
def forget_pages(**_kwargs: object) -> None:
    """Have the list built anew once the change can be seen by everybody."""
    transaction.on_commit(pages.forget)


@receiver(post_delete, sender=Entry)
def delete_files(instance: Entry, **_kwargs: object) -> None:
    """Delete the photograph and its thumbnail together with the entry."""
    for file in (instance.photo, instance.thumbnail):
        if file:
            transaction.on_commit(partial(file.storage.delete, file.name))
