"""PRESENCE_FETCH is called once for all new members of a batch, and its results are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from presence.exceptions import FetchFailed
from presence.roster.merge import ask_site
from presence.roster.people import UserClaims
from tests.unit.fakes import ROOM, Site

OTHER = "presence:other"


class Hook:
    """Returns `answer`, or fails; records its calls."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer or {}
        self.asked: list[list[str]] = []
        self.error: Exception | None = None

    def __call__(self, ids: list[str]) -> Mapping[str, Any]:
        self.asked.append(ids)
        if self.error:
            raise self.error
        return {key: self.answer[key] for key in ids if key in self.answer}


@pytest.fixture
def hook() -> Hook:
    return Hook({"42": {"team": "Blue"}, "43": {"team": "Red", "name": "Admiral Hopper"}})


@pytest.fixture
def site(hook: Hook) -> Site:
    site = Site(fetch=hook)
    site.centrifugo.enter(ROOM, "c1", "42", "Ada", color="#111")
    return site


def members(site: Site, channel: str = ROOM) -> dict[str, tuple[str, dict[str, Any]]]:
    shown = site.snapshot(channel)["members"]
    return {member["id"]: (member["name"], member["info"]) for member in shown}


def test_fetch_with_join_enriches_roster_and_diff(site: Site) -> None:
    site.tick()
    assert members(site) == {"42": ("Ada", {"color": "#111", "team": "Blue"})}
    (diff,) = site.diffs()
    assert diff["joins"][0]["info"] == {"color": "#111", "team": "Blue"}


def test_fetch_with_blank_name_keeps_the_name(site: Site, hook: Hook) -> None:
    hook.answer["42"] = {"name": "\u200b\u3164", "team": "Blue"}
    site.tick()
    assert members(site) == {"42": ("Ada", {"color": "#111", "team": "Blue"})}


def test_fetch_in_list_mode_is_not_asked_for_visitors(hook: Hook) -> None:
    """Each page view of a visitor is another client: data kept by such ids would grow for ever."""
    site = Site(fetch=hook, anonymous="list")
    site.centrifugo.enter(ROOM, "c1", "")
    site.tick()
    assert [key for key, _ in members(site).items()] == ["anon_c1"]
    assert hook.asked == []
    site.centrifugo.quit(ROOM, "c1")
    site.tick(30)
    site.tick(30)
    assert members(site) == {}
    assert site.store.last_seen(["c1", "anon_c1"]) == {}


def test_fetch_with_name_replaces_the_name(site: Site) -> None:
    site.centrifugo.enter(ROOM, "c2", "43", "Grace")
    site.tick()
    assert members(site)["43"] == ("Admiral Hopper", {"team": "Red"})


def test_fetch_for_several_rooms_is_called_once(site: Site, hook: Hook) -> None:
    site.centrifugo.enter(OTHER, "c2", "43", "Grace")
    site.centrifugo.enter(OTHER, "c3", "42", "Ada")
    site.centrifugo.enter(OTHER, "c4", "")
    site.store.save_member(OTHER, "anon_1", source="", meta=b"{}", timeout=60)
    site.tick()
    assert hook.asked == [["42", "43"]]


def test_fetch_for_known_member_is_not_called_again(site: Site, hook: Hook) -> None:
    site.tick()
    site.centrifugo.enter(ROOM, "c2", "43", "Grace")
    site.tick(1)
    site.centrifugo.enter(ROOM, "c3", "42", "Ada Lovelace", iat=5.0)
    site.tick(1)
    assert hook.asked == [["42"], ["43"]]
    assert members(site)["42"] == ("Ada Lovelace", {"team": "Blue"})
    assert site.tick(60).changed == 0


def test_fetch_after_member_returned_is_called_again(site: Site, hook: Hook) -> None:
    site.tick()
    site.centrifugo.quit(ROOM, "c1")
    site.tick(1)
    site.tick(20)
    site.centrifugo.enter(ROOM, "c2", "42", "Ada")
    hook.answer["42"] = {"team": "Green"}
    site.tick(1)
    assert members(site)["42"] == ("Ada", {"team": "Green"})


def test_fetch_of_held_member_is_kept(site: Site, hook: Hook) -> None:
    site.tick()
    site.centrifugo.quit(ROOM, "c1")
    site.tick(1)
    site.centrifugo.enter(ROOM, "c2", "42", "Ada", color="#111")
    assert site.tick(1).changed == 0
    assert hook.asked == [["42"]]


def test_fetch_after_refresh_is_called_again(site: Site, hook: Hook) -> None:
    site.tick()
    hook.answer["42"] = {"team": "Green"}
    profile = msgspec.json.encode(UserClaims(name="Ada", iat=site.clock()))
    site.store.save_profile("42", profile, seconds=3600.0)
    site.tick(1)
    assert members(site)["42"] == ("Ada", {"team": "Green"})
    site.tick(1)
    assert len(hook.asked) == 2


def test_fetch_that_fails_shows_members_and_is_called_again(site: Site, hook: Hook) -> None:
    hook.error = RuntimeError("database is gone")
    report = site.tick()
    assert report.errors == 1
    assert "database is gone" in report.failures[0]
    assert members(site) == {"42": ("Ada", {"color": "#111"})}
    hook.error = None
    assert site.tick(60).errors == 0
    assert members(site) == {"42": ("Ada", {"color": "#111", "team": "Blue"})}
    assert site.diffs()[-1]["updates"][0]["info"]["team"] == "Blue"
    assert site.tick(60).changed == 0
    assert len(hook.asked) == 2


def test_fetch_when_switched_on_or_off_applies_at_the_next_tick(site: Site, hook: Hook) -> None:
    site.configure()
    site.tick()
    assert members(site)["42"] == ("Ada", {"color": "#111"})
    site.configure(fetch=hook)
    site.tick(1)
    assert members(site)["42"] == ("Ada", {"color": "#111", "team": "Blue"})
    site.configure()
    site.tick(1)
    assert members(site)["42"] == ("Ada", {"color": "#111"})


@pytest.mark.parametrize(
    "answer",
    [None, [], {"42": None}, {"42": "Blue"}, {"42": {"team": object()}}, {"42": {"n": float}}],
)
def test_fetch_with_malformed_answer_raises_fetch_failed(answer: Any) -> None:
    with pytest.raises(FetchFailed, match=r"PRESENCE_FETCH failed for 1 members .*: return a dict"):
        ask_site(lambda ids: answer, ["42"])


@pytest.mark.parametrize("answer", [{42: {"in": {"Blue"}}}, {"42": {"in": ("Blue",)}, "9": {}}])
def test_fetch_with_values_for_json_takes_them_as_json(answer: Any) -> None:
    assert ask_site(lambda ids: answer, ["42", "43"]) == {"42": {"in": ["Blue"]}, "43": {}}
