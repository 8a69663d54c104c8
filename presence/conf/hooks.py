"""The one place that calls code of the site, hooks and callbacks, and fits its answers to the wire.

A hook that fails costs what it was asked for and nothing else. The log names it, with a traceback.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial, wraps
from inspect import isawaitable, iscoroutine
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar, cast

import msgspec
from asgiref.sync import sync_to_async
from django.core.cache import close_caches
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, connections, reset_queries, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from presence.conf import conf, masked, traceable
from presence.roster import validation
from presence.roster.names import MAX_NAME
from presence.roster.validation import MAX_META, check_shape
from presence.transport.log_lines import line_logger
from presence.transport.redaction import message_of

logger = line_logger("presence.hooks")

P = ParamSpec("P")
T = TypeVar("T")

MAX_LOGGED: Final = 10_000
"""Parts that were left out and are remembered, so that each is logged once."""
PART: Final = 80
"""Characters of the name of a part that are logged and remembered: others may choose it."""

_logged: set[tuple[str, str, str]] = set()


class HookFailed(ImproperlyConfigured):
    """Code of the site raised, or returned something that cannot be used."""


class FitResult(NamedTuple):
    """The `parts` of a dict as JSON has them; the reason for each part that was left out."""

    parts: dict[str, Any]
    left_out: dict[str, str]


def hook(setting: str) -> Callable[..., Any] | None:
    """Return the hook that a setting names; None where it is not set.

    The path is imported at each call, so one that cannot be imported fails as the hook does.
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
    savepoint: bool = True,
) -> T:
    """Call `function` and return what `read` makes of its answer; `fallback` where either fails.

    A failure is logged with the `name` of the setting or callback and with `about`, its subject
    ("channel=presence:doc:42"). With `strict` it raises HookFailed instead. Without `savepoint` a
    failed query breaks the transaction around the call: a worker has none. Raises
    SynchronousOnlyOperation where a hook that queries is called in an event loop: an async view
    can do something about that.
    """
    try:
        with _spared_transactions() if savepoint else nullcontext():
            return read(_not_async(function(*arguments)))
    except SynchronousOnlyOperation:
        raise
    except Exception as error:
        failed = HookFailed(f"{name} failed: {_describe(error)}")
        if strict:
            raise failed from traceable(error)
        logger.error(
            "hook=failed name=%s %s error=%s", name, about, failed, exc_info=traceable(error)
        )
        return fallback


def fetch() -> Callable[[list[str]], dict[str, dict[str, Any]]] | None:
    """Return the hook PRESENCE_FETCH, with answers that fit the wire; None where it is not set.

    It raises HookFailed. A member for whom it returns something other than a dict gets nothing.
    """
    function = hook("PRESENCE_FETCH")
    return None if function is None else partial(_fetch, function)


def _fetch(function: Callable[..., Any], ids: list[str]) -> dict[str, dict[str, Any]]:
    infos: dict[str, Any] = call(
        "PRESENCE_FETCH", function, ids, read=by_id, fallback={}, strict=True, savepoint=False
    )
    given = {key: infos[key] for key in ids if infos.get(key) is not None}
    return {key: fit_and_log("PRESENCE_FETCH", key, info) for key, info in given.items()}


def by_id(answer: object) -> dict[str, Any]:
    """Return the answer of PRESENCE_FETCH by user id. Raises TypeError for anything but a dict."""
    if not isinstance(answer, Mapping):
        raise TypeError(f"it returned a {type(answer).__name__}: return a dict by user id")
    return {str(key): info for key, info in answer.items()}


def _not_async(answer: Any) -> Any:
    if not isawaitable(answer):
        return answer
    if iscoroutine(answer):
        answer.close()
    raise TypeError("it is an async function, which nothing awaits: make it a plain function")


# Size limits of results


def fit(given: object, *, reserved: Mapping[str, Any] | None = None) -> FitResult:
    """Return the entries of the dict `given` that fit into MAX_META bytes of JSON with `reserved`.

    An entry is left out or kept as a whole. One that JSON cannot hold is left out; then the
    largest is, of equally large ones the last by name, until the rest fits. A name is cut first.
    Entries of the same name as one of `reserved` are dropped. Never raises.
    """
    if not isinstance(given, Mapping):
        return FitResult({}, {"(all)": f"it is a {type(given).__name__}, not a dict"})
    encoded, left_out = _encode_parts(given)
    kept = {name: part for name, part in encoded.items() if name not in (reserved or {})}
    room = MAX_META - (len(_json(reserved)) - 1 if reserved else 1)
    # Each part needs a comma or the closing brace after it.
    while kept and sum(len(part) + 1 for part in kept.values()) > room:
        largest = max(kept, key=lambda name: (len(kept[name]), name))
        part = kept.pop(largest)
        if largest == "name" and (cut := _cut(part)) != part:
            kept["name"] = cut
            left_out["name"] = f"it is cut to {MAX_NAME} characters"
            continue
        left_out[largest] = (
            f"it has {len(part)} bytes as JSON; all parts together may have {MAX_META}"
        )
    return FitResult(_decode(kept.values()), left_out)


