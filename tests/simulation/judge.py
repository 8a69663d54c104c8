"""What must hold: at each step of a page, and at the end of a history."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import greenlet

from presence.exceptions import InvalidMessage
from presence.roster import messages
from presence.roster.channel_names import is_session_channel
from presence.roster.commit import Commit, find_flaw, verify
from presence.roster.messages import Diff, Snapshot
from tests.feed_reader import apply, decode_publication

if TYPE_CHECKING:
    from tests.simulation.pages import Tab
    from tests.simulation.world import World


EARLY = 0.3
"""Seconds by which a leave may be believed before the grace is over."""


class Judge:
    """Compares what pages show and what was published with what is true."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.signed_out: set[str] = set()
        self.reading_was_long = False
        """Whether a process was paused while it read: an absence may have begun meanwhile."""
        self._moves: dict[tuple[str, str], list[tuple[float, bool]]] = defaultdict(list)
        self._read_at: dict[tuple[object, str], float] = {}
        self._known_at: dict[str, list[float]] = defaultdict(list)

    def moved(self, channel: str, user: str, is_here: bool) -> None:
        self._moves[channel, user].append((self._world.clock(), is_here))

    def read(self, channel: str) -> None:
        self._read_at[greenlet.getcurrent(), channel] = self._world.clock()

    def commit(self, commit: Commit) -> None:
        """Judge a commit that was taken: nobody leaves before the grace is over."""
        world, channel = self._world, commit.channel
        read_at = self._read_at.get((greenlet.getcurrent(), channel), world.clock())
        for member in commit.change.leaves:
            if member.id == "bot" or member.id in self.signed_out or self.reading_was_long:
                continue
            if world.profile in ("faults", "looks", "ticks"):
                moves = self._moves[channel, member.id]
                why = f"an error was taken for an empty room: {member.id} at {read_at} {moves[-4:]}"
                assert self._is_gone(channel, moves, read_at), why
        self._known_at[channel].append(read_at)

    def _is_gone(self, channel: str, moves: list[tuple[float, bool]], read_at: float) -> bool:
        """Return whether a user was away for the grace, as far as anybody could know: a stay that
        no commit knew of does not count."""
        moves = [move for move in moves if move[0] <= read_at]
        if moves[-1][1]:
            return False
        while moves:
            gone, came = moves.pop()[0], moves.pop()[0]
            if read_at - gone >= self._world.options.grace - EARLY:
                return True
            if any(came <= at <= gone for at in self._known_at[channel]):
                return False
        return False

    def page(self, tab: Tab, report: dict[str, Any]) -> None:
        """Judge one report of a page: no change twice, none skipped, and a version that was
        committed, with these members."""
        assert report["problems"] == [], (tab.number, report["problems"])
        for kind, epoch, base, version in report["steps"]:
            if kind == "diff":
                assert (epoch, base) == tab.version, f"page {tab.number} skipped a change"
                assert version == base + 1
                assert (epoch, version) not in tab.applied, f"page {tab.number} took one twice"
                tab.applied.add((epoch, version))
            elif epoch == tab.version[0]:
                assert version >= tab.version[1], f"page {tab.number} went back"
            tab.version = epoch, version
        assert (report["epoch"], report["version"]) == tab.version, tab.number
        known = self._world.store.committed.get((tab.channel, *tab.version), [])
        shown = _essence(report)
        candidates = [_essence_of(raw) for raw in known]
        assert not known or shown in candidates, (tab.number, tab.version, shown, candidates)

    def end(self) -> None:
        """Judge a history that has come to rest."""
        self._nobody_left_on_errors()
        self._revoked_are_out()
        self._converged()
        if self._world.profile not in ("rollbacks", "damage"):
            self._chain()
            if not self._world.faults.without_ticks:
                self._signalled()
        self._repaired()

    def _nobody_left_on_errors(self) -> None:
        if self._world.profile == "jumps":
            return  # a clock that is set ahead ends graces, and the hold after a restart
        left = {member.id for _, _, change, _ in self._world.announced for member in change.leaves}
        assert not left & {"r1", "r2"}, "an error was taken for an empty room"

    def _revoked_are_out(self) -> None:
        world = self._world
        for tab in world.clients.values():
            if tab.visit.user and world.profile != "rollbacks":
                assert tab.visit.session not in world.revoked, f"page {tab.number} is not out"

    def _converged(self) -> None:
        world = self._world
        for tab in world.tabs:
            if tab.shows["revoked"]:
                continue
            assert tab.client, f"page {tab.number} is not connected: {tab.shows}"
            where = f"page {tab.number} of {tab.channel}"
            # Without ticks there is no pulse, so pages say that they may be late.
            assert tab.shows["phase"] == "live" or world.faults.without_ticks, (where, tab.shows)
            entries = list(world.centrifugo.rooms[tab.channel].values())
            users = {entry["user"] for entry in entries if entry["user"]}
            tracked = world.store.load_members([tab.channel], timeout=world.options.timeout)
            bots = {record.user for record in tracked[tab.channel].members}
            anonymous = sum(not entry["user"] for entry in entries)
            shown = tab.shows
            assert (shown["total"], shown["anonymous"]) == (
                len(users | bots),
                anonymous,
            ), (where, users, bots)
            if not shown["listed"]:
                continue
            newest = dict.fromkeys(users, 0.0)
            for entry in entries:
                if user := entry["user"]:
                    newest[user] = max(newest[user], entry["conn_info"]["iat"])
            found = {each["id"]: each["name"] for each in shown["members"]}
            assert found.keys() == users | bots, (where, found)
            # A newer name stays that the roster has seen.
            for user, name in found.items() - {(bot, found[bot]) for bot in bots}:
                right = {name for at, name in world.signed[user] if at >= newest[user]}
                assert name in right, (where, user, name, right)

    def _chain(self) -> None:
        """Each step of the chain was published exactly once in a life of the streams. In another
        life, a worker that was paused may repeat earlier steps: pages drop these."""
        world = self._world
        world.centrifugo.keep_logs()
        contents: dict[tuple[str, str, int], bytes] = {}
        last: dict[str, tuple[str, int]] = {}
        for feed, log in world.centrifugo.logs:
            assert len(set(log)) == len(log), "a repeat"
            for data in log:
                publication = decode_publication(data)
                assert publication is not None
                epoch, version = publication.epoch, publication.version  # type: ignore[union-attr]
                if (feed, epoch, version) in contents:
                    assert contents[feed, epoch, version] == data, "one version, two contents"
                    continue
                before = last.get(feed, ("", 0))
                assert (epoch, version) in {(before[0], before[1] + 1), (epoch, 1)}, "a gap"
                contents[feed, epoch, version], last[feed] = data, (epoch, version)
        for (channel, epoch, version), data in contents.items():
            publication = decode_publication(data)
            base = world.store.committed.get((channel, epoch, version - 1))
            if isinstance(publication, Diff) and base:
                after = messages.decode(world.store.committed[channel, epoch, version][0], Snapshot)
                assert apply(messages.decode(base[0], Snapshot), publication) == after

    def _signalled(self) -> None:
        """Signal receivers got each acknowledged change at least once."""
        world = self._world
        announced = {(each[0], each[1], repr(each[2])) for each in world.announced}
        for channel, raw in world.store.acknowledged:
            pending = messages.decode(raw, messages.Pending)
            assert (channel, pending.version, repr(pending.change)) in announced, "no signal"

    def _repaired(self) -> None:
        store = self._world.store
        rooms = [channel for channel in store._rooms if not is_session_channel(channel)]
        loaded = store.load_states(rooms, whole=rooms)
        for channel in rooms:
            state, whole = loaded.states[channel], loaded.whole[channel]
            assert verify(state).damage is None, channel
            assert not state.rev or not find_flaw(state, whole.roster, whole.snapshot), channel
            # A signal that a killed worker left behind is sent by a tick.
            assert state.unsignalled == () or self._world.faults.without_ticks, channel


def _essence_of(raw: bytes) -> object:
    try:
        return _essence(messages.msgspec.to_builtins(messages.decode(raw, Snapshot)))
    except InvalidMessage:
        return None


def _essence(shown: dict[str, Any]) -> tuple[object, ...]:
    members = [(each["id"], each["name"]) for each in shown["members"]]
    return shown["listed"], shown["total"], shown["anonymous"], members
