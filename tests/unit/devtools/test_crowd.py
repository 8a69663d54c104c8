"""The crowd without sockets: people, movements, reports and errors."""

from __future__ import annotations

import math
import re
import sys
from itertools import pairwise
from random import Random

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from presence.management.commands import presence_crowd
from presence.roster.messages import Member
from presence_devtools.crowd.people import MOST, signed, user_id
from presence_devtools.crowd.tally import Tally
from presence_devtools.crowd.walk import Point, Walk

STEP = 0.05


def walk(seed: int, seconds: float) -> list[Point | None]:
    walk = Walk(Random(seed), now=100.0)
    return [walk.at(100.0 + STEP * number) for number in range(int(seconds / STEP))]


def test_person_of_each_number_has_a_distinct_name_and_colour():
    people = [signed(number, now=1.0) for number in range(1, MOST + 1)]

    assert MOST == presence_crowd.MOST
    assert len({person.name for person in people}) == MOST
    colours = [person.info["color"] for person in people]
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours)
    assert all(first != second for first, second in pairwise(colours))
    assert len(set(colours[:50])) == 50
    assert user_id(1) == "crowd-1"


def test_person_of_the_same_number_is_the_same():
    assert signed(7, now=1.0) == signed(7, now=1.0)
    assert signed(7, now=2.0).iat == 2.0


def test_person_token_makes_a_member():
    person = signed(3, now=1.0)
    assert Member(id=user_id(3), name=person.name, info=person.info).name == person.name


@pytest.mark.parametrize("seed", range(20))
def test_pointer_stays_on_the_surface_and_never_jumps(seed: int):
    points = walk(seed, 120)

    shown = [point for point in points if point]
    assert all(0 <= value <= 1 and math.isfinite(value) for point in shown for value in point)
    steps = [math.dist(a, b) for a, b in pairwise(points) if a and b]
    assert max(steps) < 0.25


def test_pointer_moves_rests_leaves_by_an_edge_and_returns():
    """Checks twenty people for ten minutes."""
    moving = resting = off = left = 0
    for seed in range(20):
        points = walk(seed, 600)
        off += points.count(None)
        for before, after in pairwise(points):
            moving += bool(before and after and before != after)
            resting += bool(before and before == after)
            if before and not after:
                left += 1
                assert min(*before, 1 - before.x, 1 - before.y) < 0.02
    everything = moving + resting + off
    assert moving / everything > 0.2
    assert resting / everything > 0.2
    assert 0.02 < off / everything < 0.3
    assert left > 40


def test_pointer_with_same_seed_and_clock_walks_the_same_way():
    assert walk(1, 30) == walk(1, 30)
    assert walk(1, 30) != walk(2, 30)


def test_pointer_read_seldom_walks_the_same_way():
    often, seldom = Walk(Random(1), now=0.0), Walk(Random(1), now=0.0)
    for number in range(1000):
        point = often.at(number * STEP)
        if number % 37 == 0:
            assert seldom.at(number * STEP) == point


def test_tally_line_counts_since_the_previous_line():
    tally = Tally(3, now=10.0)
    tally.connected = tally.arrived = 2
    assert tally.line(10.0).startswith("connecting 2 of 3 · 0 moves/s")

    tally.connected = tally.arrived = 3
    tally.sent, tally.received, tally.reconnects = 40, 5000, 1
    assert tally.line(12.0) == (
        "3 of 3 connected · 20 moves/s sent · 2,500/s received · 1 reconnects"
    )
    assert tally.line(13.0).startswith("3 of 3 connected · 0 moves/s sent · 0/s received")
    assert tally.summary(14.4) == (
        "3 were here for 4 s · 40 moves sent · 5,000 messages received · 1 reconnects"
    )


def test_tally_reports_a_problem_once_and_in_the_summary():
    tally = Tally(3, now=0.0)
    tally.problems.update(["no route"] * 2 + ["no time"])
    assert tally.line(1.0).endswith(" · 2 x no route, and 1 other problems")
    assert "no route" not in tally.line(2.0)
    assert tally.summary(3.0).endswith(" · 2 x no route, and 1 other problems")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--users", "0"], "--users '0' is not a whole number from 1 to 1000"),
        (["--users", "1001"], "from 1 to 1000"),
        (["--users", "2.5"], "whole number"),
        (["--rate", "0"], "from 0.05 to 20"),
        (["--rate", "21"], "from 0.05 to 20"),
        (["--rate", "nan"], "from 0.05 to 20"),
        (["--seconds", "0"], "from 1 to"),
        (["--seconds", "inf"], "from 1 to"),
        (["--channel", "two words"], "--channel: .* without spaces"),
        (["--channel", "cursors:whiteboard"], "--channel: .*cursors.html"),
        (["--cursors", "--channel", "chat:lobby"], "--cursors: 'chat:lobby' has no cursors"),
    ],
)
def test_crowd_with_wrong_argument_prints_one_line(arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says) as caught:
        call_command("presence_crowd", *arguments)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PRESENCE_CURSOR_INTERVAL", 2),
        ("CENTRIFUGO_TOKEN_SECRET", 5),
        ("CENTRIFUGO_WS_URL", None),
    ],
)
def test_crowd_with_wrong_setting_prints_one_line_that_names_it(settings, name, value):
    setattr(settings, name, value)
    with pytest.raises(CommandError, match=name) as caught:
        call_command("presence_crowd")
    assert isinstance(caught.value.__cause__, ImproperlyConfigured)
    assert len(str(caught.value).splitlines()) == 1


def test_crowd_without_secret_names_the_setting(settings):
    settings.CENTRIFUGO_TOKEN_SECRET = ""
    with pytest.raises(CommandError, match="CENTRIFUGO_TOKEN_SECRET is empty"):
        call_command("presence_crowd")


def test_crowd_without_centrifuge_python_says_what_to_install(monkeypatch):
    for name in (
        "presence_devtools.crowd.gathering",
        "presence_devtools.crowd.guest",
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "centrifuge", None)
    with pytest.raises(CommandError, match=r"pip install .*\[crowd\]"):
        call_command("presence_crowd")


@pytest.fixture
def plans(monkeypatch):
    """Return the plans with which the command would start, one for each call."""
    from presence_devtools.crowd import gathering

    seen = []

    async def gather(plan, users, **_):
        seen.append(plan)
        return Tally(users, now=0.0)

    monkeypatch.setattr(gathering, "gather", gather)
    return seen


@pytest.mark.parametrize(
    ("arguments", "interval"),
    [([], 0.05), (["--users", "100"], 0.2), (["--users", "100", "--rate", "10"], 0.1)],
)
def test_crowd_move_interval_grows_with_the_number_of_people(plans, arguments, interval):
    call_command("presence_crowd", "--cursors", *arguments)
    assert plans[0].interval == pytest.approx(interval)
    assert plans[0].keep_alive == 4.5


@pytest.mark.parametrize(
    ("arguments", "channel", "cursors"),
    [
        ([], "presence:lobby", ""),
        (["--channel", "chat:lobby"], "chat:lobby", ""),
        (["--cursors"], "presence:whiteboard", "cursors:whiteboard"),
        (["--cursors", "--channel", "presence:doc:42"], "presence:doc:42", "cursors:doc:42"),
    ],
)
def test_crowd_arguments_choose_the_channels(plans, settings, arguments, channel, cursors):
    settings.PRESENCE_CHANNEL = "presence:lobby"
    call_command("presence_crowd", *arguments)
    assert (plans[0].channel, plans[0].cursors) == (channel, cursors)
