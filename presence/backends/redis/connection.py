"""Redis as the stores speak to it: pipelines, scripts and errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.sentinel import MasterNotFoundError

from presence.backends.redis import scripts
from presence.backends.redis.keys import Keys
from presence.backends.redis.urls import make_client
from presence.exceptions import StoreError
from presence.roster.channel_names import validate_channel
from presence.transport.redaction import Redactor

logger = logging.getLogger("presence.redis")

Call = tuple[str, str, list[Any]]
"""A script by its name, its one key (or, above this module, its channel) and its arguments."""


WRONG_TYPE: Final = "WRONGTYPE"
"""In an error of Redis, whether of a command or of one in a script."""


class Connection:
    """The Redis at `url` (docs/redis.md), with keys under `prefix`.

    Nothing connects before the first call. Times are those of Redis's own clock unless `clock`
    (seconds since 1970) is given. `timeout` is in seconds, for a call as a whole. Every method may
    raise StoreError.

    A call whose connection was no good is made once more, on a new one. Where that would tell
    another story, as the reply says what this very call did, it is made `once`: on a connection
    that has just been used or made.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "presence",
        timeout: float = 5.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client: Any = make_client(url, timeout=timeout)
        self._redactor = Redactor(url)
        self._keys = Keys(prefix)
        self._clock = clock

    def _evaluate(
        self,
        calls: Sequence[Call],
        polled: Sequence[str] = (),
        *,
        once: bool = False,
    ) -> list[Any]:
        """Run scripts in one round trip; in a cluster one for each primary, the first called first.

        Before them, note the times of good polls: `polled` has time, channel, time, channel, ...

        The first call of each sends its source, by which Redis knows it for the others: nothing
        is ever run twice because Redis, after a restart, did not know a script.
        """
        if not calls and not polled:
            return []
        sent: set[str] = set()
        with self._pipeline() as pipe:
            if polled:
                pipe.execute_command("ZADD", self._keys.channels, "GT", *polled)
            for name, key, arguments in calls:
                if name in sent:
                    pipe.evalsha(scripts.SHA[name], 1, key, *arguments)
                else:
                    pipe.eval(scripts.ALL[name], 1, key, *arguments)
                    sent.add(name)
            results = self._execute(pipe, once=once)
        return results[1:] if polled else results

    def _execute(self, pipe: Any, *, once: bool = False) -> list[Any]:
        """Run a pipeline; the replies. See above for `once`.

        A key whose value is of another type than ours holds nothing that this app wrote. It is
        deleted, which is logged, and what was asked of it is asked again. The hash of a channel is
        left for a tick, which has its roster at hand: the error stands in the place of the reply.
        """
        how = {"once": True} if once else {}
        commands = list(pipe.command_stack)
        replies: list[Any] = pipe.execute(raise_on_error=False, **how)
        again: dict[int, str] = {}
        for number, reply in enumerate(replies):
            if not isinstance(reply, Exception):
                continue
            if WRONG_TYPE not in str(reply):
                raise reply
            key = _key(commands[number][0])
            if not self._keys.is_channel(key):
                again[number] = key
        if again:
            self._delete_foreign(dict.fromkeys(again.values()))
            for number in again:
                arguments, options = commands[number]
                pipe.execute_command(*_with_source(arguments), **options)
            replies_again = pipe.execute(**how)
            for number, reply in zip(again, replies_again, strict=True):
                replies[number] = reply
        return replies

    def _ask(self, add: Callable[[Any], object], *, once: bool = False) -> Any:
        """The reply to the one command that `add` adds to a pipeline."""
        with self._pipeline() as pipe:
            add(pipe)
            return self._execute(pipe, once=once)[0]

    def _delete_foreign(self, keys: Iterable[str]) -> None:
        """Delete keys whose values are of a type that this app does not keep there."""
        for key in keys:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.eval(scripts.ALL["delete_foreign"], 1, key, self._keys.kind(key))
                (found,) = pipe.execute()
            if found:
                logger.error(
                    "key=deleted name=%s type=%s error=%r",
                    *(key, found.decode(), "this app never writes that type there"),
                )

    def _channels(self, key: str, names: Iterable[bytes]) -> Iterator[str]:
        """The channels among the members of a sorted set; what is none is taken out of it."""
        strange = []
        for name in names:
            try:
                yield validate_channel(name.decode())
            except ValueError as error:
                strange.append(name)
                logger.error("entry=deleted key=%s name=%r error=%r", key, name[:80], str(error))
        if strange:
            self._ask(lambda pipe: pipe.zrem(key, *strange))

    def _time(self, moment: tuple[int, int]) -> float:
        return self._clock() if self._clock else moment[0] + moment[1] / 1e6

    def _moment(self) -> str:
        """The time as scripts are told it: empty for Redis's own."""
        return repr(self._clock()) if self._clock else ""

    @contextmanager
    def _pipeline(self) -> Iterator[Any]:
        with self._guarded(), self._client.pipeline(transaction=False) as pipe:
            yield pipe

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            # What redis-py and the server say may hold the login: an old server repeats the
            # arguments of a command that it does not know.
            cause = None if _shows_options(error) else self._redactor.cause(error)
            raise StoreError(
                f"Redis: {reason(error, self._redactor)} (check PRESENCE_REDIS_URL and that Redis "
                "is running)"
            ) from cause


def reason(error: redis.RedisError, redactor: Redactor) -> str:
    """Return what went wrong, without secrets."""
    hidden = _shows_options(error)
    what = "no sentinel names a primary that is up" if hidden else redactor.text(error)
    return f"{type(error).__name__}: {what}"


def _shows_options(error: redis.RedisError) -> bool:
    """Whether redis-py shows all options of a client: it does of sentinels that do not answer, and
    of passwords it shows the repr."""
    return isinstance(error, MasterNotFoundError)


def milliseconds(seconds: float) -> int:
    """As Redis takes how long to keep something: at least one."""
    return max(1, round(1000 * seconds))


def _key(arguments: Sequence[Any]) -> str:
    """The key of a command or of a script."""
    key = arguments[3] if arguments[0] in ("EVAL", "EVALSHA") else arguments[1]
    return key.decode() if isinstance(key, bytes) else str(key)


def _with_source(arguments: Sequence[Any]) -> Sequence[Any]:
    """A command that needs no other one before it."""
    if arguments[0] != "EVALSHA":
        return arguments
    return ("EVAL", scripts.SOURCES[arguments[1]], *arguments[2:])
