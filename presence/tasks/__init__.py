"""The tasks of the queue that ASYNC_BACKEND names; both queues find them here by module name.

The other queue is not imported. A site whose own tasks run in Huey, and whose ticks come from
`manage.py presence_sync --every`, has no tasks here.
"""

from __future__ import annotations

from typing import Any

from presence import queues
from presence.conf import conf

answer: Any = None
"""The task with which the doctor asks for a consumer; under Huey alone."""
sync_shard: Any
update_presence: Any
watch_presence: Any

if conf.ASYNC_BACKEND == "huey":
    from huey.contrib.djhuey import HUEY

    from presence.tasks.huey import Tasks

    _tasks = Tasks(HUEY)
    answer = _tasks.answer
    sync_shard = _tasks.sync_shard
    update_presence = _tasks.update_presence
    watch_presence = _tasks.watch_presence
elif queues.celery_installed():
    from presence.tasks.celery import sync_shard, update_presence, watch_presence

__all__ = ["answer", "sync_shard", "update_presence", "watch_presence"]
