"""The objects that the settings describe: one of each per process, made at first use.

What is imported within functions loads a client of Redis or Centrifugo, or the whole sync: starting
Django needs none of it.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from presence import signals
from presence.backends import BACKENDS, make_store
from presence.backends.base import RosterStore
from presence.backends.tracker import Tracker
from presence.centrifugo.coalescer import Coalescer
from presence.conf import conf, hooks
from presence.transport.redaction import Redactor, shown

if TYPE_CHECKING:
    from presence.centrifugo.gateway import Gateway
    from presence.sync.context import LastLook, MakeExecutor, Options, RosterCache
    from presence.sync.tick import Sync

MARGIN = 60.0
"""Seconds, more than Centrifugo keeps a connection whose token has expired."""
FLUSH_TIMEOUT = 0.5
"""Seconds for which a process that ends waits until the outbox is empty."""


class _Parts(NamedTuple):
    store: RosterStore
    gateway: Gateway
    executor: MakeExecutor
    clock: Callable[[], float]


_instead: _Parts | None = None


@contextmanager
def replaced(
    *,
    store: RosterStore,
    gateway: Gateway,
    executor: MakeExecutor,
    clock: Callable[[], float],
) -> Iterator[None]:
    """Use these objects in this process, whatever the settings say: the one seam for tests.

    Entering and leaving wait, for FLUSH_TIMEOUT at most, until the outbox is empty.
    """
    global _instead
    before = _instead
    outbox.flush(FLUSH_TIMEOUT)
    _instead = _Parts(store, gateway, executor, clock)
    _forget_all()
    try:
        yield
    finally:
        outbox.flush(FLUSH_TIMEOUT)
        _instead = before
        _forget_all()


def now() -> float:
    """Return the seconds since 1970 that this process signs into grants and tokens."""
    return _instead.clock() if _instead else time.time()


@cache
def store() -> RosterStore:
    """Return the store of PRESENCE_BACKEND. Raises ImproperlyConfigured if there is none."""
    if _instead:
        return _instead.store
    redactor = Redactor(conf.PRESENCE_REDIS_URL)
    try:
        return make_store(
            conf.PRESENCE_BACKEND,
            url=conf.PRESENCE_REDIS_URL,
            prefix=conf.PRESENCE_PREFIX,
            timeout=conf.PRESENCE_REDIS_TIMEOUT,
        )
    except ValueError as error:
        message = redactor.text(error)
        if "PRESENCE_" not in message:
            message = f"PRESENCE_REDIS_URL cannot be used: {message}"
        raise ImproperlyConfigured(message) from redactor.cause(error)


def tracker() -> Tracker:
    """Return the same store as a Tracker. Raises ImproperlyConfigured if it is none."""
    found = store()
    if not isinstance(found, Tracker):
        raise ImproperlyConfigured(
            f"PRESENCE_BACKEND is {shown(conf.PRESENCE_BACKEND)}, which keeps neither cursors nor "
            "members without a websocket: make it a presence.backends.tracker.Tracker as well, or "
            f"use {' or '.join(map(repr, BACKENDS))}."
        )
    return found


@cache
def gateway() -> Gateway:
    """Return the gateway to the Centrifugo of the settings."""
    if _instead:
        return _instead.gateway
    from presence.centrifugo.gateway import Gateway
    from presence.centrifugo.http import HttpTransport

    return Gateway(
        HttpTransport(
            conf.CENTRIFUGO_API_URL, conf.CENTRIFUGO_API_KEY, timeout=conf.CENTRIFUGO_TIMEOUT
        )
    )


outbox = Coalescer(lambda messages: gateway().send(messages))
"""Publishes cursor moves from a thread of its own."""


@cache
def roster_cache() -> RosterCache:
    """Return the cache of the rosters that the syncs of this process wrote last."""
    from presence.sync.context import RosterCache

    return RosterCache()


@cache
def last_look() -> LastLook:
    """Return the counts and the log that the looks of this process share."""
    from presence.sync.context import LastLook

    return LastLook()


def longest_token() -> float:
    """Return for how many seconds a token that is signed now may keep a connection."""
    return conf.PRESENCE_TOKEN_LIFETIME + MARGIN


def options() -> Options:
    """Return the settings of a tick."""
    from presence.sync.context import Options

    return Options(
        patterns=conf.PRESENCE_CHANNELS,
        interval=conf.PRESENCE_INTERVAL,
        discovery=conf.PRESENCE_DISCOVERY,
        token_lifetime=conf.PRESENCE_TOKEN_LIFETIME,
        shard_size=conf.PRESENCE_SHARD_SIZE,
        batch_size=conf.PRESENCE_BATCH_SIZE,
        anonymous=conf.PRESENCE_ANONYMOUS,
        grace=conf.PRESENCE_LEAVE_GRACE,
        list_limit=conf.PRESENCE_LIST_LIMIT,
        timeout=conf.PRESENCE_TIMEOUT,
        fetch=hooks.fetch(),
    )


def sync() -> Sync:
    """Return a sync that announces through Django's signals."""
    from presence.sync.tick import Sync

    announce = signals.send if signals.wanted() else None
    found = Sync(
        store(),
        gateway(),
        options(),
        announce=announce,
        cache=roster_cache(),
        last_look=last_look(),
    )
    if _instead:
        return replace(found, clock=_instead.clock, executor=_instead.executor)
    return found


def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(("PRESENCE_", "CENTRIFUGO_")):
        _forget_all()


def _forget_all() -> None:
    store.cache_clear()
    gateway.cache_clear()
    roster_cache.cache_clear()
    last_look.cache_clear()


setting_changed.connect(_forget)

# A forked process has no thread of the outbox, but shares connections: an answer to one process
# could reach the other. (redis-py takes care of its own.)
os.register_at_fork(before=outbox.hold, after_in_parent=outbox.release, after_in_child=outbox.renew)
os.register_at_fork(after_in_child=gateway.cache_clear)
atexit.register(outbox.flush, FLUSH_TIMEOUT)
