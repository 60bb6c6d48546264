"""The table of the entries."""

import django.utils.timezone
from django.db import migrations, models

import entries.models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("message", models.TextField(max_length=2000)),
                (
                    "email",
                    models.EmailField(blank=True, max_length=254, verbose_name="e-mail"),
                ),
                (
                    "photo",
                    models.ImageField(
                        blank=True,
                        upload_to=entries.models.photo_path,
                        verbose_name="photograph",
                    ),
                ),
                (
                    "thumbnail",
                    models.ImageField(
                        blank=True, editable=False, upload_to=entries.models.thumbnail_path
                    ),
                ),
                (
                    "created",
                    models.DateTimeField(
                        db_index=True, default=django.utils.timezone.now, editable=False
                    ),
                ),
            ],
            options={"ordering": ["-created", "-pk"], "verbose_name_plural": "entries"},
        ),
    ]
