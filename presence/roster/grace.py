"""The leave grace: missing members stay until they have been missing for long enough. Pure."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import Final

from presence.roster.messages import Leaving, Roster

SKEW: Final = 60.0
"""Seconds that the clock of a signing process may be ahead of the store's."""


def hold_leaves(
    old: Roster,
    seen: Roster,
    leaving: Leaving,
    *,
    now: float,
    grace: float,
    believe: bool,
    hold: bool = False,
    out: Collection[str] = (),
) -> tuple[Roster, Leaving]:
    """Return the roster to commit, and the members and counts that are held.

    `old` is the committed roster, `seen` the one that was read at `now`. A missing member stays
    until `grace` seconds have passed since the first believed poll without it. With `believe`
    False, it stays in any case, and its time starts again; with `hold`, it stays, and its time goes
    on. In the same way, the anonymous count is the highest of the last `grace` seconds. The order
    is that of arrival: first the members of `old`, then the new ones by id. If the clock is set
    back, a member stays for at most `grace` seconds from then on. Members without a websocket, and
    members who are hidden now, leave at once: that is certain knowledge. So do those of `out`,
    whose connections were ended, where the poll is believed.
    """
    # A signing time in the future comes from a clock that was ahead: any other claims replace it.
    members = dict(old.members)
    issued = dict(old.issued)
    if max(issued.values(), default=0.0) > now + SKEW:
        issued = {key: at if at <= now + SKEW else 0.0 for key, at in issued.items()}
    missing: dict[str, float] = {}
    known_gone = {*old.tracked, *seen.hidden, *(out if believe else ())}
    for key in sorted(old.members.keys() - seen.members.keys()):
        since = _since(leaving.members.get(key, 0.0), now=now, believe=believe)
        if key in known_gone or (believe and not hold and now - since >= grace):
            del members[key]
            issued.pop(key, None)
        else:
            missing[key] = since
    # Compare fully only what differs: in a large room that is little.
    known, known_at = old.members.get, issued.get
    differs = [key for key, member in seen.members.items() if known(key) != member]
    for key in sorted(differs):
        if seen.issued.get(key, 0.0) >= known_at(key, 0.0):
            members[key] = seen.members[key]
    issued |= {key: at for key, at in seen.issued.items() if known_at(key, -1.0) < at}
    grace = inf if hold else grace
    anonymous, held = _hold_count(old, seen, leaving, now=now, grace=grace, believe=believe)
    fetched = old.fetched | seen.fetched if seen.fetched or old.fetched else {}
    fetched = {key: more for key, more in fetched.items() if key in members}
    roster = Roster(members, anonymous, issued, seen.tracked, seen.hidden, fetched)
    return roster, Leaving(missing, held, seen.anonymous)


def _hold_count(
    old: Roster, seen: Roster, leaving: Leaving, *, now: float, grace: float, believe: bool
) -> tuple[int, list[tuple[float, int]]]:
    """Return the anonymous count to show, and the higher counts that are still held."""
    count = seen.anonymous
    last = leaving.count if leaving.anonymous else old.anonymous
    held = [*leaving.anonymous, (0.0, last)]
    held = [(_since(t, now=now, believe=believe), n) for t, n in held]
    held = [(t, n) for t, n in held if n > count and not (believe and now - t >= grace)]
    return (held[0][1] if held else count), held


def _since(known: float, *, now: float, believe: bool) -> float:
    """Return the time from which an absence counts that began at `known` (0: is new)."""
    return min(known or now, now) if believe else 0.0
