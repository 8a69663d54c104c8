"""The one place from which code of the site is called: hooks of the settings, and callbacks.

A hook that fails costs what it was asked for and nothing else. The log names it, with a traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from inspect import isawaitable, iscoroutine
from typing import Any, Final, TypeVar, cast

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from presence.conf import conf
from presence.conf.fitting import described, fit
from presence.roster import validation

__all__ = ["HookFailed", "by_id", "call", "fetch", "fitted", "fitted_meta", "hook", "tell_left_out"]

logger = logging.getLogger("presence.hooks")

T = TypeVar("T")

TOLD: Final = 10_000
"""Parts that were left out, and are remembered so that each is logged once."""

_told: set[tuple[str, str, str]] = set()


class HookFailed(ImproperlyConfigured):
    """Code of the site raised, or answered something that cannot be used."""


def hook(setting: str) -> Callable[..., Any] | None:
    """The hook that a setting names; None where it is not set.

    It is looked up when it is called, so a path that cannot be imported fails as the hook does.
    """
    try:
        if getattr(conf, setting) is None:
            return None
    except ImproperlyConfigured:
        pass
    return lambda *arguments: getattr(conf, setting)(*arguments)


def call(
    name: str,
    function: Callable[..., Any],
    *arguments: object,
    read: Callable[[Any], T],
    fallback: T,
    about: str = "",
    strict: bool = False,
    spare: bool = True,
) -> T:
    """Return what `read` makes of the answer of `function`; `fallback` where either fails.

    A failure is logged with the `name` of the setting or callback; `about` says what it was asked
    about ("channel=presence:doc:42"). With `strict` it raises HookFailed instead. Without
    `spare` it may break a transaction that it is called in: a worker has none. Raises
    SynchronousOnlyOperation where a hook that queries is called in an event loop: an async view
    can do something about that.
    """
    try:
        return _run(name, lambda: read(_not_async(function(*arguments))), spare=spare)
    except HookFailed as error:
        if strict:
            raise
        logger.error("hook=failed name=%s %s error=%s", name, about, error, exc_info=error)
        return fallback


def fitted(
    source: str, user: str, info: object, *, beside: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the parts of the dict `info` that fit the wire, see presence.conf.fitting.fit.

    What is left out is logged with its `source`, the setting or the function it came by, and the
    `user`.
    """
    parts, left_out = fit(info, beside=beside)
    tell_left_out(source, user, left_out)
    return parts


def fitted_meta(
    source: str, user: str, meta: object, *, beside: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """As `fitted`, of a `meta` that server code gave. Raises ValueError, as member_meta does, for
    all but one that is too large."""
    checked: Any = meta or {}
    try:
        validation.member_meta(meta)
        validation.member_meta({**(beside or {}), **checked})
    except validation.TooLarge:
        checked = fitted(source, user, checked, beside=beside)
        validation.member_meta(checked)
    return cast("dict[str, Any]", checked)


def tell_left_out(source: str, user: str, left_out: Mapping[str, str]) -> None:
    """Log the parts that were left out: once in a process, as pages ask again and again."""
    for part, why in left_out.items():
        if (source, user, part) in _told:
            continue
        if len(_told) >= TOLD:
            _told.clear()
        _told.add((source, user, part))
        logger.error("part=left-out source=%s user=%s part=%.80s why=%s", source, user, part, why)


def fetch() -> Callable[[list[str]], dict[str, dict[str, Any]]] | None:
    """The hook PRESENCE_FETCH, with an answer that fits the wire; None where it is not set.

    It raises HookFailed. A member for whom it returns something other than a dict gets nothing.
    """
    asked = hook("PRESENCE_FETCH")
    return None if asked is None else partial(_fetch, asked)


def _fetch(asked: Callable[..., Any], ids: list[str]) -> dict[str, dict[str, Any]]:
    infos: dict[str, Any] = call(
        "PRESENCE_FETCH", asked, ids, read=by_id, fallback={}, strict=True, spare=False
    )
    given = {key: infos[key] for key in ids if infos.get(key) is not None}
    return {key: fitted("PRESENCE_FETCH", key, info) for key, info in given.items()}


def by_id(found: object) -> dict[str, Any]:
    """Return the answer of PRESENCE_FETCH by user id. Raises TypeError for anything but a dict."""
    if not isinstance(found, Mapping):
        raise TypeError(f"it gave a {type(found).__name__}: let it return a dict by user id")
    return {str(key): info for key, info in found.items()}


def _not_async(found: Any) -> Any:
    if not isawaitable(found):
        return found
    if iscoroutine(found):
        found.close()
    raise TypeError("it is an async function, which nothing awaits: make it a plain one")


def _run(name: str, function: Callable[[], T], *, spare: bool) -> T:
    try:
        with _spared_transactions() if spare else nullcontext():
            return function()
    except (SynchronousOnlyOperation, HookFailed):
        raise
    except Exception as error:
        raise HookFailed(f"{name} failed: {described(error)}") from error


@contextmanager
def _spared_transactions() -> Iterator[None]:
    """Keep the transaction that a page is in (ATOMIC_REQUESTS) usable, whatever the block breaks.

    The block has a savepoint of its own, made before its first query: a hook that makes no query
    costs none.
    """
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                stack.enter_context(_savepoint(connection))
        yield


@contextmanager
def _savepoint(connection: BaseDatabaseWrapper) -> Iterator[None]:
    made: list[str | None] = []

    def make_first(execute: Callable[..., Any], *query: Any) -> Any:
        if not made:
            made.append(None)  # making it is a query as well
            made[0] = transaction.savepoint(connection.alias)
        return execute(*query)

    done = False
    with connection.execute_wrapper(make_first):
        try:
            yield
            done = not connection.needs_rollback
        finally:
            if made and made[0]:
                _end(connection, made[0], keep=done)


def _end(connection: BaseDatabaseWrapper, savepoint: str, *, keep: bool) -> None:
    if connection.closed_in_transaction:
        return
    try:
        if not keep:
            connection.needs_rollback = False
            connection.savepoint_rollback(savepoint)
        connection.savepoint_commit(savepoint)
    except Error:
        connection.needs_rollback = True
        raise
