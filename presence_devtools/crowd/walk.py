"""Pointer of one made-up person: moves, pauses, and leaves of the surface.

Positions are fractions of the surface, times are seconds. Randomness and time are arguments.
"""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

OFF = 0.06
"""Share of targets beyond the edge, where the pointer leaves the surface."""

NEAR = 0.55
"""Share of targets close to the pointer."""

PAUSES = 0.6
"""Share of arrivals after which the pointer rests."""


class Point(NamedTuple):
    """A position: fractions of the width and of the height, 0..1."""

    x: float
    y: float


class _Leg(NamedTuple):
    """One movement, with a bend to one side; a rest is a leg that leads nowhere."""

    start: Point
    end: Point
    bend: float
    begins: float
    ends: float

    def at(self, now: float) -> Point:
        share = min(1.0, max(0.0, (now - self.begins) / ((self.ends - self.begins) or 1.0)))
        # Slow, fast, slow: the curve of least jerk, as human arms move.
        along = share**3 * (10 - 15 * share + 6 * share**2)
        aside = self.bend * math.sin(math.pi * along)
        dx, dy = self.end.x - self.start.x, self.end.y - self.start.y
        return Point(
            _within(self.start.x + dx * along - dy * aside),
            _within(self.start.y + dy * along + dx * aside),
        )


class Walk:
    """Pointer of one person. It enters the surface within the first seconds."""

    def __init__(self, random: Random, *, now: float) -> None:
        self._random = random
        self._hurry = random.uniform(0.7, 1.5)
        self._away = True
        self._leg = self._rest(self._edge(), now, random.uniform(0.0, 2.0))

    def at(self, now: float) -> Point | None:
        """Return the position at `now`, which must not go back; None off the surface."""
        while now >= self._leg.ends:
            self._leg = self._next(self._leg)
        return None if self._away else self._leg.at(now)

    def _next(self, leg: _Leg) -> _Leg:
        here, now, random = leg.end, leg.ends, self._random
        if self._away:
            self._away = False
            return self._move(here, self._anywhere(), now)
        if here.x in (0.0, 1.0) or here.y in (0.0, 1.0):
            self._away = True
            return self._rest(self._edge(), now, random.uniform(2.0, 9.0))
        if leg.start != leg.end and random.random() < PAUSES:
            return self._rest(here, now, random.expovariate(1 / 1.6) + 0.2)
        if random.random() < OFF:
            return self._move(here, self._edge(), now)
        target = self._beside(here) if random.random() < NEAR else self._anywhere()
        return self._move(here, target, now)

    def _move(self, start: Point, end: Point, now: float) -> _Leg:
        seconds = (0.25 + 1.6 * math.dist(start, end) ** 0.7) * self._hurry
        return _Leg(start, end, self._random.uniform(-0.25, 0.25), now, now + seconds)

    def _rest(self, here: Point, now: float, seconds: float) -> _Leg:
        return _Leg(here, here, 0.0, now, now + seconds)

    def _anywhere(self) -> Point:
        return Point(self._random.uniform(0.04, 0.96), self._random.uniform(0.05, 0.95))

    def _beside(self, here: Point) -> Point:
        x, y = self._random.gauss(here.x, 0.09), self._random.gauss(here.y, 0.09)
        return Point(min(0.96, max(0.04, x)), min(0.95, max(0.05, y)))

    def _edge(self) -> Point:
        along, far = self._random.uniform(0.05, 0.95), float(self._random.random() < 0.5)
        return Point(far, along) if self._random.random() < 0.6 else Point(along, far)


def _within(value: float) -> float:
    return min(1.0, max(0.0, value))
