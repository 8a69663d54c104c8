"""Redis as the stores speak to it: pipelines, scripts and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import redis
from redis.sentinel import MasterNotFoundError

from presence.backends.redis import scripts
from presence.backends.redis.keys import Keys
from presence.backends.redis.server import Command, checked, key_of
from presence.backends.redis.urls import make_client
from presence.exceptions import StoreError
from presence.roster.channel_names import validate_channel
from presence.transport.log_lines import line_logger
from presence.transport.redaction import Redactor

logger = line_logger("presence.redis")

WRONG_TYPE: Final = "WRONGTYPE"
"""In an error of Redis, whether of a command or of one in a script."""


class Connection:
    """The Redis at `url` (docs/redis.md), with keys under `prefix`.

    Nothing connects before the first call. Times are those of Redis's own clock unless `clock`
    (seconds since 1970) is given. `timeout` is in seconds, for a call as a whole. Every method may
    raise StoreError.

    A call whose connection failed is repeated once, on a new connection. A call whose reply says
    what this very call did is made `once`: on a connection that was just used or made.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "presence",
        timeout: float = 5.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client = make_client(url, timeout=timeout)
        self._redactor = Redactor(url)
        self._keys = Keys(prefix)
        self._clock = clock

    def _run(self, commands: Sequence[Command], *, once: bool = False) -> list[Any]:
        """Run commands in one round trip; in a cluster one for each primary. Returns the replies.

        A key whose value is of another type than ours holds nothing that this app wrote. It is
        deleted, which is logged, and what was asked of it is asked again. The hash of a channel is
        left for a tick, which has its roster at hand: the error stands in the place of the reply.
        """
        if not commands:
            return []
        try:
            replies = self._client.run(commands, once=once)
            errors = [(n, reply) for n, reply in enumerate(replies) if isinstance(reply, Exception)]
            again = [n for n, error in errors if self._is_foreign(commands[n], error)]
            if again:
                self._delete_foreign({key_of(commands[number]) for number in again})
                repeated = self._client.run([commands[number] for number in again], once=once)
                for number, reply in zip(again, checked(repeated), strict=True):
                    replies[number] = reply
            return replies
        except redis.RedisError as error:
            # Errors of redis-py and the server may hold the login: an old server repeats the
            # arguments of a command that it does not know.
            cause = None if _shows_options(error) else self._redactor.cause(error)
            raise StoreError(
                f"Redis: {reason(error, self._redactor)} (check PRESENCE_REDIS_URL and that Redis "
                "is running)"
            ) from cause

    def _is_foreign(self, command: Command, error: Exception) -> bool:
        """Whether the key may be deleted, as its value is of another type. Raises other errors."""
        if WRONG_TYPE not in str(error):
            raise error
        return not self._keys.is_channel(key_of(command))

    def _delete_foreign(self, keys: Iterable[str]) -> None:
        """Delete keys whose values are of a type that this app does not keep there."""
        for key in keys:
            delete = script("delete_foreign", key, self._keys.kind(key))
            (found,) = checked(self._client.run([delete]))
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
            self._run([("ZREM", key, *strange)])

    def _time(self, moment: tuple[int, int]) -> float:
        return self._clock() if self._clock else moment[0] + moment[1] / 1e6

    def _timed(self, name: str, key: str, *arguments: Any) -> Command:
        """Return a script with the time as its first argument: empty for Redis's own clock."""
        return script(name, key, self._clock() if self._clock else "", *arguments)


def reason(error: redis.RedisError, redactor: Redactor) -> str:
    """Return what went wrong, without secrets."""
    hidden = _shows_options(error)
    what = "no sentinel names a primary that is up" if hidden else redactor.text(error)
    return f"{type(error).__name__}: {what}"


def _shows_options(error: redis.RedisError) -> bool:
    """Whether redis-py shows all options of a client: it does of sentinels that do not answer, and
    of passwords it shows the repr."""
    return isinstance(error, MasterNotFoundError)


def script(name: str, key: str, *arguments: Any) -> Command:
    """Return the command that runs a script of `scripts`, with its one key and its arguments."""
    return ("EVAL", scripts.ALL[name], 1, key, *arguments)


def milliseconds(seconds: float) -> int:
    """Return the lifetime in milliseconds, as Redis takes it: at least 1."""
    return max(1, round(1000 * seconds))
