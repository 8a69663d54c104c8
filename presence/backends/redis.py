"""Rosters in Redis: one hash per channel, one script per atomic step, one key per script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import redis

from presence.backends import scripts
from presence.backends.base import Loaded, RosterStore, Stored
from presence.exceptions import StoreError
from presence.naming import Keys
from presence.plan import Commit, State, restart
from presence.roster import Position

__all__ = ["RedisStore"]

_FIELDS = (
    *("rev", "epoch", "version", "run", "digest", "leaving", "pending", "unsignalled"),
    *("position", "listed", "total", "anonymous"),
)


class RedisStore(RosterStore):
    """The contract of RosterStore on the Redis at `url`, with keys under `prefix`.

    Nothing connects before the first call. Times are those of Redis's own clock unless `clock`
    (seconds since 1970) is given. `timeout` is in seconds, for connecting and for each reply.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "presence",
        timeout: float = 5.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout
        )
        self._keys = Keys(prefix)
        self._clock = clock

    def load(self, channels: Sequence[str]) -> Loaded:
        with self._pipeline() as pipe:
            pipe.time()
            pipe.execute_command("INFO", "server")
            for channel in channels:
                pipe.hmget(self._keys.channel(channel), *_FIELDS)
            moment, server, *rows = pipe.execute()
        states = {c: _state(c, row) for c, row in zip(channels, rows, strict=True)}
        return Loaded(now=self._time(moment), run=str(server["run_id"]), states=states)

    def rosters(self, channels: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        with self._pipeline() as pipe:
            for channel in channels:
                pipe.hmget(self._keys.channel(channel), "rev", "roster")
            rows = pipe.execute()
        found = zip(channels, rows, strict=True)
        return {c: (int(rev), roster) for c, (rev, roster) in found if roster}

    def snapshots(self, channels: Sequence[str]) -> dict[str, Stored]:
        with self._pipeline() as pipe:
            pipe.time()
            for channel in channels:
                pipe.hmget(self._keys.channel(channel), "snapshot", "position")
                pipe.zscore(self._keys.channels, channel)
            moment, *rows = pipe.execute()
        return {
            channel: Stored(
                snapshot=snapshot,
                position=_position(position),
                polled=polled,
                now=self._time(moment),
            )
            for channel, (snapshot, position), polled in zip(
                channels, rows[::2], rows[1::2], strict=True
            )
        }

    def commit(
        self, commits: Sequence[Commit], *, polled: Sequence[str] = (), now: float = 0.0
    ) -> list[bool]:
        calls = ((c.channel, [c.rev, c.pending, *_pairs(_commit_fields(c))]) for c in commits)
        return self._run("commit", calls, polled=dict.fromkeys(polled, now))

    def acknowledge(
        self, acknowledgements: Sequence[tuple[str, bytes, Position | None]], now: float
    ) -> list[bool]:
        return self._run(
            "acknowledge",
            ((c, [pending, _text(position), now]) for c, pending, position in acknowledgements),
        )

    def drop(self, channel: str, pending: bytes, *, epoch: str, now: float) -> bool:
        stored = self.snapshots([channel])[channel].snapshot
        if stored is None:
            return False
        arguments = [pending, "", now, epoch, restart(stored, epoch)]
        return self._run("acknowledge", [(channel, arguments)])[0]

    def signalled(self, done: Sequence[tuple[str, bytes]]) -> None:
        self._run("signalled", ((channel, [pending]) for channel, pending in done))

    def known(self) -> Mapping[str, float]:
        with self._guarded():
            rows: Any = self._client.zrange(self._keys.channels, 0, -1, withscores=True)
        return {name.decode(): score for name, score in rows}

    def sweep(self, channels: Mapping[str, float]) -> list[str]:
        empty = self._run("sweep", ((c, []) for c in channels))
        closed = [c for c, done in zip(channels, empty, strict=True) if done]
        calls = [(self._keys.channels, [c, repr(channels[c])]) for c in closed]
        gone = self._evaluate("forget", calls)
        return [c for c, done in zip(closed, gone, strict=True) if done]

    def nodes(self, uids: frozenset[str]) -> float | None:
        with self._guarded():
            moment: Any = self._client.time()
        now = self._time(moment)
        arguments = [" ".join(sorted(uids)), repr(now)]
        changed = float(self._evaluate("nodes", [(self._keys.nodes, arguments)])[0])
        return now - changed if changed else None

    def claim(self, channel: str, slot: int, *, seconds: float) -> bool:
        with self._guarded():
            key, life = self._keys.slot(channel, slot), round(1000 * seconds)
            return bool(self._client.set(key, 1, nx=True, px=life))

    def _run(
        self,
        script: str,
        calls: Iterable[tuple[str, list[Any]]],
        *,
        polled: Mapping[str, float] = MappingProxyType({}),
    ) -> list[bool]:
        keyed = [(self._keys.channel(channel), arguments) for channel, arguments in calls]
        return [bool(done) for done in self._evaluate(script, keyed, polled)]

    def _evaluate(
        self,
        script: str,
        calls: Sequence[tuple[str, list[Any]]],
        polled: Mapping[str, float] = MappingProxyType({}),
    ) -> list[Any]:
        if not calls and not polled:
            return []
        with self._guarded():
            try:
                return self._evalsha(script, calls, polled)
            except redis.exceptions.NoScriptError:
                self._client.script_load(scripts.ALL[script])
                return self._evalsha(script, calls, polled)

    def _evalsha(
        self, script: str, calls: Sequence[tuple[str, list[Any]]], polled: Mapping[str, float]
    ) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            if polled:
                pipe.zadd(self._keys.channels, dict(polled), gt=True)
            for key, arguments in calls:
                pipe.evalsha(scripts.SHA[script], 1, key, *arguments)
            results: list[Any] = pipe.execute()
            return results[1:] if polled else results

    def _time(self, moment: tuple[int, int]) -> float:
        return self._clock() if self._clock else moment[0] + moment[1] / 1e6

    @contextmanager
    def _pipeline(self) -> Iterator[Any]:
        with self._guarded(), self._client.pipeline(transaction=False) as pipe:
            yield pipe

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise StoreError(
                f"Redis: {type(error).__name__}: {error} (check PRESENCE_REDIS_URL and that Redis "
                "is running)"
            ) from error


def _state(channel: str, row: list[bytes | None]) -> State:
    raw = dict(zip(_FIELDS, (value or b"" for value in row), strict=True))
    if not raw["rev"]:
        return State(channel=channel)
    try:
        return _read_state(channel, raw)
    except ValueError as error:
        raise StoreError(
            f"Redis: the hash of {channel} holds what this app never wrote ({error}): delete it, "
            "or give the app a PRESENCE_PREFIX of its own"
        ) from error


def _read_state(channel: str, raw: dict[str, bytes]) -> State:
    return State(
        channel=channel,
        rev=int(raw["rev"]),
        epoch=raw["epoch"].decode(),
        version=int(raw["version"]),
        run=raw["run"].decode(),
        digest=raw["digest"],
        leaving=raw["leaving"],
        pending=raw["pending"],
        unsignalled=tuple(_unsignalled(raw["unsignalled"])),
        position=_position(raw["position"]),
        listed=raw["listed"] == b"1",
        total=int(raw["total"]),
        anonymous=int(raw["anonymous"]),
    )


def _unsignalled(lines: bytes) -> Iterator[tuple[float, bytes]]:
    for line in lines.splitlines():
        moment, _, pending = line.partition(b" ")
        yield float(moment), pending


def _commit_fields(commit: Commit) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: getattr(commit, name)
        for name in ("epoch", "version", "run", "digest", "leaving", "total", "anonymous")
    }
    fields |= {"listed": int(commit.listed), "position": _text(commit.position)}
    if commit.roster is not None:
        fields["roster"] = commit.roster
    if commit.snapshot is not None:
        fields["snapshot"] = commit.snapshot
    return fields


def _pairs(fields: Mapping[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


def _text(position: Position | None) -> str:
    return f"{position.offset}:{position.epoch}" if position else ""


def _position(text: bytes | None) -> Position | None:
    if not text:
        return None
    offset, _, epoch = text.decode().partition(":")
    return Position(int(offset), epoch)
