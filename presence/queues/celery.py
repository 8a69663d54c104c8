"""The project's Celery: its application, and a broker with short time-outs.

Can be imported where Celery is not installed; imports it only where the project has.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from presence import queues

if TYPE_CHECKING:
    from celery import Celery

POLL: Final = "presence.tasks.sync_channels"
"""Name of the task that polls some channels."""
TICK: Final = "presence.tasks.update_presence"
"""Name of the task that beat has to send."""

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


class CeleryBroker:
    """Sends polls through a connection of its own; for one thread at a time.

    Celery's own pool retries and waits as the site's settings say. This one gives up after
    `timeout` seconds to connect, or for a reply. Nothing connects before the first `send`.
    """

    def __init__(self, app: Celery, *, timeout: float) -> None:
        self._app = app
        self._timeout = timeout
        self._connection: Any = None

    def send(self, *channels: str, worth: float, after: float = 0.0) -> None:
        """Have the channels polled in `after` seconds, or up to `worth` seconds from now.

        Raises the errors of the client library, usually kombu.exceptions.OperationalError.
        """
        if self._connection is None:
            self._connection = self._app.connection_for_write(
                connect_timeout=self._timeout,
                transport_options={
                    "max_retries": 0,
                    "socket_timeout": self._timeout,
                    "socket_connect_timeout": self._timeout,
                },
            )
        self._app.send_task(
            POLL,
            (list(channels),),
            countdown=after or None,
            expires=worth,
            ignore_result=True,
            retry=False,
            connection=self._connection,
        )

    def close(self) -> None:
        """Close the connection; the next `send` opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()
