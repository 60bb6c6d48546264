"""The form guests sign with."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from entries import thumbnails
from entries.models import Entry

# The suffix of the stored file follows from its content, never from the guest's file name:
# the web server derives the content type from it.
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
MAX_PIXELS = 40_000_000


class PhotoField(forms.ImageField):
    """An uploaded image of a known format and reasonable size, which Pillow has verified."""

    def to_python(self, data: UploadedFile | None) -> UploadedFile | None:
        if data and data.size > settings.ENTRIES_PHOTO_BYTES:
            limit = filesizeformat(settings.ENTRIES_PHOTO_BYTES)
            raise ValidationError(f"This file is too large: the limit is {limit}.", "size")
        photo = super().to_python(data)  # Pillow's verify() is called here.
        if photo is None:
            return None
        if photo.image.format not in SUFFIXES:
            raise ValidationError("Please choose a JPEG, PNG or WebP image.", "format")
        if photo.image.width * photo.image.height > MAX_PIXELS:
            raise ValidationError("This image has too many pixels.", "pixels")
        photo.name = f"photo{SUFFIXES[photo.image.format]}"
        return photo


class EntryForm(forms.ModelForm):
    """Name, message and what else a guest likes to leave."""

    thumbnail: ContentFile | None = None

    class Meta:
        model = Entry
        fields = ["name", "message", "email", "photo"]
        field_classes = {"photo": PhotoField}
        help_texts = {
            "email": "Not shown to anybody. We send you a word of thanks.",
            "photo": "JPEG, PNG or WebP. Published unchanged, with any place the camera noted.",
        }
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
            "message": forms.Textarea(attrs={"rows": 6}),
            "email": forms.EmailInput(
                attrs={"autocomplete": "email", "aria-describedby": "id_email_helptext"}
            ),
            "photo": forms.FileInput(
                attrs={
                    "accept": "image/jpeg,image/png,image/webp",
                    "aria-describedby": "id_photo_helptext",
                }
            ),
        }

    def clean_photo(self) -> UploadedFile | None:
        """Make the thumbnail now: only decoding all of an image shows that it is whole."""
        photo = self.cleaned_data["photo"]
        if photo:
            try:
                self.thumbnail = thumbnails.make(photo)
            except (OSError, SyntaxError, ValueError) as error:
                raise ValidationError("This image is damaged.", "damaged") from error
        return photo

    def save(self, commit: bool = True) -> Entry:
        if self.thumbnail is not None:
            self.instance.thumbnail = self.thumbnail
        return super().save(commit)
