"""Grants, and the tokens that they are exchanged for."""

from __future__ import annotations

import jwt
import msgspec
import pytest
from django.core import signing
from django.test import override_settings

from presence.centrifugo.tokens import GRANT_LIFETIME, Issuer, make_grant, read_grant
from presence.exceptions import InvalidGrant
from presence.roster.people import UserClaims

NOW = 1_700_000_000.75
SECRET = "a-secret-of-thirty-two-bytes-or-more"
PLAIN = {
    "override": {
        "presence": {"value": False},
        "join_leave": {"value": False},
        "force_recovery": {"value": False},
        "force_positioning": {"value": False},
    }
}


def issuer(user_id: str = "42", info: UserClaims | None = None) -> Issuer:
    info = info or UserClaims(name="Ada", info={"color": "#fff"}, iat=NOW)
    return Issuer(secret=SECRET, user_id=user_id, info=info, now=NOW, lifetime=60.5)


def claims(token: str) -> dict[str, object]:
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    return jwt.decode(token, SECRET, ["HS256"], options={"verify_exp": False})


def test_connection_token_names_user_and_expiry():
    assert claims(issuer().connection()) == {
        "sub": "42",
        "iat": 1_700_000_000,
        "exp": 1_700_000_062,
        "info": {"name": "Ada", "info": {"color": "#fff"}, "iat": NOW},
        "subs": {"presence.tick": PLAIN},
    }


def test_subscription_token_names_its_feed():
    made, connection = claims(issuer().subscription("roster:chat:1")), claims(issuer().connection())
    assert made.pop("channel") == "roster:chat:1"
    assert connection.pop("subs")
    assert made == connection


@pytest.mark.parametrize("user_id", ["42", ""])
def test_pulse_token_shows_the_visitor_to_nobody(user_id: str):
    (made,) = map(claims, issuer(user_id).subscriptions().values())
    assert {name: made.pop(name) for name in ("channel", "override")} == {
        "channel": "presence.tick",
        **PLAIN,
    }
    assert made == {
        "sub": user_id,
        "iat": 1_700_000_000,
        "exp": 1_700_000_062,
        "info": {"iat": NOW},
    }


def test_tokens_of_a_connection_of_the_site_have_the_channels_and_options_of_ours():
    issued = msgspec.structs.replace(issuer(), session="session:a.b")
    made = {channel: claims(token) for channel, token in issued.subscriptions().items()}
    ours = claims(issued.connection())["subs"]
    assert {channel: {"override": token["override"]} for channel, token in made.items()} == ours
    assert [token["channel"] for token in made.values()] == ["presence.tick", "session:a.b"]
    override = made["session:a.b"]["override"]
    assert override == {**PLAIN["override"], "presence": {"value": True}}


def test_connection_token_of_tracked_user_has_their_info_as_meta():
    tracked = msgspec.structs.replace(issuer(), tracked=True)
    made = claims(tracked.connection())
    assert made.pop("meta") == {"name": "Ada", "info": {"color": "#fff"}}
    assert made == claims(issuer().connection())
    assert tracked.subscription("cursors:doc:42") == issuer().subscription("cursors:doc:42")
    anonymous = msgspec.structs.replace(issuer("", UserClaims(iat=NOW)), tracked=True)
    assert "meta" not in claims(anonymous.connection())


def test_tokens_of_anonymous_visitor_have_an_empty_sub():
    made = claims(issuer("", UserClaims(iat=NOW, anonymous="anon_0123")).connection())
    assert made["sub"] == ""
    assert made["info"] == {"iat": NOW, "anonymous": "anon_0123"}


def test_grant_of_user_is_valid_for_its_lifetime():
    grant = read_grant(make_grant("presence:doc:42", "42", now=NOW))
    assert (grant.channel, grant.user_id) == ("presence:doc:42", "42")
    grant.check(user_id="42", now=NOW)
    grant.check(user_id="42", now=NOW + GRANT_LIFETIME - 1)


def test_grant_that_expired_raises_invalid_grant():
    grant = read_grant(make_grant("presence:doc:42", "42", now=NOW))
    with pytest.raises(InvalidGrant, match="expired, 14 days"):
        grant.check(user_id="42", now=NOW + GRANT_LIFETIME + 1)


@pytest.mark.parametrize(("made_for", "used_by"), [("42", "43"), ("42", ""), ("", "42")])
def test_grant_of_another_user_raises_invalid_grant(made_for: str, used_by: str):
    grant = read_grant(make_grant("presence:doc:42", made_for, now=NOW))
    with pytest.raises(InvalidGrant, match="another user"):
        grant.check(user_id=used_by, now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "x" * 10_000,
        "é:\ud800",
        signing.dumps(["presence:doc:42", "42", NOW]),
        signing.Signer(salt="other").sign_object(["presence:doc:42", "42", int(NOW)]),
        signing.Signer(salt="presence.grant").sign_object({"of": "another release"}),
        signing.Signer(salt="presence.grant").sign("not JSON"),
        make_grant("presence:doc:42", "42", now=NOW)[:-1],
        "W" + make_grant("presence:doc:42", "42", now=NOW),
    ],
)
def test_grant_that_is_forged_raises_invalid_grant(text: str):
    with pytest.raises(InvalidGrant, match="forged"):
        read_grant(text)


def test_grant_of_former_secret_key_is_valid_only_as_a_fallback():
    with override_settings(SECRET_KEY="the-key-of-before"):
        grant = make_grant("presence:doc:42", "42", now=NOW)
    with pytest.raises(InvalidGrant, match="forged"):
        read_grant(grant)
    with override_settings(SECRET_KEY_FALLBACKS=["the-key-of-before"]):
        assert read_grant(grant).channel == "presence:doc:42"


def test_grants_of_a_hundred_longest_names_fit_a_request():
    from presence.web.views import MAX_BODY, MAX_GRANTS

    grant = make_grant("presence:" + "x" * 239, "1" * 36, now=NOW)
    assert MAX_GRANTS * (len(grant) + 4) < MAX_BODY


def test_issuer_shown_in_an_error_report_hides_its_secret():
    assert SECRET not in repr(issuer())
