"""Settings of the stage: the demo's without the parts that a stage does not need."""

from pathlib import Path

from project.settings import *  # noqa: F403
from project.settings import BASE_DIR, TEMPLATES

HERE = Path(__file__).parent

ROOT_URLCONF = "tests.browser.pages.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "presence",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tests.browser.pages.views.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
OPTIONS = {"context_processors": ["django.template.context_processors.request"]}
STAGE = {**TEMPLATES[0], "DIRS": [HERE / "templates"], "OPTIONS": OPTIONS}
# The second is a site's that overrides parts of the widget.
TEMPLATES = [STAGE, {**STAGE, "NAME": "own", "DIRS": [HERE / "own", HERE / "templates"]}]
# The first has a handlers.js that stands in for the app's.
STATICFILES_DIRS = [HERE / "static", BASE_DIR / "static"]
PRESENCE_CHANNELS = ["presence:*", "chat:*"]
PRESENCE_VISIBLE = "tests.browser.pages.views.visible"
