"""The roster of a channel: merged from a presence reply and the members that server code joined.

Pure, except that `ask_site` calls a hook of the site.
"""

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
from presence.roster.messages import UNREADABLE, Member, Roster
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

AnonymousMode = Literal["count", "list", "ignore"]
Profiles = Mapping[str, UserClaims]
"""The newest claims about users since their tokens were signed, by id."""


class Connection(msgspec.Struct, frozen=True, gc=False):
    """A connection in a channel, and what was signed into its tokens."""

    user: str = ""
    conn_info: UserClaims | None = None
    chan_info: UserClaims | None = None


class _Reply(msgspec.Struct, frozen=True):
    presence: dict[str, Connection]


class _LooseConnection(msgspec.Struct, frozen=True):
    user: str = ""
    conn_info: msgspec.Raw = msgspec.Raw(b"null")
    chan_info: msgspec.Raw = msgspec.Raw(b"null")


class _LooseReply(msgspec.Struct, frozen=True):
    presence: dict[str, _LooseConnection]


_Sessionless = tuple[float, str, UserClaims]
"""A visitor without a session: time of arrival, id, and claims."""

_reply = msgspec.json.Decoder(_Reply)
_loose_reply = msgspec.json.Decoder(_LooseReply)
_anything: msgspec.json.Decoder[object] = msgspec.json.Decoder()
_NO_CLAIMS = UserClaims()
_SHOWN = ("avatar", "color")


def digest(
    raw: msgspec.Raw | bytes, fingerprint: str, tracked: Sequence[ServerMember] = ()
) -> bytes:
    """Return 16 bytes of digest of a presence reply and of everything else that decides the roster.

    SHA-256 has instructions of its own in processors: it took half the time of BLAKE2.
    """
    found = hashlib.sha256(fingerprint.encode())
    if tracked:
        parts = sorted((member.user, member.source, member.said, member.meta) for member in tracked)
        encoded = msgspec.json.encode(parts)
        found.update(b"\0%d\0%b" % (len(encoded), encoded))
    found.update(raw)
    return found.digest()[:16]


