"""Settings of the demo with receivers of signals, whose beat needs no database."""

from tests.signal_log.settings import *  # noqa: F403 (as settings are made from settings)

CELERY_BEAT_SCHEDULER = "celery.beat:PersistentScheduler"