def fit_and_log(
    source: str, user: str, info: object, *, reserved: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the parts of the dict `info` that fit the wire, as `fit` does, and log the others.

    `source` is the setting or the function that `info` came by.
    """
    parts, left_out = fit(info, reserved=reserved)
    log_left_out(source, user, left_out)
    return parts


def fit_meta(
    source: str, user: str, meta: object, *, reserved: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the parts of a `meta` from server code that fit, as `fit_and_log` does.

    Raises ValueError, as encode_member_meta does, for any other mistake than too large a `meta`.
    """
    checked: Any = meta or {}
    try:
        validation.encode_member_meta(meta)
        validation.encode_member_meta({**(reserved or {}), **checked})
    except validation.TooLarge:
        checked = fit_and_log(source, user, checked, reserved=reserved)
        validation.encode_member_meta(checked)
    return cast("dict[str, Any]", checked)


def log_left_out(source: str, user: str, left_out: Mapping[str, str]) -> None:
    """Log the parts that were left out: once in a process, as pages ask again and again."""
    for part, reason in left_out.items():
        known = (source, user, part[:PART])
        if known in _logged:
            continue
        if len(_logged) >= MAX_LOGGED:
            _logged.clear()
        _logged.add(known)
        logger.error(
            "part=left-out source=%s user=%s part=%s why=%s", source, user, part[:PART], reason
        )


def _describe(error: BaseException) -> str:
    """Return the type of an error and its message without secrets, cut after 200 characters."""
    # Masked before it is cut: half of a secret is not found.
    message = masked(message_of(error))
    return f"{type(error).__name__}: {message}"[:200] if message else type(error).__name__


def _encode_parts(given: Mapping[Any, Any]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return each entry as JSON without braces, and the reason why each other entry is not."""
    encoded: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for key, value in given.items():
        name = str(key) if isinstance(key, str | int) else f"(key of type {type(key).__name__})"
        try:
            if not isinstance(key, str | int):
                raise TypeError("keys must be strings")
            encoded[name] = _encode(name, value)
        except Exception as error:  # the value is the site's, and may raise anything
            left_out[name] = _describe(error)
    return encoded, left_out


def _cut(part: bytes) -> bytes:
    """Return the entry `name` with as much of it as is shown."""
    name = _decode([part])["name"]
    return _encode("name", name[:MAX_NAME]) if isinstance(name, str) else part


def _decode(parts: Iterable[bytes]) -> dict[str, Any]:
    return msgspec.json.decode(b"{" + b",".join(parts) + b"}", type=dict[str, Any])


def _encode(name: str, value: object) -> bytes:
    """Return the entry as JSON without braces. Raises any error that the value raises."""
    check_shape(name, {name: value}, MAX_META, string_keys=False)
    return _json({name: value})[1:-1]


def _json(value: object) -> bytes:
    text = json.dumps(
        value, cls=_Encoder, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )
    # Half a surrogate pair, which Python can hold and nobody else can read, becomes "?".
    return text.encode("utf-8", "replace")


class _Encoder(DjangoJSONEncoder):
    def default(self, value: Any) -> Any:
        # Sorted: another order would be an update of the member.
        if isinstance(value, set | frozenset):
            return sorted(value, key=str)
        return super().default(value)


# Transactions


@contextmanager
def _spared_transactions() -> Iterator[None]:
    """Keep the transaction of a page (ATOMIC_REQUESTS) usable, whatever the block breaks.

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
    made: str | None = None

    def make_first(execute: Callable[..., Any], *query: Any) -> Any:
        nonlocal made
        if made is None:
            made = ""  # making it is a query as well
            made = transaction.savepoint(connection.alias)
        return execute(*query)

    failed = True
    try:
        with connection.execute_wrapper(make_first):
            yield
        failed = connection.needs_rollback
    finally:
        if made and not connection.closed_in_transaction:
            try:
                if failed:
                    connection.needs_rollback = False
                    connection.savepoint_rollback(made)
                connection.savepoint_commit(made)
            except Error:
                connection.needs_rollback = True
                raise


@contextmanager
def like_a_request(*, alone: bool = False) -> Iterator[None]:
    """Run one round of a long-lived process as Django runs a request.

    It uses no database connection that has died or expired, and nothing of the round is kept (with
    DEBUG, Django notes every query). With `alone`, where nothing else in the process uses them,
    connections are closed whatever their age: not every database tells that a connection has died.
    """
    reset_queries()
    with _fresh_connections(alone=alone):
        try:
            yield
        finally:
            close_caches()


def in_thread(
    function: Callable[P, T], *, thread_sensitive: bool = True
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the async twin of `function`: it runs in a thread, and uses no database connection
    that has died or expired.

    A consumer has no request whose end would close them.
    """
    threaded = sync_to_async(_fresh_connections()(function), thread_sensitive=thread_sensitive)

    @wraps(function)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> T:
        return await threaded(*args, **kwargs)

    return twin


@contextmanager
def _fresh_connections(*, alone: bool = False) -> Iterator[None]:
    _close_old_connections()
    try:
        yield
    finally:
        _close_old_connections(whatever_their_age=alone)


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
