"""Settings of the demo site. Every setting of the app, and those below that call `read`, can
come from the environment by its own name, so that anything can be pointed at anything.

Without an environment this is a development site on this machine; with DEBUG=0 it is a
production site, which has to be given its secrets.
"""

import os
from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from project.environment import app_settings, flag, names, read, text

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = read(os.environ, "DEBUG", flag, "1")

# The secrets of centrifugo.json, so that a checkout works without changes.
DEVELOPMENT_SECRETS = {
    "SECRET_KEY": "development-only-secret-key-of-the-demo-site",
    "CENTRIFUGO_API_KEY": "development-only-centrifugo-api-key",
    "CENTRIFUGO_TOKEN_SECRET": "development-only-centrifugo-token-secret",
}


def secret(name: str) -> str:
    """The secret `name`; the one of development stands in for it only while DEBUG is on."""
    value = read(os.environ, name, text, DEVELOPMENT_SECRETS[name] if DEBUG else "")
    if not value:
        raise ImproperlyConfigured(f"With DEBUG off, the environment variable {name} must be set.")
    return value


SECRET_KEY = secret("SECRET_KEY")
ALLOWED_HOSTS = read(os.environ, "ALLOWED_HOSTS", names)
CSRF_TRUSTED_ORIGINS = read(os.environ, "CSRF_TRUSTED_ORIGINS", names)

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "presence",
    "project.documents",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    # Compresses pages, and what WhiteNoise serves without files that were compressed ahead.
    "django.middleware.gzip.GZipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "project.csp.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "project.views.site",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": read(os.environ, "DATABASE_PATH", text, str(BASE_DIR / "demo.sqlite3")),
        # Web, worker and beat share the file: WAL lets them read during a write.
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
# Those that the demo's own pages are translated into: a page never claims another one.
LANGUAGES = [
    ("ar", "العربية"),
    ("de", "Deutsch"),
    ("en", "English"),
    ("es", "Español"),
    ("fr", "Français"),
]
LOCALE_PATHS = [BASE_DIR / "project" / "locale"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}
# Without collectstatic a checkout would have no styles.
WHITENOISE_USE_FINDERS = DEBUG

LOGIN_URL = "front"

LOG_LEVEL = read(os.environ, "LOG_LEVEL", text, "info").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    # Django's own handlers would write each of its lines a second time.
    "loggers": {
        "django": {"level": LOG_LEVEL},
        "presence": {"level": LOG_LEVEL},
        # A handler of its own, as its consumer would add another one.
        "huey": {"level": LOG_LEVEL, "handlers": ["stderr"], "propagate": False},
    },
}

# The app. The demo ticks more often than the app's default, so that one need not wait.
PRESENCE_INTERVAL = 5.0
PRESENCE_WATCH = 1.0
PRESENCE_REDIS_URL = "redis://127.0.0.1:6379/0"
PRESENCE_USER_INFO = "project.people.user_info"
CENTRIFUGO_API_URL = "http://127.0.0.1:8001/api"
CENTRIFUGO_WS_URL = "ws://127.0.0.1:8001/connection/websocket"
globals().update(app_settings(os.environ))
CENTRIFUGO_API_KEY = secret("CENTRIFUGO_API_KEY")
CENTRIFUGO_TOKEN_SECRET = secret("CENTRIFUGO_TOKEN_SECRET")

# The queue that runs the ticks: Celery's worker and beat, or Huey's consumer.
CELERY_BROKER_URL = read(os.environ, "CELERY_BROKER_URL", text, PRESENCE_REDIS_URL)
if read(os.environ, "ASYNC_BACKEND", text) == "huey":
    INSTALLED_APPS.append("huey.contrib.djhuey")
    HUEY = {
        "huey_class": "huey.RedisExpireHuey",
        "name": "demo",
        "url": CELERY_BROKER_URL,
        "immediate": False,  # or else it would be what DEBUG is, and nothing could run the ticks
        "consumer": {"workers": 2},
    }
else:
    INSTALLED_APPS.append("django_celery_beat")
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    "update-presence": {
        "task": "presence.tasks.update_presence",
        "schedule": timedelta(seconds=PRESENCE_INTERVAL),
    },
}
if PRESENCE_WATCH:
    CELERY_BEAT_SCHEDULE["watch-presence"] = {
        "task": "presence.tasks.watch_presence",
        "schedule": timedelta(seconds=PRESENCE_WATCH),
    }
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Shards of a tick go to whichever worker is idle, not into the queue of a busy one.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = TIME_ZONE