class RosterBuilder:
    """Collects claims about members, and keeps the newest about each.

    Among equally new claims, one that hides wins, then one with a name, then the one that sorts
    last. The order of the reply must not decide: it changes with every reconnect.
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
        """The ids whose newest claims hide them, sorted."""
        if not self._hides:
            return []
        return sorted(key for key, member in self._shown.items() if member is None)

    def add(self, key: str, claims: UserClaims) -> None:
        """Add claims about `key`. Without a name, the member is shown by the id."""
        member: Member | None = None
        if claims.hidden:
            self._hides = True
        else:
            name = claims.name
            if not (name and is_plain(name)):
                name = clean_name(name) or fallback_name(key)
            member = Member(key, name, claims.info)
        at = claims.iat
        if at > self._latest:
            at = _signed_at(claims, self._now)
        if key in self._shown and not _newer(member, at, self._shown[key], self._issued[key]):
            return
        self._shown[key], self._issued[key] = member, at

    def remove_newest_visitors(self, limit: int) -> set[str]:
        """Remove the newest of the visitors who are not signed in, so that visitors never turn a
        listed room with that `limit` into a counted one. Returns their ids."""
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
        """Return the roster without the hidden. The `tracked` have no websocket."""
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
    """Return the name to show for a member without one."""
    if is_anonymous(member_id):
        return ANONYMOUS_NAME
    return clean_name(member_id) or "User"


def _signed_at(claims: UserClaims, now: float) -> float:
    """Return the signing time that counts at `now`.

    A time more than SKEW ahead comes from a wrong clock, so the true time is unknown: any other
    claims count as newer, except that a hidden user stays hidden.
    """
    if claims.iat <= now + SKEW:
        return claims.iat
    return now if claims.hidden else 0.0


def _newer(new: Member | None, at: float, old: Member | None, old_at: float) -> bool:
    """Return whether `new` replaces `old`; None stands for hidden."""
    if at != old_at or new == old:
        return at > old_at
    if new is None or old is None:
        return new is None
    return (new.name != new.id, messages.encode(new)) > (old.name != old.id, messages.encode(old))


def read_presence(
    raw: msgspec.Raw | bytes,
    *,
    anonymous: AnonymousMode = "count",
    tracked: Sequence[ServerMember] = (),
    profiles: Profiles = MappingProxyType({}),
    now: float = math.inf,
    list_limit: int = 200,
) -> tuple[Roster, int]:
    """Return the roster of a presence reply (`{"presence": {client: info}}`) and of the `tracked`
    members, by id, and the number of connections in the reply.

    All connections of one user are one member. The claims of the subscription's token count before
    those of the connection's token, unless the latter are newer and hide the user; the newest
    claims count, see RosterBuilder. Only a token or a profile brings back a user whom these hide:
    a server member does not. A session that is hidden by itself shows nobody and hides nobody.
    Claims signed more than SKEW after `now` count as older than all others. Visitors without a
    session fill the `visitor_seats` of a room with that `list_limit`, the earliest first; the
    others are only counted. So are visitors with a session whom the room could not list together
    with its users. Raises CentrifugoAnswerError for a malformed reply.
    """
    connections = connections_of(raw)
    builder = RosterBuilder(now)
    counted: set[str] = set()
    sessionless: list[_Sessionless] = []
    for client, connection in connections.items():
        claims = connection.conn_info or _NO_CLAIMS
        if connection.chan_info is not None:
            claims = _choose_claims(connection.chan_info, claims, now)
        if connection.user:
            if not (claims.hidden and claims.session):
                builder.add(connection.user, claims)
        elif anonymous == "list":
            name = clean_name(claims.name) or ANONYMOUS_NAME
            named = msgspec.structs.replace(claims, name=name)
            if claims.anonymous:
                builder.add(claims.anonymous, named)
            else:
                sessionless.append((claims.iat, anonymous_id(client), named))
        else:
            counted.add(claims.anonymous or client)
    sessionless += [(m.joined, m.user, claims_of(m)) for m in tracked if is_sessionless(m.user)]
    others = [member for member in tracked if not is_sessionless(member.user)]
    alone = _add_tracked(others, builder, profiles)
    counted.difference_update(alone)
    if removed := builder.remove_newest_visitors(list_limit):
        counted |= removed
        alone = [key for key in alone if key not in removed]
    if sessionless:
        seated, unseated = _seat(sessionless, builder, list_limit)
        counted |= unseated
        alone = sorted([*alone, *filter(is_sessionless, seated)])
    count = 0 if anonymous == "ignore" else len(counted)
    return builder.roster(count, alone), len(connections)


def _add_tracked(
    tracked: Sequence[ServerMember], builder: RosterBuilder, profiles: Profiles
) -> list[str]:
    """Add the tracked members and the profiles. Returns the ids of the members without a
    websocket."""
    alone = sorted({member.user for member in tracked if member.user not in builder})
    for key, profile in profiles.items():
        if key in builder or key in alone:
            builder.add(key, profile)
    hidden = set(builder.hidden)
    for member in tracked:
        if member.user not in hidden:
            builder.add(member.user, claims_of(member))
    return alone


def _seat(
    sessionless: list[_Sessionless], builder: RosterBuilder, limit: int
) -> tuple[set[str], set[str]]:
    """Add the earliest visitors, as many as there are seats. Returns their ids, and the ids of the
    others."""
    ids = list(dict.fromkeys(key for _, key, _ in sorted(sessionless, key=itemgetter(0, 1))))
    free = visitor_seats(len(builder), limit=limit)
    seated = set(ids[:free])
    for _, key, claims in sessionless:
        if key in seated:
            builder.add(key, claims)
    return seated, set(ids[free:])


def _choose_claims(chan_info: UserClaims, conn_info: UserClaims, now: float) -> UserClaims:
    """Return the claims that count, of the two tokens of one connection."""
    hides = conn_info.hidden and _signed_at(conn_info, now) >= _signed_at(chan_info, now)
    name = clean_name(chan_info.name)
    empty = msgspec.structs.replace(chan_info, name=name, iat=0.0) == _NO_CLAIMS
    return conn_info if empty or hides else chan_info


def connections_of(raw: msgspec.Raw | bytes) -> dict[str, Connection]:
    """Return the connections of a presence reply, by client. Raises CentrifugoAnswerError."""
    try:
        return _reply.decode(raw).presence
    except UNREADABLE:
        pass  # The info of one connection may be of another shape: the site made the token itself.
    try:
        loose = _loose_reply.decode(raw).presence
    except UNREADABLE as error:
        raise CentrifugoAnswerError(
            f"Centrifugo's presence reply cannot be read ({error}): is CENTRIFUGO_API_URL the "
            "API of Centrifugo v5 or later?"
        ) from error
    return {
        client: Connection(info.user, _read_claims(info.conn_info), _read_claims(info.chan_info))
        for client, info in loose.items()
    }


def _read_claims(raw: msgspec.Raw) -> UserClaims | None:
    """Return the usable parts of an info that the site made itself: `name`, `avatar` and `color`.

    Other parts may not be meant for everybody in the room.
    """
    try:
        given = _anything.decode(raw)
    except UNREADABLE:
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
"""Additions of PRESENCE_FETCH by member id: more `info`, and a `name` that replaces the other."""


def find_unfetched(old: Roster, seen: Roster, profiles: Profiles) -> list[str]:
    """Return the ids to ask PRESENCE_FETCH for: new members, and members with a newer profile.

    The site has no record of visitors who are not signed in.
    """
    return [
        key
        for key in seen.members
        if not is_anonymous(key)
        and (
            key not in old.fetched
            or (key in profiles and profiles[key].iat > old.issued.get(key, 0.0))
        )
    ]


def ask_site(fetch: Fetch, ids: Iterable[str]) -> Fetched:
    """Return the additions of `fetch` by id, {} for an id left out. Raises FetchFailed."""
    asked = sorted(set(ids))
    try:
        answer = fetch(list(asked))
        # Convert to JSON and back, so that the roster equals the one loaded from the store.
        found = msgspec.json.decode(msgspec.json.encode(answer), type=dict[str, dict[str, Any]])
    except Exception as error:
        raise FetchFailed(
            f"PRESENCE_FETCH failed for {len(asked)} members ({type(error).__name__}: {error}): "
            'return a dict such as {"42": {"team": "Blue"}} of strings, numbers, lists and '
            "dicts"
        ) from error
    return {key: found.get(key, {}) for key in asked}


def enrich(old: Roster, seen: Roster, fetched: Fetched) -> Roster:
    """Return `seen` with the additions fetched for its members, now or earlier."""
    known = {**old.fetched, **fetched}
    additions = {key: known[key] for key in seen.members if key in known}
    members = {
        key: _add_info(member, additions[key]) if additions.get(key) else member
        for key, member in seen.members.items()
    }
    return msgspec.structs.replace(seen, members=members, fetched=additions)


def _add_info(member: Member, additions: dict[str, Any]) -> Member:
    info = {**member.info, **additions}
    name = clean_name(info.pop("name", None))
    return Member(member.id, name or member.name, info)
