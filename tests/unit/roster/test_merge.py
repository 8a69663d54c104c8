"""The roster made from Centrifugo's presence reply."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from presence.exceptions import CentrifugoAnswerError
from presence.roster.merge import AnonymousMode, digest, read_presence
from presence.roster.messages import Member, Roster
from presence.roster.people import UserClaims


def entry(user: str = "", conn: Any = None, chan: Any = None) -> dict[str, Any]:
    shown = {"client": "c", "user": user}
    shown |= {"conn_info": conn} if conn is not None else {}
    return shown | ({"chan_info": chan} if chan is not None else {})


def presence(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"presence": {f"c{n}": entry for n, entry in enumerate(entries)}}).encode()


def read(*entries: dict[str, Any], anonymous: AnonymousMode = "count") -> Roster:
    roster, connections = read_presence(presence(*entries), anonymous=anonymous)
    assert connections == len(entries)
    return roster


def test_read_presence_of_empty_room_has_no_members() -> None:
    assert read() == Roster()


def test_read_presence_of_many_tabs_has_one_member() -> None:
    roster = read(*[entry("42", {"name": "Ada", "info": {"color": "red"}, "iat": 5.0})] * 3)
    assert roster == Roster({"42": Member("42", "Ada", {"color": "red"})}, 0, {"42": 5.0})


def test_read_presence_of_several_infos_takes_the_newest() -> None:
    tabs = [entry("42", {"name": f"Ada {n}", "iat": float(n)}) for n in range(4)]
    for order in itertools.permutations(tabs):
        assert read(*order).members["42"].name == "Ada 3"


@pytest.mark.parametrize("iat", [None, 7.0])
def test_read_presence_of_equally_new_infos_does_not_depend_on_client_ids(
    iat: float | None,
) -> None:
    when = {"iat": iat} if iat else {}
    tabs = [
        entry("42", {"name": "Ada", **when}),
        entry("42", {"name": "Ada", "info": {"color": "red"}, **when}),
        entry("42", when or None),
    ]
    readings = [read(*order) for order in itertools.permutations(tabs)]
    assert all(reading == readings[0] for reading in readings)
    assert readings[0].members["42"].name == "Ada"


def test_read_presence_of_two_tokens_prefers_the_subscription() -> None:
    both = entry("42", {"name": "Conn", "iat": 9.0}, {"name": "Chan", "iat": 1.0})
    assert read(both).members["42"].name == "Chan"
    assert read(entry("42", {"name": "Conn"}, {})).members["42"].name == "Conn"
    assert read(entry("42", {"name": "Conn"}, ["no", "info"])).members["42"].name == "Conn"


@pytest.mark.parametrize(
    "info",
    [
        *(None, [], [1], 7, "text", True, {}),
        *({"name": 7}, {"name": None}, {"name": ["a"]}, {"info": []}, {"iat": "yesterday"}),
        {"username": "ada", "email": "ada@example.com"},
    ],
)
def test_read_presence_of_malformed_info_shows_the_id(info: Any) -> None:
    assert read(entry("42", info), entry("7", {"name": "Alan"})).members == {
        "42": Member("42", "42"),
        "7": Member("7", "Alan"),
    }


@pytest.mark.parametrize("info", ['{"info": {"n": 1e999}}', "[" * 900])
def test_read_presence_of_undecodable_info_loses_only_that_name(info: str) -> None:
    if info.startswith("["):
        info += "]" * len(info)
    raw = '{"presence": {"c": {"user": "42", "conn_info": %s}, "d": {"user": "7"}}}' % info
    roster, _ = read_presence(raw.encode())
    assert [member.name for member in roster.members.values()] == ["42", "7"]


BLANK = "\u200b\u3164\u2800\u00ad\u034f"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\U0001f600\u202e", "\U0001f600"),
        ("x" * 10_000, "x" * 200),
        ("\u0645\u06cc\u200c\u062a\u0631\u0627", "\u0645\u06cc\u200c\u062a\u0631\u0627"),
        ("Ada\nKing", "Ada King"),
        (BLANK, "42"),
        ("\x00\x07", "42"),
    ],
)
@pytest.mark.parametrize("more", [{"iat": 1.0}, {"role": "admin"}], ids=["ours", "the site's"])
@pytest.mark.parametrize("token", ["conn", "chan"])
def test_read_presence_of_token_cleans_its_name(
    name: str, shown: str, more: dict[str, Any], token: str
) -> None:
    info = {"name": name, **more}
    given = entry("42", info) if token == "conn" else entry("42", None, info)
    assert read(given).members["42"].name == shown


def test_read_presence_of_blank_subscription_name_falls_back() -> None:
    for name in ("", BLANK):
        assert read(entry("42", {"name": "Ada"}, {"name": name})).members["42"].name == "Ada"


def test_read_presence_of_session_hidden_alone_hides_nobody_else() -> None:
    """Staff act as a user: the newer token, of another connection, hides them."""
    session = {"iat": 9.0, "hidden": True, "session": True}
    seen, staff = entry("42", {"name": "Ada", "iat": 1.0}), entry("42", session)
    for entries in ([seen, staff], [staff, seen]):
        roster = read(*entries)
        assert (roster.members, roster.hidden) == ({"42": Member("42", "Ada")}, [])
    roster, clients = read_presence(presence(staff))
    assert (roster.members, roster.hidden, clients) == ({}, [], 1)


def test_read_presence_of_session_hidden_alone_is_not_shown_by_profile() -> None:
    staff = entry("42", {"iat": 1.0, "hidden": True, "session": True})
    profiles = {"42": UserClaims(name="Ada", iat=5.0)}
    roster, _ = read_presence(presence(staff), profiles=profiles)
    assert roster.members == {}
    own = entry("42", {"iat": 1.0, "hidden": True})
    roster, _ = read_presence(presence(staff, own), profiles=profiles)
    assert roster.members == {"42": Member("42", "Ada")}


@pytest.mark.parametrize("odd", [False, True], ids=["only our tokens", "with a token of the site"])
def test_read_presence_of_hidden_profile_hides_every_session(odd: bool) -> None:
    others = [entry("17", {"name": "Grace", "role": "admin"})] if odd else []
    tabs = [entry("42", {"name": "Ada", "iat": 1.0}), entry("42", {"name": "Ada", "iat": 2.0})]
    profiles = {"42": UserClaims(hidden=True, iat=5.0)}
    roster, _ = read_presence(presence(*tabs, *others), profiles=profiles)
    assert ("42" in roster.members, roster.hidden) == (False, ["42"])


def test_read_presence_of_unknown_fields_ignores_them() -> None:
    assert read(entry("42", {"name": "Ada", "later": 1}) | {"more": {}}).total == 1


class TestAnonymous:
    TABS = (
        entry("", {"anonymous": "v1", "name": "Guest"}),
        entry("", {"anonymous": "v1", "name": "Guest"}),
        entry("", {"anonymous": "v2"}),
        entry(""),
        entry("42", {"name": "Ada"}),
    )

    def test_read_presence_in_count_mode_counts_visitors_not_tabs(self) -> None:
        roster = read(*self.TABS)
        assert (list(roster.members), roster.anonymous) == (["42"], 3)

    def test_read_presence_in_ignore_mode_counts_nobody(self) -> None:
        roster = read(*self.TABS, anonymous="ignore")
        assert (list(roster.members), roster.anonymous) == (["42"], 0)

    def test_read_presence_in_list_mode_lists_visitors(self) -> None:
        roster = read(*self.TABS, anonymous="list")
        assert {m.id: m.name for m in roster.members.values()} == {
            "v1": "Guest",
            "v2": "Anonymous",
            "anon_c3": "Anonymous",
            "42": "Ada",
        }
        assert roster.anonymous == 0


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"null", b"[]", b"{}", b"7", b'{"presence": null}', b'{"presence": []}'),
        *(b'{"presence": {"c": 7}}', b'{"presence": {"c": null}}', b'{"presence": {"c": []}}'),
        *(b'{"presence": {"c": {"user": 42}}}', b'{"presence": {"c": {"user": "42"}', b"\xff"),
        b'{"presence": {"a": {"user": "1"}, "b": {"user": null}}}',
    ],
)
def test_read_presence_of_malformed_reply_raises_error(raw: bytes) -> None:
    with pytest.raises(CentrifugoAnswerError, match="cannot be read"):
        read_presence(raw)


def test_read_presence_of_ten_thousand_members_lists_them() -> None:
    roster = read(*[entry(str(n), {"name": f"User {n}", "iat": 1.0}) for n in range(10_000)])
    assert roster.total == 10_000


def test_digest_of_other_reply_or_settings_differs() -> None:
    digests = {digest(raw, how) for raw in (b"a", b"b") for how in ("1", "2")}
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {16}
    assert digest(b"a", "x" * 200) == digest(b"a", "x" * 200)


@pytest.mark.parametrize(
    ("info", "shown"),
    [
        ({"name": "Ada", "info": "red"}, Member("42", "Ada")),
        ({"name": "Ada", "iat": "now"}, Member("42", "Ada")),
        (
            {"name": "Ada", "avatar": "/a.png", "color": "#abc", "email": "ada@example.com"},
            Member("42", "Ada", {"avatar": "/a.png", "color": "#abc"}),
        ),
        (
            {"name": "Ada", "info": {"color": "#abc"}, "role": "admin"},
            Member("42", "Ada", {"color": "#abc"}),
        ),
    ],
)
def test_read_presence_of_own_tokens_of_a_site_takes_only_public_info(
    info: Any, shown: Member
) -> None:
    assert read(entry("42", info)).members == {"42": shown}


HIDDEN = {"iat": 5.0, "hidden": True}


@pytest.mark.parametrize(
    ("conn", "chan", "hidden"),
    [
        (HIDDEN, None, True),
        (HIDDEN, HIDDEN, True),
        (HIDDEN, {}, True),
        (None, HIDDEN, True),
        ({"name": "Ada", "iat": 4.0}, HIDDEN, True),
        ({"name": "Ada", "iat": 6.0}, HIDDEN, True),
        (HIDDEN, {"name": "Ada", "iat": 4.0}, True),
        (HIDDEN, {"name": "Ada"}, True),
        (HIDDEN, {"name": "Ada", "role": "admin"}, True),
        (HIDDEN, {"name": "Ada", "iat": 6.0}, False),
    ],
)
@pytest.mark.parametrize("odd", [False, True], ids=["only our tokens", "with a token of the site"])
def test_read_presence_of_hiding_token_hides_the_user(
    conn: Any, chan: Any, hidden: bool, odd: bool
) -> None:
    """A token of the site's own in the same room causes another way of decoding the reply."""
    others = [entry("17", {"name": "Grace", "role": "admin"})] if odd else []
    roster = read(entry("42", conn, chan), *others)
    assert ("42" in roster.members) is not hidden
    assert roster.hidden == (["42"] if hidden else [])
    assert ("17" in roster.members) is odd
