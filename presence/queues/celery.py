"""The Celery application of the project, and the names of the tasks that beat sends.

Can be imported where Celery is not installed; imports it only where the project has.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from presence import queues

if TYPE_CHECKING:
    from celery import Celery

TICK: Final = "presence.tasks.update_presence"
"""Name of the task that beat has to send every interval."""
WATCH: Final = "presence.tasks.watch_presence"
"""Name of the task that beat has to send every PRESENCE_WATCH seconds."""

_app: Celery | None = None


def project_app() -> Celery | None:
    """Return the Celery application that importing the project made; None if there is none.

    None, too, where Celery does not run the tick, and where no package imports the application of
    the project: then shared tasks belong to one that Celery makes up, which knows no broker.

    Celery makes up such an application for each thread that did not import the project, as most
    threads of a web server. So the application is kept from the first call that finds it, and
    AppConfig.ready makes one, in the thread that sets Django up.
    """
    global _app
    # Without the module nobody has made an application, and starting Django does without Celery.
    if queues.chosen() != "celery" or "celery" not in sys.modules:
        return None
    if _app is None:
        from celery import current_app

        if current_app.main != "default":
            _app = current_app._get_current_object()  # type: ignore[attr-defined]
    return _app
