"""Django's upkeep of connections around a request, for code that runs outside of one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.core.cache import close_caches
from django.db import Error, connections, reset_queries

__all__ = ["in_thread", "like_a_request"]

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def like_a_request(*, alone: bool = False) -> Iterator[None]:
    """Run one round of a long-lived process as Django runs a request.

    It uses no database connection that has died or expired, and nothing of the round is kept (with
    DEBUG, Django notes every query). With `alone`, where nothing else in the process uses them,
    connections are closed whatever their age: not every database tells that a connection has died.
    """
    reset_queries()
    _close_old_connections()
    try:
        yield
    finally:
        close_caches()
        _close_old_connections(whatever_their_age=alone)


def in_thread(
    function: Callable[P, T], *, thread_sensitive: bool = True
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the async twin of `function`: it runs in a thread, and uses no database connection
    that has died or expired.

    A consumer has no request whose end would close them.
    """

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        _close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            _close_old_connections()

    threaded = sync_to_async(run, thread_sensitive=thread_sensitive)

    @wraps(function)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> T:
        return await threaded(*args, **kwargs)

    return twin


def _close_old_connections(*, whatever_their_age: bool = False) -> None:
    """Close connections as Django does, except in a transaction, which that would end: a test has
    one, and a page that runs tasks itself. Never raises.

    A connection that is broken may raise as it is closed. Test runners raise RuntimeError where a
    test may not use the database.
    """
    for connection in connections.all(initialized_only=True):
        with suppress(Error, RuntimeError):
            if connection.in_atomic_block:
                continue
            if whatever_their_age:
                connection.close()
            else:
                connection.close_if_unusable_or_obsolete()
