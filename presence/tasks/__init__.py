"""The tasks, for the queue that ASYNC_BACKEND names; both find them here by the module's name.

The other one is not imported. A site whose own tasks run in Huey, and whose ticks come from
`manage.py presence_sync --every`, has none of them.
"""

from __future__ import annotations

from typing import Any

from presence.conf import conf
from presence.queues import schedule

sync_channels: Any
sync_shard: Any
update_presence: Any

if conf.ASYNC_BACKEND == "huey":
    from huey.contrib.djhuey import HUEY

    from presence.tasks.huey import Tasks

    tasks = Tasks(HUEY)
    sync_channels = tasks.sync_channels
    sync_shard = tasks.sync_shard
    update_presence = tasks.update_presence
elif schedule.celery_installed():
    from presence.tasks.celery import sync_channels, sync_shard, update_presence

__all__ = ["sync_channels", "sync_shard", "update_presence"]
