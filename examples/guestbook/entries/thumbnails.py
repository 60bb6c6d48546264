"""Small copies of photographs, made by Pillow."""

from __future__ import annotations

import io
from typing import IO

from django.core.files.base import ContentFile
from PIL import Image, ImageOps

SIZE = (320, 320)


def make(photo: IO[bytes]) -> ContentFile:
    """A JPEG of at most SIZE, turned upright and without the camera's metadata.

    Raises OSError, SyntaxError or ValueError for data that Pillow cannot decode.
    """
    photo.seek(0)
    image = Image.open(photo)
    image.thumbnail(SIZE)
    image = ImageOps.exif_transpose(image).convert("RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image)
    data = io.BytesIO()
    flat.save(data, "JPEG", quality=85)
    photo.seek(0)
    return ContentFile(data.getvalue(), name="thumbnail.jpg")
