"""Errors in a tick are counted and logged, and never empty a room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from presence.exceptions import (
    CentrifugoAnswerError,
    CentrifugoError,
    CentrifugoRefused,
    CentrifugoUnreachable,
    CommandError,
    StoreError,
)
from tests.unit.fakes import ROOM, Site

OTHER = "presence:other"
GATEWAY = ["survey", "poll", "recount", "positions", "publish"]
STORE = [
    *(
        "load_states",
        "load_states.rosters",
        "write.commits",
        "write.acknowledgements",
        "write.signalled",
    ),
    *("known_channels", "write.nodes"),
]
ERRORS = [
    CentrifugoUnreachable("no answer"),
    CentrifugoRefused("wrong key"),
    CentrifugoAnswerError("half a body"),
    CommandError(100, "internal server error"),
]


class Crash(BaseException):
    """The end of a process."""


class Interrupted:
    """A store or a gateway whose calls can fail before or after they took effect.

    Of the calls of `method.part`, only those do that have that part in them.
    """

    def __init__(self, real: Any, method: str, *, when: str, error: BaseException) -> None:
        self._real = real
        self._method, _, self._part = method.partition(".")
        self._when = when
        self._error = error

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name != self._method:
            return real

        def interrupted(*arguments: Any, **options: Any) -> Any:
            if self._part and not (
                options.get(self._part) or getattr(arguments[0], self._part, None)
            ):
                return real(*arguments, **options)
            if self._when == "after":
                real(*arguments, **options)
            raise self._error

        return interrupted


@pytest.fixture
def site() -> Site:
    """Two rooms: one that changes in the next tick (a join, a leave, an update), one quiet."""
    site = Site(grace=0.0)
    site.centrifugo.enter(ROOM, "c1", "ada", "Ada", iat=1.0)
    site.centrifugo.enter(ROOM, "c2", "alan", "Alan", iat=1.0)
    site.centrifugo.enter(OTHER, "c3", "mia", "Mia", iat=1.0)
    assert site.tick().errors == 0
    site.centrifugo.quit(ROOM, "c2")
    site.centrifugo.enter(ROOM, "c4", "grace", "Grace", iat=1.0)
    site.centrifugo.enter(ROOM, "c1", "ada", "Ada King", iat=2.0)
    return site


def interrupt(site: Site, method: str, when: str, error: BaseException) -> Any:
    """Return a sync of the site with one call that fails."""
    store, gateway = site.store, site.gateway
    wrapped = Interrupted(gateway if method in GATEWAY else store, method, when=when, error=error)
    options = site.options
    if method in GATEWAY:
        return site.make(options, gateway=wrapped)
    return site.make(options, store=wrapped)


def assert_chain(site: Site, channel: str = ROOM) -> None:
    """Assert that the published diffs are the version chain, and end with the present members."""
    diffs = site.diffs(channel)
    assert [(diff["base"], diff["version"]) for diff in diffs] == [
        (n, n + 1) for n in range(len(diffs))
    ]
    assert site.snapshot(channel)["version"] == len(diffs)
    present = {entry["user"] for entry in site.centrifugo.rooms[channel].values()}
    assert set(site.ids(channel)) == present


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", ["survey", "poll", "publish"])
def test_tick_with_failing_centrifugo_changes_nothing_and_next_tick_recovers(
    site: Site, method: str, error: CentrifugoError, when: str
) -> None:
    before = site.ids(), site.ids(OTHER)
    report = interrupt(site, method, when, error).tick()
    assert report.errors >= 1
    assert report.leaves == 0 or method == "publish"
    if method != "publish":
        assert (site.ids(), site.ids(OTHER)) == before
    assert len(site.announced) == 2, "nothing new was announced"
    assert site.tick(1).errors == 0
    assert_chain(site)
    assert_chain(site, OTHER)
    assert len(site.announced) == 3


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", STORE)
def test_tick_with_failing_store_loses_nothing(site: Site, method: str, when: str) -> None:
    report = interrupt(site, method, when, StoreError("down")).tick()
    assert report.errors >= 1
    assert "down" in report.failures[0]
    assert site.tick(1).errors == 0
    assert_chain(site)
    assert_chain(site, OTHER)
    site.tick(60)
    assert {version for channel, version, *_ in site.announced if channel == ROOM} == {1, 2}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "method",
    [
        *("load_states", "poll", "load_states.rosters", "write.commits"),
        *("publish", "write.acknowledgements", "write.signalled"),
    ],
)
def test_tick_that_crashes_at_any_step_breaks_no_chain(site: Site, method: str, when: str) -> None:
    with pytest.raises(Crash):
        interrupt(site, method, when, Crash()).tick()
    assert site.tick(1).errors == 0
    assert_chain(site)
    assert_chain(site, OTHER)
    site.tick(60)
    assert {version for channel, version, *_ in site.announced if channel == ROOM} == {1, 2}


@pytest.mark.parametrize("seconds", [1.0, 400.0])
def test_tick_after_lost_acknowledgement_publishes_no_repeat(site: Site, seconds: float) -> None:
    """After 300 s the idempotency key is forgotten; `version` is not."""
    with pytest.raises(Crash):
        interrupt(site, "write.acknowledgements", "before", Crash()).tick()
    site.tick(seconds)
    assert_chain(site)


def test_tick_with_pending_diff_publishes_it_before_newer_ones(site: Site) -> None:
    with pytest.raises(Crash):
        interrupt(site, "publish", "before", Crash()).tick()
    site.centrifugo.enter(ROOM, "c5", "zoe", "Zoe")
    report = site.tick(1)
    assert report.published == 2
    assert_chain(site)
    assert site.diffs()[-1]["joins"][0]["id"] == "zoe"


def test_tick_with_unpublishable_diff_delays_only_its_channel(site: Site) -> None:
    site.centrifugo.errors["publish", ROOM] = CommandError(100, "internal server error")
    site.centrifugo.enter(OTHER, "c6", "zoe", "Zoe")
    assert site.tick().errors == 1
    site.centrifugo.enter(ROOM, "c7", "eve", "Eve")
    assert site.tick(1).errors == 1
    assert site.ids(OTHER) == ["mia", "zoe"]
    assert len(site.diffs()) == 1
    site.centrifugo.errors.clear()
    site.tick(1)
    assert_chain(site)


@pytest.mark.parametrize("code", [100, 102, 103, 107, 108])
def test_tick_with_error_of_one_channel_polls_the_others(site: Site, code: int) -> None:
    site.centrifugo.errors["presence", ROOM] = CommandError(code, "whatever")
    site.centrifugo.enter(OTHER, "c6", "zoe", "Zoe")
    before = site.ids()
    report = site.tick()
    assert (report.errors, report.leaves) == (1, 0)
    assert report.failures[0].startswith(f"{ROOM}: Centrifugo answered error {code}")
    assert site.ids() == before
    assert site.ids(OTHER) == ["mia", "zoe"]
    site.tick(1000)
    assert site.ids() == before, "however long it lasts"
    assert site.store.known_channels().polled[ROOM] < site.clock(), (
        "and the age of the snapshot says so"
    )


@pytest.mark.parametrize("code", [102, 107, 108])
def test_tick_with_permanently_refused_diff_starts_a_new_epoch(site: Site, code: int) -> None:
    first = site.snapshot()["epoch"]
    site.centrifugo.errors["publish", ROOM] = CommandError(code, "never")
    report = site.tick()
    assert (report.errors, report.published) == (1, 0)
    snapshot = site.snapshot()
    assert (snapshot["epoch"] != first, snapshot["version"]) == (True, 1)
    assert [member["id"] for member in snapshot["members"]] == ["ada", "grace"]
    assert len(site.announced) == 3, "it happened all the same"
    assert site.tick(1).errors == 0, "nothing is left over"
    site.centrifugo.errors.clear()
    site.centrifugo.enter(ROOM, "c5", "zoe", "Zoe")
    site.tick(1)
    diff = site.diffs()[-1]
    assert (diff["epoch"], diff["base"], diff["version"]) == (snapshot["epoch"], 1, 2)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"null", b"[]", b"{}", b'{"presence":null}', b'{"presence":[]}'),
        *(b'{"presence":{"c1":7}}', b'{"presence":{"c1":{"user":[]}}}', b'{"presence":{"c1"'),
    ],
)
def test_tick_with_malformed_presence_reply_keeps_roster(site: Site, raw: bytes) -> None:
    site.centrifugo.raw[ROOM] = raw
    before = site.ids()
    report = site.tick()
    assert (report.errors, report.leaves, site.ids()) == (1, 0, before)
    assert "cannot be read" in report.failures[0]
    site.centrifugo.raw.clear()
    site.tick(1)
    assert_chain(site)


@pytest.mark.parametrize("info", [[1], 7, {"name": 7}, "x", {"iat": "x"}, [[[]]], True])
def test_tick_with_malformed_info_shows_member_by_id(site: Site, info: Any) -> None:
    site.centrifugo.rooms[ROOM]["c4"]["conn_info"] = info
    assert site.tick().errors == 0
    assert site.snapshot()["members"][1] == {"id": "grace", "name": "grace", "info": {}}


@pytest.fixture
def other_tick(site: Site) -> Callable[[], Any]:
    """A second sync on the same store and Centrifugo."""
    return site.make(site.options).tick


class TestTwoTicksAtOnce:
    """The other tick runs completely, at some moment of the first."""

    @pytest.fixture(params=[(m, w) for m in GATEWAY for w in ("before", "after")], ids="-".join)
    def moment(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        return request.param

    def test_two_ticks_at_once_keep_the_chain(
        self, site: Site, other_tick: Callable[[], Any], moment: tuple[str, str]
    ) -> None:
        method, when = moment
        hooks = getattr(site.centrifugo, when)

        def once() -> None:
            del hooks[method]
            site.centrifugo.enter(ROOM, "c8", "eve", "Eve")
            assert other_tick().errors == 0

        hooks[method] = once
        assert site.tick(1).errors == 0
        site.tick(1)
        assert_chain(site)
        versions = [version for channel, version, *_ in site.announced if channel == ROOM]
        assert versions == sorted(set(versions)), "each change announced once, in order"

    def test_two_ticks_at_once_drop_the_stale_reading(
        self, site: Site, other_tick: Callable[[], Any]
    ) -> None:
        def once() -> None:
            del site.centrifugo.after["poll"]
            site.centrifugo.enter(ROOM, "c9", "zoe", "Zoe")
            other_tick()

        site.centrifugo.after["poll"] = once
        report = site.tick()
        assert (report.refused, report.changed, report.errors) == (1, 0, 0)
        assert set(site.ids()) == {"ada", "grace", "zoe"}
        assert_chain(site)
