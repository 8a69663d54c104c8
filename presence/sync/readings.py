"""From polled replies to the rosters that they show: recounted, and enriched, where need be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from presence.centrifugo.gateway import Gateway, Survey
from presence.exceptions import (
    CentrifugoAnswerError,
    CentrifugoError,
    FetchFailed,
    InvalidMessage,
    PresenceError,
)
from presence.roster import enriching, messages
from presence.roster.commit import State, damaged
from presence.roster.enriching import Fetch
from presence.roster.merge import AnonymousMode, Profiles, digest, read_presence
from presence.roster.tracked import Tracked, fingerprint
from presence.roster.types import Roster
from presence.sync.poll import Polled, Seen
from presence.sync.report import Report

__all__ = ["Reading", "Readings"]

logger = logging.getLogger("presence.sync")


class Reading(msgspec.Struct, frozen=True, gc=False):
    """Reading of a reply, with the `state` and the roster `old` that were committed last; None
    where that roster cannot be read, which is a damage of the state.

    Without a `digest` it is looked at again by the next tick, whatever the reply.
    """

    seen: Seen
    state: State
    old: Roster | None
    roster: Roster
    digest: bytes

    @property
    def whole(self) -> bool:
        """Whether nobody who is missing can have been left out."""
        return bool(self.seen.digest)


class Readings:
    """Reads batches, and counts what fails into one report."""

    def __init__(
        self,
        gateway: Gateway,
        report: Report,
        *,
        survey: Survey,
        anonymous: AnonymousMode,
        profiles: Profiles,
        list_limit: int,
        fetch: Fetch | None,
        fingerprint: str,
        clock: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._report = report
        self._survey = survey
        self._anonymous = anonymous
        self._profiles = profiles
        self._list_limit = list_limit
        self._fetch = fetch
        self._fingerprint = fingerprint
        self._clock = clock

    def of(self, polled: Polled) -> Iterator[tuple[str, Reading]]:
        """What each channel that is different shows; those that seem to be partial come last.

        One after the other, as they are asked for: while it is at hand, a roster is compared in
        less time. PRESENCE_FETCH alone needs all of them at once.
        """
        readings = self._readings(polled)
        return iter(self._enriched(dict(readings)).items()) if self._fetch else readings

    def _readings(self, polled: Polled) -> Iterator[tuple[str, Reading]]:
        fewer: list[str] = []
        for channel, seen in polled.different.items():
            reading = None
            with self.failing(channel):
                roster, connections = self._read(seen.raw, seen.tracked, polled.loaded.now)
                if connections < self._survey.clients.get(channel, 0):
                    fewer.append(channel)
                else:
                    reading = self._beside_old(polled, channel, seen, roster)
            if reading:
                yield channel, reading
        for channel, (seen, roster) in self._read_again(fewer, polled).items():
            reading = None
            with self.failing(channel):
                reading = self._beside_old(polled, channel, seen, roster)
            if reading:
                yield channel, reading

    @contextmanager
    def failing(self, channel: str) -> Iterator[None]:
        """Count what goes wrong with one channel, and go on."""
        try:
            yield
        except PresenceError as error:
            self._report.failed(error, channel)
        except Exception as error:
            logger.exception("channel=failed name=%s", channel)
            self._report.fail(f"{channel}: {type(error).__name__}: {error}")

    def _beside_old(
        self, polled: Polled, channel: str, seen: Seen, roster: Roster
    ) -> Reading | None:
        """None where somebody has written since the state was loaded."""
        state, old = polled.loaded.states[channel], polled.known.get(channel)
        if old is None:
            rev, stored = polled.rosters.get(channel, (0, b""))
            if rev != state.rev and not state.damage:
                self._report.refused += 1
                return None
            try:
                old = messages.decode(stored, Roster)
            except InvalidMessage as error:
                state = damaged(state, str(error))
        return Reading(seen, state, old, roster, seen.digest)

    def _read(self, raw: bytes, tracked: Sequence[Tracked], now: float) -> tuple[Roster, int]:
        return read_presence(
            raw,
            anonymous=self._anonymous,
            tracked=tracked,
            profiles=self._profiles,
            list_limit=self._list_limit,
            now=now,
        )

    def _read_again(self, channels: list[str], polled: Polled) -> dict[str, tuple[Seen, Roster]]:
        """What is shown now of channels that showed fewer clients than were counted.

        All are asked anew, together: since the survey somebody may have left, or a partial
        answer may have become whole. One that is still partial has no digest.
        """
        if not channels:
            return {}
        try:
            with self._report.timed("read", self._clock):
                replies, survey = self._gateway.recount(channels)
        except PresenceError as error:
            self._report.failed(error, ",".join(channels[:3]), count=len(channels))
            return {}
        again: dict[str, tuple[Seen, Roster]] = {}
        for channel, reply in zip(channels, replies, strict=True):
            if isinstance(reply, CentrifugoError):
                self._report.failed(reply, channel)
                continue
            raw, counted = bytes(reply), survey.clients.get(channel, 0)
            tracked = polled.different[channel].tracked
            with self.failing(channel):
                roster, connections = self._read(raw, tracked, polled.loaded.now)
                whole = connections >= counted
                seen = digest(raw, self._fingerprint, fingerprint(tracked)) if whole else b""
                again[channel] = Seen(raw, seen, survey.nodes, tracked), roster
                if not whole:
                    raise CentrifugoAnswerError(
                        f"a partial answer: {connections} clients shown, {counted} counted; "
                        "nobody is taken for gone"
                    )
        return again

    def _enriched(self, readings: dict[str, Reading]) -> dict[str, Reading]:
        """The readings with what PRESENCE_FETCH adds, asked once for all who join in any of them.

        Where it fails, nobody waits for it: it is asked again by the next tick.
        """
        assert self._fetch
        unknown = {
            channel: enriching.unknown(one.old or Roster(), one.roster, self._profiles)
            for channel, one in readings.items()
        }
        ids = {key for some in unknown.values() for key in some}
        fetched: enriching.Fetched = {}
        try:
            fetched = enriching.ask(self._fetch, ids) if ids else {}
        except FetchFailed as error:
            logger.exception("fetch=failed members=%d", len(ids))
            self._report.fail(error)
        return {
            channel: msgspec.structs.replace(
                one,
                roster=enriching.enrich(one.old or Roster(), one.roster, fetched),
                digest=b"" if unknown[channel] and not fetched else one.digest,
            )
            for channel, one in readings.items()
        }
