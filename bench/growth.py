"""How the time of a tick grows: seconds by size, and what twice the size takes."""

from __future__ import annotations

from statistics import median

__all__ = ["Growth", "Spent", "doubled", "medians"]

Spent = dict[str, dict[int, list[float]]]
"""Seconds of each round by size, for each kind of tick: "first" (everybody is new) and "steady"
(nothing changed)."""

Growth = dict[str, dict[int, float]]
"""One figure by kind and size."""


def medians(spent: Spent) -> Growth:
    """The median seconds of each size."""
    return {kind: {size: median(s) for size, s in line.items()} for kind, line in spent.items()}


def doubled(spent: Spent) -> Growth:
    """For each size whose double was measured, how many times as long that took.

    The median of the ratios of single rounds: what slows the whole machine falls on both.
    """
    return {
        kind: {
            size: median(twice / once for twice, once in zip(line[2 * size], s, strict=True))
            for size, s in line.items()
            if 2 * size in line
        }
        for kind, line in spent.items()
    }
