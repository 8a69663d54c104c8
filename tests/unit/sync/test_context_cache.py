"""The cache of rosters: the states that its entries belong to, and its limit."""

from __future__ import annotations

import msgspec
import pytest

from presence.exceptions import CentrifugoUnreachable, StoreError
from presence.roster import messages
from presence.roster.commit import Commit, State
from presence.roster.messages import Member, Roster
from presence.sync import poll
from presence.sync.context import RosterCache
from tests.unit.fakes import ROOM, Site


def people(*ids: str) -> Roster:
    return Roster({key: Member(key, key.title()) for key in ids})


def commit(
    channel: str = ROOM, *ids: str, rev: int = 0, pending: bytes = b"x", digest: bytes = b"d"
) -> Commit:
    return Commit(
        channel=channel, rev=rev, epoch="e", version=1, run="r", digest=digest, leaving=b"",
        pending=pending, after=people(*ids),
    )  # fmt: skip


def state(channel: str = ROOM, *, rev: int = 2, epoch: str = "e", digest: bytes = b"d") -> State:
    return State(channel=channel, rev=rev, epoch=epoch, digest=digest)


def test_roster_cache_after_commit_with_diff_knows_the_acknowledged_state() -> None:
    cache = RosterCache()
    cache.keep(commit(ROOM, "ada"))
    assert cache.roster(state(rev=2)) == people("ada")


def test_roster_cache_after_commit_without_diff_knows_the_next_state() -> None:
    cache = RosterCache()
    cache.keep(commit(ROOM, "ada", rev=4, pending=b""))
    assert cache.roster(state(rev=5)) == people("ada")


@pytest.mark.parametrize(
    "other",
    [
        *(state(rev=1), state(rev=3), state(epoch="f"), state("presence:other")),
        state(digest=b"another reading"),
    ],
    ids=[
        *("not yet acknowledged", "somebody wrote since", "another life", "another channel"),
        "somebody wrote the same pending",
    ],
)
def test_roster_cache_of_another_state_has_nothing(other: State) -> None:
    cache = RosterCache()
    cache.keep(commit(ROOM, "ada"))
    assert cache.roster(other) is None


def test_roster_cache_of_commit_without_digest_keeps_nothing() -> None:
    cache = RosterCache()
    cache.keep(commit(ROOM, "ada"))
    cache.keep(commit(ROOM, "ada", rev=2, digest=b""))
    assert cache.roster(state(rev=4, digest=b"")) is None


def test_roster_cache_of_uncommitted_state_is_an_empty_roster() -> None:
    assert RosterCache().roster(State(channel=ROOM)) == Roster()


def test_roster_cache_after_two_commits_keeps_the_newer() -> None:
    cache = RosterCache()
    cache.keep(commit(ROOM, "ada"))
    cache.keep(commit(ROOM, "ada", "alan", rev=2))
    assert cache.roster(state(rev=2)) is None
    assert cache.roster(state(rev=4)) == people("ada", "alan")


def test_roster_cache_above_its_limit_keeps_the_last_used() -> None:
    cache = RosterCache(limit=6)
    for channel in ("a", "b", "c"):
        cache.keep(commit(channel, "ada"))
    cache.roster(state("a"))
    cache.keep(commit("d", "ada"))
    assert [bool(cache.roster(state(channel))) for channel in "abcd"] == [True, False, True, True]


def test_roster_cache_of_too_large_roster_drops_everything() -> None:
    cache = RosterCache(limit=3)
    cache.keep(commit("a", "ada"))
    cache.keep(commit("b", "ada", "alan", "mia"))
    assert cache.roster(state("a")) is None
    assert cache.roster(state("b")) is None
    cache.keep(commit("c", "ada"))
    assert cache.roster(state("c")) == people("ada")


