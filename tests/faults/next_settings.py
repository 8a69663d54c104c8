"""Settings of another version of this package, with another schema of what is in Redis."""

from presence.backends import base
from tests.faults.settings import *  # noqa: F403 (as settings are made from settings)

base.SCHEMA += 1
