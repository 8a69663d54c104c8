"""Checks of the settings one by one: names, types, ranges, patterns."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from inspect import iscoroutinefunction
from typing import Any

from django.conf import global_settings, settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from presence.conf import NAMES, conf
from presence.exceptions import InvalidChannel
from presence.roster import channel_names

MISTAKES = {
    "CENTRIFUGO_URL": "CENTRIFUGO_API_URL",
    "CENTRIFUGO_API_ENDPOINT": "CENTRIFUGO_API_URL",
    "CENTRIFUGO_HTTP_API_KEY": "CENTRIFUGO_API_KEY",
    "CENTRIFUGO_SECRET": "CENTRIFUGO_TOKEN_SECRET",
    "CENTRIFUGO_HMAC_SECRET": "CENTRIFUGO_TOKEN_SECRET",
    "CENTRIFUGO_TOKEN_HMAC_SECRET_KEY": "CENTRIFUGO_TOKEN_SECRET",
    "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY": "CENTRIFUGO_TOKEN_SECRET",
    "CENTRIFUGO_WEBSOCKET_URL": "CENTRIFUGO_WS_URL",
    "REDIS_URL_PRESENCE": "PRESENCE_REDIS_URL",
}
"""Names that other software has for a setting, and our name."""

HOOKS = ("PRESENCE_USER_INFO", "PRESENCE_AUTHORIZE", "PRESENCE_VISIBLE", "PRESENCE_FETCH")


def value(name: str) -> Any:
    """Return the setting `name`; None where it is wrong, which `check_types` reports."""
    try:
        return getattr(conf, name)
    except ImproperlyConfigured:
        return None


def check_types() -> Iterator[checks.CheckMessage]:
    """Check that every setting is of its type and in its range."""
    for name in sorted(NAMES):
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            if name not in str(error):  # the default is another setting, which has its own error
                continue
            what, _, wanted = str(error).partition(": it must be ")
            yield checks.Error(
                what.rstrip(".") + ".",
                hint=f"Set {name} to {wanted or 'a value of its type.'}",
                id="presence.E001",
            )


def check_hooks() -> Iterator[checks.CheckMessage]:
    """Check that no hook is an async function: nothing awaits it."""
    for name in HOOKS:
        hook = value(name)
        # An object may have an async __call__.
        if any(map(iscoroutinefunction, (hook, type(hook).__call__))):
            yield checks.Error(
                f"{name} is an async function, which nothing awaits.",
                hint=f"Make {name} a plain function.",
                id="presence.E011",
            )


def check_names() -> Iterator[checks.CheckMessage]:
    """Check that no setting is misspelt, or has a name that Celery no longer reads."""
    missing = [name for name in NAMES if not hasattr(settings, name)]
    for name in sorted(name for name in dir(settings) if name.isupper() and name not in NAMES):
        ours = name.startswith("PRESENCE_")
        # A name of the site's own is reported if it looks like one of ours that is not set.
        among, cutoff = (NAMES, 0.7) if ours else (missing, 0.82)
        near = [MISTAKES[name]] if MISTAKES.get(name) in among else []
        if not near and not hasattr(global_settings, name):
            near = get_close_matches(name, among, n=1, cutoff=cutoff)
        if not ours and not near:
            continue
        yield checks.Warning(
            f"{name} is not a setting of presence: it changes nothing.",
            hint=f"Did you mean {near[0]}?" if near else "Remove it, or correct its name.",
            id="presence.W001",
        )
    if hasattr(settings, "CELERYBEAT_SCHEDULE"):
        yield checks.Warning(
            "CELERYBEAT_SCHEDULE is a name from before Celery 4.",
            hint="Rename it to CELERY_BEAT_SCHEDULE, and have the Celery application read it with "
            'config_from_object("django.conf:settings", namespace="CELERY").',
            id="presence.W002",
        )


def check_heartbeat() -> Iterator[checks.CheckMessage]:
    """Check that two heartbeats fit into the time-out: one may get lost."""
    every, timeout = value("PRESENCE_HEARTBEAT"), value("PRESENCE_TIMEOUT")
    if every is not None and timeout is not None and 2 * every > timeout:
        yield checks.Warning(
            f"PRESENCE_HEARTBEAT is {every:g} s and PRESENCE_TIMEOUT {timeout:g} s: a "
            "member whose page is a little late is shown as leaving and joining again.",
            hint="Make the heartbeat at most half as long as the time-out.",
            id="presence.W014",
        )


def check_sizes() -> Iterator[checks.CheckMessage]:
    """Check that a shard holds at least one full batch."""
    batch, shard = value("PRESENCE_BATCH_SIZE"), value("PRESENCE_SHARD_SIZE")
    if batch is not None and shard is not None and batch > shard:
        yield checks.Warning(
            f"PRESENCE_BATCH_SIZE is {batch} and PRESENCE_SHARD_SIZE {shard}: no request holds "
            "more channels than a shard has.",
            hint="Make the batch at most as large as the shard.",
            id="presence.W015",
        )


def check_channels() -> Iterator[checks.CheckMessage]:
    """Check that the patterns are valid, and that one matches the default channel."""
    patterns, channel = value("PRESENCE_CHANNELS"), value("PRESENCE_CHANNEL")
    good = []
    for pattern in patterns or ():
        try:
            channel_names.matches(pattern, "")
        except ValueError as error:
            yield checks.Error(
                f"PRESENCE_CHANNELS: {error}.",
                hint="Use *, ?, [a-z], [!a-z] and {a,b}; a backslash before one of these "
                "characters removes its meaning.",
                id="presence.E008",
            )
        else:
            good.append(pattern)
        if channel_names.is_cursor_channel(pattern):
            yield checks.Warning(
                f"PRESENCE_CHANNELS has {pattern!r}, but channels of cursors are never polled.",
                hint="Remove it: the room 'presence:doc:42' has its cursors in 'cursors:doc:42'.",
                id="presence.W013",
            )
    if patterns == ():
        yield checks.Error(
            "PRESENCE_CHANNELS is empty: no channel is ever polled.",
            hint='Set it to ["presence:*"], or leave it out.',
            id="presence.E009",
        )
    if channel is not None:
        yield from _check_default(channel, good)


def _check_default(channel: str, patterns: list[str]) -> Iterator[checks.CheckMessage]:
    try:
        channel_names.validate_channel(channel)
    except InvalidChannel as error:
        yield checks.Error(
            f"PRESENCE_CHANNEL: {error}.",
            hint='Set it to the full name of a channel, such as "presence:site".',
            id="presence.E010",
        )
        return
    if patterns and not any(channel_names.matches(pattern, channel) for pattern in patterns):
        yield checks.Warning(
            f"PRESENCE_CHANNEL is {channel!r}, which no pattern of PRESENCE_CHANNELS matches: a "
            "widget that names no channel stays empty.",
            hint=f"Add {channel!r} to PRESENCE_CHANNELS, or set PRESENCE_CHANNEL to a channel that "
            "matches.",
            id="presence.W003",
        )
