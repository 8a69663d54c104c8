"""The channels that a tick polls, found through Centrifugo or the registry."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.unit.fakes import Site

LIFETIME = 3600.0


def site(**options: Any) -> Site:
    return Site(**({"grace": 0.0, "token_lifetime": LIFETIME} | options))


def come(site: Site, numbers: range) -> None:
    names = [f"presence:{n}" for n in numbers]
    for name in names:
        site.centrifugo.enter(name, "c", "ada", "Ada")
    site.store.register_channels(names)


def go(site: Site, numbers: range) -> None:
    for n in numbers:
        site.centrifugo.quit(f"presence:{n}", "c")


@pytest.mark.parametrize("discovery", ["channels", "registry"])
def test_tick_when_thousands_of_channels_come_and_go_forgets_the_empty_ones(
    discovery: str, caplog: pytest.LogCaptureFixture
) -> None:
    """2,000 new channels a tick: each is seen to fill and to empty, and is forgotten."""
    here = site(discovery=discovery, token_lifetime=60.0)
    known = []
    with caplog.at_level(logging.INFO, "presence.sync"):
        for turn in range(20):
            if turn < 5:
                come(here, range(2000 * turn, 2000 * (turn + 1)))
            if 0 < turn < 6:
                go(here, range(2000 * (turn - 1), 2000 * turn))
            report = here.tick(60)
            assert report.errors == 0
            assert report.joins == (2000 if turn < 5 else 0)
            assert report.leaves == (2000 if 0 < turn < 6 else 0)
            known.append(len(here.store.known_channels().polled))
    assert max(known) == 10_000
    assert known[-1] == 0
    assert (
        discovery == "channels" or here.store.known_channels(registered_within=1e9).registered == []
    )
    closed = [r for r in caplog.records if "channel=closed" in r.getMessage()]
    assert len(closed) == 10_000
    assert here.store.load_states(["presence:0"]).states["presence:0"].rev == 0


def test_tick_of_many_named_channels_counts_each_and_no_other() -> None:
    here = site()
    come(here, range(100))
    asked: list[list[str]] = []
    survey = here.gateway.survey
    here.gateway.survey = lambda patterns: (asked.append(patterns), survey(patterns))[1]  # type: ignore
    named = [f"presence:{n}" for n in range(10, 60)]
    assert here.tick(only=named).joins == 50
    assert asked == [["presence:*"]]
    here.centrifugo.counted["presence:10"] = 2
    assert here.tick(60, only=named).errors == 0, "nothing changed: not looked at"
    go(here, range(10, 11))
    assert here.tick(60, only=named).errors == 1, "a partial answer"


def test_tick_of_named_channel_with_watched_feed_polls_it() -> None:
    here = site()
    here.centrifugo.watchers["roster:chat:1"] = 1
    here.centrifugo.enter("chat:1", "c", "ada", "Ada")
    here.tick(only=["chat:1"])
    assert here.snapshot("chat:1")["version"] == 1


def test_tick_past_its_deadline_polls_longest_unpolled_channels_first() -> None:
    here = site(batch_size=1, interval=5.0)
    come(here, range(20))
    here.centrifugo.before["poll"] = lambda: here.clock.advance(10.0)
    seen: set[str] = set()
    for _ in range(5):
        report = here.tick(60)
        assert 0 < report.channels < 20
        seen |= here.store.known_channels().polled.keys()
    assert len(seen) == 20
    times = sorted(here.store.known_channels().polled.values())
    assert here.clock() - times[0] < 5 * (60 + 2 * here.options.deadline)


class TestRegistry:
    def test_registry_tick_asks_centrifugo_for_no_channels(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = site(discovery="registry")
        come(here, range(3))
        asked: list[Any] = []
        survey = here.gateway.survey
        monkeypatch.setattr(
            here.gateway,
            "survey",
            lambda patterns: (asked.append(patterns), survey(patterns))[1],
        )
        assert here.tick().joins == 3
        assert asked == [[]]

    def test_registry_tick_of_unregistered_channel_polls_nothing(self) -> None:
        here = site(discovery="registry")
        here.centrifugo.enter("presence:x", "c", "ada", "Ada")
        assert here.tick().channels == 0

    def test_registry_tick_of_expired_occupied_channel_still_polls_it(self) -> None:
        here = site(discovery="registry")
        come(here, range(1))
        here.tick()
        assert here.tick(3 * LIFETIME).channels == 1
        assert here.store.known_channels(registered_within=1e9).registered == []
        go(here, range(1))
        assert here.tick(60).leaves == 1
        assert here.tick(60).channels == 0

    def test_registry_tick_of_empty_channel_polls_it_for_the_lifetime_of_a_token(self) -> None:
        here = site(discovery="registry")
        here.store.register_channels(["presence:0"])
        assert here.tick().channels == 1
        assert here.tick(LIFETIME + 60).channels == 1
        assert here.tick(60).channels == 0
        come(here, range(1))
        assert here.tick(60).joins == 1

    def test_registry_tick_of_registered_empty_room_stores_nothing(self) -> None:
        here = site(discovery="registry", patterns=("chat:*",))
        here.store.register_channels(["chat:lobby"])
        assert here.tick().channels == 1
        assert (here.snapshot("chat:lobby"), here.store.known_channels().polled) == ({}, {})
        assert here.centrifugo.streams == {}
        here.centrifugo.enter("chat:lobby", "c", "ada", "Ada")
        assert here.tick(60).joins == 1
        assert here.snapshot("chat:lobby")["total"] == 1

    def test_registry_tick_takes_no_reply_for_partial(self) -> None:
        here = site(discovery="registry")
        come(here, range(1))
        here.centrifugo.counted["presence:0"] = 9
        report = here.tick()
        assert (report.errors, report.joins) == (0, 1)
        assert "recount" not in here.centrifugo.requests


@pytest.mark.parametrize("discovery", ["channels", "registry"])
def test_tick_with_pattern_for_everything_polls_no_channel_of_cursors_or_a_session(
    discovery: str, caplog: pytest.LogCaptureFixture
) -> None:
    here = site(discovery=discovery, patterns=("*",))
    for name in ("cursors:1", "session:1.a", "presence:1"):
        here.centrifugo.enter(name, "c", "ada", "Ada")
    here.centrifugo.watchers["roster:cursors:1"] = 1
    here.store.register_channels(["cursors:1", "presence:1"])
    with caplog.at_level(logging.WARNING, "presence.sync"):
        report = here.tick()
    assert (report.channels, report.joins) == (1, 1)
    assert list(here.store.known_channels().polled) == ["presence:1"]
    assert not caplog.records
