"""The heartbeat of a process: it keeps the members of the consumers and live views that live here.

A page keeps its members itself (`presence.web.heartbeat`). A consumer or a live view holds a
connection, so its process keeps its member for as long as the instance exists.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final
from weakref import ref

from presence import services
from presence.backends.tracker import MemberKey, Tracker
from presence.conf import conf
from presence.exceptions import StoreError
from presence.transport.log_lines import line_logger

logger = line_logger("presence.heartbeat")

RETRY: Final = 5
"""A beat that failed is repeated after a fifth of PRESENCE_HEARTBEAT, before members time out."""


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """Member that is kept for `instance`. `meta` is the JSON with which it joins again."""

    instance: ref[Any]
    member: MemberKey
    meta: bytes
    tracker: Tracker


class ProcessHeartbeat:
    """Members by source, each kept until `drop`, or until its instance is garbage-collected.

    While there are members, a daemon thread calls `beat` every PRESENCE_HEARTBEAT seconds, and
    deletes the members of ended and collected instances at once. `wait` takes seconds; it returns
    the source of the next of these, or None after that time on the `clock`.
    """

    def __init__(
        self,
        wait: Callable[[float], str | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wait = wait or self._wait_for_ended
        self._clock = clock
        self.renew()

    def renew(self) -> None:
        """Forget everything: in a forked process, whose parent holds the connections."""
        self._lock = threading.RLock()  # __del__ of a view may untrack it at any time
        self._kept: dict[str, _Kept] = {}
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_down = False

    def keep(self, instance: object, member: MemberKey, meta: bytes) -> None:
        """Keep a member that has just joined. A second call for its source replaces the first."""
        source = member[2]
        kept = _Kept(ref(instance, lambda _: self.end(source)), member, meta, services.tracker())
        with self._lock:
            self._kept[source] = kept
            if self._thread is None or not self._thread.is_alive():
                name = "presence-heartbeat"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def drop(self, source: str) -> None:
        """Keep the member of `source` no longer. The caller deletes it, after this."""
        with self._lock:
            self._kept.pop(source, None)

    def end(self, source: str) -> None:
        """Have the thread delete the member of `source` at once. Never waits: for event loops, and
        for the garbage collector, which may call it at any time."""
        if source in self._kept:
            self._ended.put(source)

    def beat(self) -> bool:
        """Keep all members in one round trip. A member that the store has lost joins again.

        Returns whether that was possible; a store that is down is logged once, until it is back.
        """
        try:
            tracker = services.tracker()
            found = []
            for source, kept in self._kept.copy().items():
                if kept.tracker is tracker:
                    found.append(kept)
                else:
                    self.drop(source)  # Tests replace the store.
            members = [kept.member for kept in found]
            there = tracker.touch_members(members, timeout=conf.PRESENCE_TIMEOUT)
            for kept, is_there in zip(found, there, strict=True):
                if not is_there:
                    self._join_again(kept)
        except Exception as error:  # The thread must not end: nobody would be kept.
            if not self._is_down:
                expected = isinstance(error, StoreError)
                logger.error("heartbeat=failed error=%s", error, exc_info=not expected)
            self._is_down = True
            return False
        if self._is_down:
            logger.info("heartbeat=back members=%d", len(found))
        self._is_down = False
        return True

    def _join_again(self, kept: _Kept) -> None:
        """Save a lost member, unless its instance has untracked it or tracked another since."""
        channel, user, source = kept.member
        with self._lock:  # A member that leaves meanwhile is deleted after it is saved.
            if self._kept.get(source) is kept:
                kept.tracker.save_member(
                    channel, user, source=source, meta=kept.meta, timeout=conf.PRESENCE_TIMEOUT
                )

    def _take_back(self, source: str) -> None:
        """Delete the member of `source`. If that fails, it is gone after PRESENCE_TIMEOUT."""
        with self._lock:
            kept = self._kept.pop(source, None)
        try:
            if kept:
                channel, user, _ = kept.member
                timeout = conf.PRESENCE_TIMEOUT
                kept.tracker.delete_member(channel, user, source=source, timeout=timeout)
        except Exception as error:  # as in `beat`
            logger.error("presence=not-taken-back source=%s error=%s", source, error)

    def _wait_for_ended(self, seconds: float) -> str | None:
        try:
            return self._ended.get(timeout=seconds)
        except Empty:
            return None

    def _run(self) -> None:
        due = self._clock() + conf.PRESENCE_HEARTBEAT
        while True:
            with self._lock:
                if not self._kept:
                    self._thread = None
                    return
            if (left := due - self._clock()) <= 0:
                is_good = self.beat()
                due = self._clock() + conf.PRESENCE_HEARTBEAT / (1 if is_good else RETRY)
            elif source := self._wait(left):
                self._take_back(source)


process_heartbeat: Final = ProcessHeartbeat()
"""The heartbeat of this process."""

os.register_at_fork(after_in_child=process_heartbeat.renew)
