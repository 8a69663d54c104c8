"""Looks on a site where much goes wrong at once: wrong counts, crowds, floods of marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import pytest

from presence.backends.base import Writes
from presence.exceptions import CommandError
from presence.sync import watch
from tests.unit.fakes import ROOM, FakeCentrifugo, Site
from tests.unit.sync.test_watch import fill, look, polled, record_polls

CHECK = 1.5
"""Seconds after which a page checks whether the roster has it."""
LATE = 3.5
"""Seconds within which docs/freshness.md promises a member who came by a swap."""


# Counts that are wrong


def answer(method: str, reply: Any) -> Callable[[Site, pytest.MonkeyPatch], None]:
    def install(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FakeCentrifugo, f"_answer_{method}", lambda *_, **__: reply)

    return install


def fail(method: str) -> Callable[[Site, pytest.MonkeyPatch], None]:
    def install(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        site.centrifugo.errors[method, ""] = CommandError(100, "internal server error")

    return install


@pytest.mark.parametrize(
    "install",
    [
        fail("channels"),
        fail("info"),
        answer("channels", {}),
        answer("channels", {"channels": None}),
        answer("channels", {"channels": []}),
        answer("channels", {"channels": {ROOM: None}}),
        answer("channels", {"channels": {ROOM: {"num_clients": "none"}}}),
        answer("info", {}),
        answer("info", {"nodes": None}),
    ],
)
def test_look_whose_counts_fail_takes_nobody_for_gone_and_loses_no_mark(
    install: Callable[[Site, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(grace=2.0)
    site.centrifugo.enter(ROOM, "c1", "7", "Ada")
    polled(site)
    site.store.write(Writes(due={"presence:due": 0.0}))
    counts, due = site.store._counts, dict(site.store._due)
    with monkeypatch.context() as context:
        install(site, context)
        for _ in range(8):
            report = look(site)
            assert report is not None
            assert (report.errors, report.channels) == (1, 0)
    site.centrifugo.errors.clear()
    assert (site.ids(), site.store._counts, site.store._due) == (["7"], counts, due)
    assert (polled(site), site.ids(), len(site.diffs())) == (1, ["7"], 1)


@pytest.mark.parametrize("share", [0, 0.5])
def test_look_that_counts_too_few_clients_shows_nobody_leaving(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node of several is down, or does not tell its counts: presence has everybody."""
    site = Site(grace=2.0)
    names = fill(site, 20)
    for n, name in product(range(4), names):
        site.centrifugo.enter(name, f"{name}-{n}", f"u{n}", "Bea")
    polled(site)
    real = FakeCentrifugo._counts

    def fewer(self: FakeCentrifugo) -> Mapping[str, int]:
        return {name: int(count * share) for name, count in real(self).items()}

    with monkeypatch.context() as context:
        context.setattr(FakeCentrifugo, "_counts", fewer)
        assert polled(site) == 20
        for _ in range(5):
            assert polled(site) == 0
    assert polled(site) == 20
    for name in names:
        assert len(site.ids(name)) == 5
        assert len(site.diffs(name)) == 1, "nothing was published since"


def test_restart_of_centrifugo_that_looks_cannot_poll_in_time_shows_nobody_leaving() -> None:
    site = Site(grace=10.0, batch_size=1)
    names = fill(site, 60)
    while polled_now(site):
        pass
    record_polls(site, seconds=0.2)
    site.centrifugo.restart()
    for second in range(150):
        if second == 5:
            fill(site, 60)
        look(site)
    assert all(len(site.ids(name)) == 1 for name in names)
    assert not any(diff.get("leaves") for name in names for diff in site.diffs(name))
    assert site.store._due == {}


def polled_now(site: Site) -> int:
    report = look(site, 4.0)
    return report.channels if report else 1


# Floods of marks


def test_room_that_swaps_members_each_half_second_is_right_and_starves_no_other() -> None:
    """Eight members stay for 4 s each. Each poll takes so long that looks have to rest."""
    site = Site(grace=2.0, batch_size=1)
    others = fill(site, 20)
    while polled_now(site):
        pass
    record_polls(site, seconds=0.02)
    came: dict[str, float] = {}
    left: dict[str, float] = {}
    joined: dict[str, float] = {}
    for step in range(200):
        now = site.clock()
        if len(came) == 8:
            oldest = next(iter(came))
            del came[oldest]
            left[oldest] = now
            site.centrifugo.quit(ROOM, oldest)
        came[f"s{step}"] = now
        site.centrifugo.enter(ROOM, f"s{step}", f"s{step}", "Ada")
        shown = site.ids()
        if any(CHECK <= now - at < CHECK + 0.5 for user, at in came.items() if user not in shown):
            site.store.write(Writes(due={ROOM: 0.0}))
        if step % 10 == 0:
            joined[others[step // 10]] = now
            site.centrifugo.enter(others[step // 10], f"o{step}", "late", "Bea")
        if step % 2:
            site.sync.look()
            now, shown = site.clock(), site.ids()
            assert all(user in shown for user, at in came.items() if now - at > LATE)
            assert not any(user in shown for user, at in left.items() if now - at > 2.0 + LATE)
            assert all("late" in site.ids(room) for room, at in joined.items() if now - at > 1.5)
        site.clock.advance(0.5)
    assert len(joined) == 20


def test_look_with_fifty_thousand_due_channels_takes_the_longest_waiting_and_keeps_the_rest() -> (
    None
):
    site = Site()
    names = [f"presence:{n:05}" for n in range(50_000)]
    site.store.write(Writes(due={name: n / 1e6 for n, name in enumerate(reversed(names))}))
    site.clock.advance(1)
    asked = record_polls(site, seconds=0.05)
    before = site.clock()
    assert polled(site, 0) == len(asked)
    assert site.clock() - before <= watch.SLICE + 3 * 0.05
    assert asked == names[: -len(asked) - 1 : -1]
    assert site.store._due.keys() == {*names}.difference(asked)
    first = len(asked)
    assert polled(site, 10) > 0
    assert asked[first:] == names[-first - 1 : -len(asked) - 1 : -1]


@pytest.mark.parametrize("name", ["{a}", "}{", "*?[x]", "\\", "x" * 239])
def test_look_polls_a_room_whatever_its_name(name: str) -> None:
    site, room = Site(grace=2.0), f"presence:{name}"
    site.centrifugo.enter(room, "c1", "7", "Ada")
    site.centrifugo.enter("presence:" + "y" * 240, "c2", "8", "Bea")
    site.centrifugo.enter("presence:a b", "c3", "9", "Cy")
    assert (polled(site), site.ids(room)) == (1, ["7"])
    site.centrifugo.quit(room, "c1")
    for _ in range(4):
        look(site)
    assert site.ids(room) == []
