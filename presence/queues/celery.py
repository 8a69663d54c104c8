"""The broker of the project's Celery application, for whoever must not wait for it long.

Can be imported where Celery is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from presence import queues
from presence.queues import schedule

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["POLL", "CeleryBroker", "project_app"]

POLL: Final = "presence.tasks.sync_channels"
"""Name of the task that polls some channels."""

_app: Celery | None = None


def project_app() -> Celery | None:
    """The project's Celery application, kept from the first call that finds it; else None.

    None where Celery is not what runs the tick.

    Celery knows the current application by thread: most threads of a web server are given one
    that it makes up, which knows no broker. So the thread that sets Django up calls this, too.
    """
    global _app
    if queues.chosen() != "celery":
        return None
    if _app is None and (current := schedule.project_app()):
        _app = current._get_current_object()  # type: ignore[attr-defined]
    return _app


class CeleryBroker:
    """Asks for polls, through a connection of its own; for one thread at a time.

    Celery's pool would try again and wait as the site's settings say; this gives up after
    `timeout` seconds to connect, or for a reply. Nothing connects before the first `send`.
    """

    def __init__(self, app: Celery, *, timeout: float) -> None:
        self._app = app
        self._timeout = timeout
        self._connection: Any = None

    def send(self, *channels: str, worth: float, after: float = 0.0) -> None:
        """Have the channels polled in `after` seconds, or up to `worth` seconds from now.

        Raises what the client library does, kombu.exceptions.OperationalError as a rule.
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
        """Let go of the connection; the next `send` makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()
