"""The test runner: no test reads or writes what the installed site uses."""

from __future__ import annotations

import copy
import logging.config
import tempfile
from pathlib import Path

from django.conf import settings
from django.test import override_settings
from django.test.runner import DiscoverRunner


class TemporaryRootsRunner(DiscoverRunner):
    """Runs the tests with every writable root in a folder that is then deleted."""

    def run_tests(self, *args: object, **kwargs: object) -> int:
        self.parallel = 0  # The tests share one cache and one log.
        with tempfile.TemporaryDirectory(prefix="guestbook-tests-") as folder:
            root = Path(folder)
            (root / "media/.upload").mkdir(parents=True)
            caches = copy.deepcopy(settings.CACHES)
            caches["default"]["LOCATION"] = str(root / "cache")
            log = copy.deepcopy(settings.LOGGING)
            log["handlers"]["file"]["filename"] = str(root / "guestbook.log")
            logging.config.dictConfig(log)
            with override_settings(
                CACHES=caches,
                LOGGING=log,
                MEDIA_ROOT=str(root / "media"),
                FILE_UPLOAD_TEMP_DIR=str(root / "media/.upload"),
                STATIC_ROOT=str(root / "static"),
                ENTRIES_PER_PAGE=3,
                ENTRIES_PHOTO_BYTES=5 * 1024 * 1024,
            ):
                return super().run_tests(*args, **kwargs)
