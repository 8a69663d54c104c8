"""What the site's PRESENCE_FETCH adds to members who join. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from presence.exceptions import FetchFailed
from presence.roster.merge import Profiles
from presence.roster.names import clean_name
from presence.roster.people import is_anonymous
from presence.roster.types import Member, Roster

__all__ = ["Fetch", "Fetched", "ask", "enrich", "unknown"]

Fetch = Callable[[list[str]], Mapping[str, Mapping[str, Any]]]
Fetched = Mapping[str, dict[str, Any]]
"""What else is shown of members, by id: a `name` in the place of theirs, and more `info`."""


def unknown(old: Roster, seen: Roster, profiles: Profiles) -> list[str]:
    """Whose additions have to be fetched: who joins, and of whom something was made known since.

    Visitors who are not signed in are nobody whom the site could know.
    """
    return [
        key
        for key in seen.members
        if not is_anonymous(key)
        and (key not in old.fetched or _is_news(profiles, key, old.issued.get(key, 0.0)))
    ]


def _is_news(profiles: Profiles, key: str, issued: float) -> bool:
    return key in profiles and profiles[key].iat > issued


def ask(fetch: Fetch, ids: Iterable[str]) -> Fetched:
    """What `fetch` gives for the ids; nothing for those it leaves out. Raises FetchFailed."""
    asked = sorted(set(ids))
    try:
        answer = fetch(list(asked))
        # As JSON has it, so that what is stored now is equal to what is loaded later.
        found = msgspec.json.decode(msgspec.json.encode(answer), type=dict[str, dict[str, Any]])
    except Exception as error:
        raise FetchFailed(
            f"PRESENCE_FETCH failed for {len(asked)} members ({type(error).__name__}: {error}): "
            'let it return a dict such as {"42": {"team": "Blue"}} of texts, numbers, lists and '
            "dicts"
        ) from error
    return {key: found.get(key, {}) for key in asked}


def enrich(old: Roster, seen: Roster, fetched: Fetched) -> Roster:
    """`seen` with what was fetched for its members, now or before."""
    known = {
        key: fetched.get(key, old.fetched.get(key))
        for key in seen.members
        if key in fetched or key in old.fetched
    }
    more = {key: one for key, one in known.items() if one is not None}
    members = {
        key: _with(member, more[key]) if more.get(key) else member
        for key, member in seen.members.items()
    }
    return msgspec.structs.replace(seen, members=members, fetched=more)


def _with(member: Member, more: dict[str, Any]) -> Member:
    info = {**member.info, **more}
    name = clean_name(info.pop("name", None))
    return Member(member.id, name or member.name, info)
