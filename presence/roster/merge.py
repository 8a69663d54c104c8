"""Centrifugo's presence reply, and who was tracked beside it -> the roster they show. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from presence.exceptions import CentrifugoAnswerError, FetchFailed
from presence.roster import messages
from presence.roster.commit import relist_limit, visitor_seats
from presence.roster.grace import SKEW
from presence.roster.messages import Member, Roster
from presence.roster.names import clean_name, is_plain
from presence.roster.people import (
    ANONYMOUS_NAME,
    ServerMember,
    UserClaims,
    anonymous_id,
    claims_of,
    is_anonymous,
    is_sessionless,
)

__all__ = [
    "AnonymousMode",
    "Fetch",
    "Fetched",
    "Profiles",
    "RosterBuilder",
    "ask_site",
    "digest",
    "enrich",
    "fallback_name",
    "find_unfetched",
    "read_presence",
]

AnonymousMode = Literal["count", "list", "ignore"]
Profiles = Mapping[str, UserClaims]
"""What was made known of users since their tokens were signed, by id."""


class _Connection(msgspec.Struct, frozen=True, gc=False):
    user: str = ""
    conn_info: UserClaims | None = None
    chan_info: UserClaims | None = None


class _Reply(msgspec.Struct, frozen=True):
    presence: dict[str, _Connection]


class _LooseConnection(msgspec.Struct, frozen=True):
    user: str = ""
    conn_info: msgspec.Raw = msgspec.Raw(b"null")
    chan_info: msgspec.Raw = msgspec.Raw(b"null")


class _LooseReply(msgspec.Struct, frozen=True):
    presence: dict[str, _LooseConnection]


_Passing = tuple[float, str, UserClaims]
"""A visitor without a session: when they came, their id, and what is said of them."""

_reply = msgspec.json.Decoder(_Reply)
_loose_reply = msgspec.json.Decoder(_LooseReply)
_anything: msgspec.json.Decoder[object] = msgspec.json.Decoder()
_NOBODY = UserClaims()
_SHOWN = ("avatar", "color")


def digest(raw: msgspec.Raw | bytes, fingerprint: str, tracked: bytes = b"") -> bytes:
    """A digest of a presence reply and of all else that decides the roster, 16 bytes.

    SHA-256, as processors have it built in: twice as fast as BLAKE2 where this was measured.
    """
    found = hashlib.sha256(fingerprint.encode())
    if tracked:
        found.update(b"\0%d\0%b" % (len(tracked), tracked))
    found.update(raw)
    return found.digest()[:16]


class RosterBuilder:
    """Everybody of whom something is said; of all that is said of one, the newest counts.

    Of equally new things one that hides, then one with a name, else that which sorts last: what
    comes first would change at every reconnect.
    """

    def __init__(self, now: float = math.inf) -> None:
        self._now = now
        self._latest = now + SKEW
        self._shown: dict[str, Member | None] = {}
        self._issued: dict[str, float] = {}
        self._hides = False

    def __contains__(self, key: str) -> bool:
        return key in self._shown

    def __len__(self) -> int:
        return len(self._shown) - len(self.hidden)

    @property
    def hidden(self) -> list[str]:
        """Of whom the newest is that they are hidden."""
        if not self._hides:
            return []
        return sorted(key for key, member in self._shown.items() if member is None)

    def say(self, key: str, signed: UserClaims) -> None:
        """Take what is said of `key`. A user of whom nothing tells a name goes by their id."""
        member: Member | None = None
        if signed.hidden:
            self._hides = True
        else:
            name = signed.name
            if not (name and is_plain(name)):
                name = clean_name(name) or fallback_name(key)
            member = Member(key, name, signed.info)
        at = signed.iat
        if at > self._latest:
            at = _when(signed, self._now)
        if key in self._shown and not _newer(member, at, self._shown[key], self._issued[key]):
            return
        self._shown[key], self._issued[key] = member, at

    def unseat(self, limit: int) -> set[str]:
        """Take out visitors who are not signed in, those of whom we have known for the shortest
        time, so that they make no listed room of that `limit` a counted one; their ids."""
        if len(self) < relist_limit(limit):
            return set()
        here = [key for key, member in self._shown.items() if member]
        visitors = [key for key in here if is_anonymous(key)]
        users = len(here) - len(visitors)
        if users > limit:
            return set()
        visitors.sort(key=lambda key: (self._issued[key], key))
        last = set(visitors[max(0, relist_limit(limit) - 1 - users) :])
        for key in last:
            del self._shown[key], self._issued[key]
        return last

    def roster(self, anonymous: int, tracked: Sequence[str]) -> Roster:
        """Those who are not hidden. Of them, `tracked` are here through tracking alone."""
        hidden = self.hidden
        if not hidden:
            everybody: dict[str, Any] = self._shown
            return Roster(everybody, anonymous, self._issued, list(tracked))
        members = {key: member for key, member in self._shown.items() if member}
        issued = {key: at for key, at in self._issued.items() if key in members}
        return Roster(
            members, anonymous, issued, [key for key in tracked if key in members], hidden
        )


def fallback_name(member_id: str) -> str:
    """Return the name of a member who has none: the id, as far as it may be shown."""
    if is_anonymous(member_id):
        return ANONYMOUS_NAME
    return clean_name(member_id) or "User"


def _when(signed: UserClaims, now: float) -> float:
    """When something was signed, as far as that counts at `now`.

    One for later than SKEW from now was signed by a wrong clock, and nobody knows when: anything
    else counts as newer, except that whoever it hides stays hidden.
    """
    if signed.iat <= now + SKEW:
        return signed.iat
    return now if signed.hidden else 0.0


def _newer(one: Member | None, at: float, other: Member | None, other_at: float) -> bool:
    if at != other_at or one == other:
        return at > other_at
    if one is None or other is None:
        return one is None
    return (one.name != one.id, messages.encode(one)) > (
        other.name != other.id,
        messages.encode(other),
    )


def read_presence(
    raw: msgspec.Raw | bytes,
    *,
    anonymous: AnonymousMode = "count",
    tracked: Sequence[ServerMember] = (),
    profiles: Profiles = MappingProxyType({}),
    now: float = math.inf,
    list_limit: int = 200,
) -> tuple[Roster, int]:
    """The roster that a presence reply (`{"presence": {client: info}}`) shows together with the
    `tracked`, by id, and the number of connections in it.

    All connections of one user are one member. The claims of the subscription's token count before
    those of the connection's token, unless the latter are newer and hide the user; the newest
    claims count, see RosterBuilder. Only a token or a profile brings back a user whom these hide:
    a server member does not. A session that is hidden by itself shows nobody and hides nobody.
    Claims signed more than SKEW after `now` count as older than all others. Visitors without a
    session fill the `visitor_seats` of a room with that `list_limit`, the earliest first; the
    others are only counted. So are visitors with a session whom the room could not list together
    with its users. Raises
    CentrifugoAnswerError when the reply is not a presence reply.
    """
    connections = _connections(raw)
    roll = RosterBuilder(now)
    visitors: set[str] = set()
    passing: list[_Passing] = []
    for client, connection in connections.items():
        signed = connection.conn_info or _NOBODY
        if connection.chan_info is not None:
            signed = _counts(connection.chan_info, signed, now)
        if connection.user:
            if not (signed.hidden and signed.session):
                roll.say(connection.user, signed)
        elif anonymous == "list":
            name = clean_name(signed.name) or ANONYMOUS_NAME
            named = msgspec.structs.replace(signed, name=name)
            if signed.anonymous:
                roll.say(signed.anonymous, named)
            else:
                passing.append((signed.iat, anonymous_id(client), named))
        else:
            visitors.add(signed.anonymous or client)
    passing += [
        (one.joined, one.user, claims_of(one)) for one in tracked if is_sessionless(one.user)
    ]
    tracked = [one for one in tracked if not is_sessionless(one.user)]
    alone = _say_tracked(tracked, roll, profiles)
    visitors.difference_update(alone)
    if counted := roll.unseat(list_limit):
        visitors |= counted
        alone = [key for key in alone if key not in counted]
    if passing:
        listed, counted = _seat(passing, roll, list_limit)
        visitors |= counted
        alone = sorted([*alone, *filter(is_sessionless, listed)])
    count = 0 if anonymous == "ignore" else len(visitors)
    return roll.roster(count, alone), len(connections)


def _say_tracked(
    tracked: Sequence[ServerMember], roll: RosterBuilder, profiles: Profiles
) -> list[str]:
    """Take the tracked, and the profiles of everybody, into the roll; the ids of those who are here
    through tracking alone."""
    alone = sorted({one.user for one in tracked if one.user not in roll})
    for key, profile in profiles.items():
        if key in roll or key in alone:
            roll.say(key, profile)
    hidden = set(roll.hidden)
    for one in tracked:
        if one.user not in hidden:
            roll.say(one.user, claims_of(one))
    return alone


def _seat(passing: list[_Passing], roll: RosterBuilder, limit: int) -> tuple[set[str], set[str]]:
    """Take those who came first into the roll, as many as have a seat; the ids of these, and of the
    others."""
    ids = list(dict.fromkeys(key for _, key, _ in sorted(passing, key=itemgetter(0, 1))))
    free = visitor_seats(len(roll), limit=limit)
    listed = set(ids[:free])
    for _, key, signed in passing:
        if key in listed:
            roll.say(key, signed)
    return listed, set(ids[free:])


def _counts(chan_info: UserClaims, conn_info: UserClaims, now: float) -> UserClaims:
    """Of what two tokens of one connection say, that which counts."""
    hides = conn_info.hidden and _when(conn_info, now) >= _when(chan_info, now)
    says_nothing = msgspec.structs.replace(chan_info, name=clean_name(chan_info.name)) == _NOBODY
    return conn_info if says_nothing or hides else chan_info


def _connections(raw: msgspec.Raw | bytes) -> dict[str, _Connection]:
    try:
        return _reply.decode(raw).presence
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # Perhaps the info of one connection: a token that the site made for its own use.
    try:
        loose = _loose_reply.decode(raw).presence
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CentrifugoAnswerError(
            f"Centrifugo's presence reply cannot be read ({error}): is CENTRIFUGO_API_URL the "
            "API of Centrifugo v5 or later?"
        ) from error
    return {
        client: _Connection(one.user, _signed_info(one.conn_info), _signed_info(one.chan_info))
        for client, one in loose.items()
    }


def _signed_info(raw: msgspec.Raw) -> UserClaims | None:
    """What can be used of an info that the site made itself: a `name`, `avatar` and `color`.

    Nothing else: what else the site signed may not be meant for everybody in the room.
    """
    try:
        given = _anything.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    name, info = given.pop("name", ""), given.pop("info", None)
    issued, anonymous = given.pop("iat", 0.0), given.pop("anonymous", "")
    return UserClaims(
        name=name if isinstance(name, str) else "",
        info=info if isinstance(info, dict) else {k: given[k] for k in _SHOWN if k in given},
        iat=float(issued) if isinstance(issued, int | float) else 0.0,
        anonymous=anonymous if isinstance(anonymous, str) else "",
        hidden=bool(given.get("hidden")),
        session=bool(given.get("session")),
    )


Fetch = Callable[[list[str]], Mapping[str, Mapping[str, Any]]]
Fetched = Mapping[str, dict[str, Any]]
"""What else is shown of members, by id: a `name` in the place of theirs, and more `info`."""


def find_unfetched(old: Roster, seen: Roster, profiles: Profiles) -> list[str]:
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


def ask_site(fetch: Fetch, ids: Iterable[str]) -> Fetched:
    """What `fetch` gives for the ids; nothing for those it leaves out. Raises FetchFailed."""
    asked = sorted(set(ids))
    try:
        answer = fetch(list(asked))
        # As JSON has it, so that what is stored now is equal to what is loaded later.
        found = msgspec.json.decode(msgspec.json.encode(answer), type=dict[str, dict[str, Any]])
    except Exception as error:
        raise FetchFailed(
            f"PRESENCE_FETCH failed for {len(asked)} members ({type(error).__name__}: {error}): "
            'return a dict such as {"42": {"team": "Blue"}} of strings, numbers, lists and '
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
