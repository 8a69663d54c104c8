"""Django's system checks of a set-up, without a request to any server.

`presence.doctor` asks the servers. Each id is explained in docs/doctor.md.
"""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, register

from presence.conf import masked

TAG = "presence"


def register_all() -> None:
    """Register the checks with Django, once per process."""
    register(_check, TAG)


def _check(**_: Any) -> list[CheckMessage]:
    # Imported here: they load the backend and the signing of tokens, which django.setup() does not
    # need.
    from presence.checks import connections, huey, site, values

    checks = (
        values.check_types,
        values.check_hooks,
        values.check_names,
        values.check_channels,
        values.check_heartbeat,
        values.check_sizes,
        connections.check_centrifugo,
        connections.check_websocket,
        connections.check_store,
        site.check_project,
        site.check_user_names,
        site.check_celery,
        huey.check_huey,
    )
    messages = [message for check in checks for message in check()]
    for message in messages:
        message.msg = masked(message.msg)
        message.hint = masked(message.hint) if message.hint else message.hint
    return messages
