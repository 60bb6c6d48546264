"""Settings; what differs between hosts comes from the environment."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("DJANGOSITE_SECRET_KEY", "change-me")
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "djangosite.urls"
WSGI_APPLICATION = "djangosite.wsgi.application"
MEDIA_ROOT = os.environ.get("DJANGOSITE_MEDIA", "/srv/djangosite-media")
MEDIA_URL = "/media/"
# A temporary file that is renamed keeps its label: it is made where it will stay.
FILE_UPLOAD_TEMP_DIR = MEDIA_ROOT
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("DJANGOSITE_DATABASE", "db.example.org"),
        "NAME": "djangosite",
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
