"""Settings of the site of live views."""

from project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.browser.live_pages.urls"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "channels",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "djust",
    "presence",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
PROCESSORS = ["django.template.context_processors.request"]
TEMPLATES = [
    {
        "BACKEND": backend,
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": PROCESSORS},
    }
    for backend in (
        "djust.template_backend.DjustTemplateBackend",
        "django.template.backends.django.DjangoTemplates",
    )
]
ASGI_APPLICATION = "tests.browser.live_pages.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
LIVEVIEW_ALLOWED_MODULES = ["tests.browser.live_pages.views"]
PRESENCE_TIMEOUT = 20.0
PRESENCE_HEARTBEAT = 7.0
