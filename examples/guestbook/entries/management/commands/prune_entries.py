"""``manage.py prune_entries --days N``: delete old entries and their photographs."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from datetime import timedelta

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from entries.models import Entry

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Deletes entries older than a number of days, with their photographs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, required=True, help="age in days, at least 1")
        parser.add_argument("--dry-run", action="store_true", help="only count the entries")

    def handle(self, *, days: int, dry_run: bool, **_options: object) -> None:
        if not 1 <= days <= 36500:
            raise CommandError("--days must lie between 1 and 36500")
        old = Entry.objects.filter(created__lt=timezone.now() - timedelta(days=days))
        with transaction.atomic():
            count = old.count() if dry_run else old.delete()[1].get("entries.Entry", 0)
        if not dry_run:
            logger.info("%d entries older than %d days deleted", count, days)
        self.stdout.write(f"{count} entries {'would be ' if dry_run else ''}deleted")
