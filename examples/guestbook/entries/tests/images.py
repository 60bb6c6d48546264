"""Images for the tests."""

from __future__ import annotations

import io

from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image


def upload(
    kind: str = "JPEG", size: tuple[int, int] = (800, 400), name: str = "x.jpg", **options: object
) -> SimpleUploadedFile:
    """An image as a browser would send it."""
    data = io.BytesIO()
    Image.new("RGB", size, "teal").save(data, kind, **options)
    return SimpleUploadedFile(name, data.getvalue())


def large_upload() -> SimpleUploadedFile:
    """A PNG too large for Django to keep it in memory."""
    data = io.BytesIO()
    Image.effect_noise((1900, 1900), 120).save(data, "PNG", compress_level=1)
    return SimpleUploadedFile("large.png", data.getvalue())