class TestThroughTheSync:
    @pytest.fixture
    def site(self) -> Site:
        site = Site(grace=0.0)
        site.centrifugo.enter(ROOM, "c1", "ada", "Ada")
        site.tick()
        return site

    def test_tick_after_own_write_loads_no_roster(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(poll, "CHECKED_CHANNELS", 1e-9)  # none are checked
        monkeypatch.setattr(site.store, "_whole", None)
        monkeypatch.setattr(site.store, "_commit", lambda commit: committed.append(commit) or True)
        committed: list[Commit] = []
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        assert site.tick(1).joins == 1
        assert [*committed[0].after.members] == ["ada", "alan"]

    def test_tick_after_write_of_another_process_loads_the_roster(self, site: Site) -> None:
        other = site.make(site.options)
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        assert other.tick().joins == 1
        site.centrifugo.quit(ROOM, "c1")
        assert (site.tick(1).leaves, site.ids()) == (1, ["alan"])

    def test_tick_with_refused_commit_caches_nothing(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        with monkeypatch.context() as patch:
            patch.setattr(site.store, "_commit", lambda _: False)
            assert site.tick(1).refused == 1
        assert (site.tick(1).joins, site.ids()) == (1, ["ada", "alan"])

    def test_tick_after_store_was_emptied_starts_from_the_store(self, site: Site) -> None:
        for kept in ("_rooms", "_polled"):
            getattr(site.store, kept).clear()
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        assert (site.tick(1).joins, site.snapshot()["version"]) == (2, 1)

    def test_tick_after_store_was_rolled_back_starts_from_the_store(self, site: Site) -> None:
        saved = {"_rooms": dict(site.store._rooms)}
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        site.tick(1)
        vars(site.store).update(saved | {"_run": "another life"})
        assert (site.tick(1).joins, site.ids()) == (1, ["ada", "alan"])

    def test_tick_after_rollback_and_write_of_another_process_loads_the_roster(
        self, site: Site
    ) -> None:
        """A worker that loaded before the rollback may write the same `rev` again."""
        names, saved = ("_rooms", "_polled"), {}
        slow = site.make(site.options)

        def meanwhile() -> None:
            del site.centrifugo.after["poll"]
            saved.update({name: dict(getattr(site.store, name)) for name in names})
            site.centrifugo.quit(ROOM, "c2")
            site.centrifugo.enter(ROOM, "c3", "mia", "Mia")
            site.tick()
            vars(site.store).update(saved | {"_run": "another life"})

        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        site.centrifugo.after["poll"] = meanwhile
        assert slow.tick().errors == 0
        assert site.ids() == ["ada", "alan"]
        report = site.tick(1)
        assert (report.joins, report.leaves, site.ids()) == (1, 1, ["ada", "mia"])

    def test_tick_in_another_life_of_the_store_uses_no_cached_roster(self, site: Site) -> None:
        rooms = site.store._rooms
        rooms[ROOM] = rooms[ROOM]._replace(roster=messages.encode(people("ada", "mia")))
        site.store._run = "another life"
        site.centrifugo.enter(ROOM, "c2", "mia", "Mia")
        assert (site.tick(1).joins, site.ids()) == (0, ["ada", "mia"])

    def test_tick_with_same_diff_as_another_process_caches_no_wrong_roster(
        self, site: Site
    ) -> None:
        """The worker whose roster was not written saw Alan's second tab, which was signed later."""
        other = site.make(site.options)

        def meanwhile() -> None:
            site.centrifugo.after.clear()
            site.centrifugo.quit(ROOM, "c3")
            site.centrifugo.before["publish"] = fail
            assert other.tick().errors

        def fail() -> None:
            site.centrifugo.before.clear()
            raise CentrifugoUnreachable("no answer")

        site.centrifugo.enter(ROOM, "c2", "alan", "Alan", iat=1.0)
        site.centrifugo.enter(ROOM, "c3", "alan", "Alan", iat=5.0)
        site.centrifugo.after["poll"] = meanwhile
        assert site.tick(1).published == 1
        loaded = site.store.load_states([ROOM], rosters=[ROOM])
        stored = messages.decode(loaded.rosters[ROOM][1], Roster)
        assert stored.issued["alan"] == 1.0
        assert site.sync.cache.roster(loaded.states[ROOM]) in (None, stored)

    def test_tick_after_dropped_diff_loads_the_roster(self, site: Site) -> None:
        room = site.store._rooms[ROOM]
        state = msgspec.structs.replace(room.state, epoch="after-a-drop")
        site.store._rooms[ROOM] = room._replace(state=state)
        site.centrifugo.quit(ROOM, "c1")
        assert (site.tick(1).leaves, site.ids()) == (1, [])

    def test_tick_after_store_failed_behind_its_write_loads_the_roster(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.centrifugo.enter(ROOM, "c2", "alan", "Alan")
        write = site.store.write

        def lost(writes: object) -> None:
            write(writes)  # type: ignore[arg-type]
            raise StoreError("the reply was lost")

        with monkeypatch.context() as patch:
            patch.setattr(site.store, "write", lost)
            assert site.tick(1).errors
        site.centrifugo.quit(ROOM, "c1")
        site.tick(1)
        assert site.ids() == ["alan"]
