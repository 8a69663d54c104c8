"""Settings of the demo, with this app."""

from project.settings import *  # noqa: F403 (as settings are made from settings)
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.signal_log"]
