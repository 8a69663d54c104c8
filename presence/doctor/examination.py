"""All parts of the doctor, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from traceback import format_exception

import msgspec
from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from presence.checks import TAG
from presence.checks.connections import NOT_SHARED
from presence.checks.huey import NO_COMMAND, NO_CONSUMER, NO_HUEY
from presence.checks.site import NO_APP, NO_ENTRY, NO_URLS
from presence.conf import masked
from presence.doctor import (
    celery,
    centrifugo,
    clocks,
    cursors,
    hooks,
    huey,
    redis,
    templates,
    ticks,
    websocket,
)
from presence.doctor.findings import Finding, Findings, Level, ok, problem, skipped

GRAVE = (NO_URLS, NOT_SHARED)
"""Warnings that are reported as problems, as they make every page wrong."""

LOOKED_INTO = (NO_APP, NO_ENTRY, NO_COMMAND, NO_CONSUMER, NO_HUEY)
"""Warnings that a part of the doctor checks in more detail."""

logger = logging.getLogger("presence.doctor")


def settings() -> Findings:
    """Run the system checks, without those that the doctor checks itself."""
    found = [
        message
        for message in checks.run_checks(tags=[TAG])
        if not message.is_silenced() and message.id not in LOOKED_INTO
    ]
    for message in found:
        grave = message.level >= checks.ERROR or message.id in GRAVE
        level: Level = "problem" if grave else "warning"
        yield Finding(str(message.id), level, str(message.msg), str(message.hint or ""))
    if not found:
        silenced = len(django_settings.SILENCED_SYSTEM_CHECKS)
        but = f", but for {silenced} silenced checks" if silenced else ""
        yield ok("settings", f"The settings are well formed{but}")


PARTS: dict[str, Callable[[], Findings]] = {
    "clocks": clocks.examine,
    "settings": settings,
    "templates": templates.examine,
    "hooks": hooks.examine,
    "redis": redis.examine,
    "centrifugo": centrifugo.examine,
    "cursors": cursors.examine,
    "websocket": websocket.examine,
    "celery": celery.examine,
    "huey": huey.examine,
    "ticks": ticks.examine,
}


def examine() -> Findings:
    """Yield the findings of every part, without secrets. Never raises."""
    for name, part in PARTS.items():
        for finding in _guarded(name, part):
            yield msgspec.structs.replace(
                finding, text=masked(finding.text), remedy=masked(finding.remedy)
            )


def _guarded(name: str, part: Callable[[], Findings]) -> Findings:
    try:
        yield from part()
    except ImproperlyConfigured as error:
        yield skipped(name, f"{str(error).partition(' is ')[0]} is wrong")
    except Exception as error:  # one broken part must not hide the findings of the others
        logger.debug("part=%s failed\n%s", name, masked("".join(format_exception(error))))
        yield problem(
            name,
            f"This part could not be checked: {type(error).__name__}: {error}",
            "Correct the cause; logging presence.doctor at level DEBUG shows the traceback.",
        )
