"""Settings of the example; in a project of your own, add ``shop`` to INSTALLED_APPS and set ONEC_SECRET."""

import os

SECRET_KEY = os.environ.get("DJANGO_SECRET", "only for trying it out")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DJANGO_DATABASE", "shop.sqlite3"),
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}

ONEC_SECRET = os.environ.get("ONEC_SECRET", "").encode()
"""What is in the file of ``--import-secret``, without the line end."""
