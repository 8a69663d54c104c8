"""Tokens and grants that are forged, expired, borrowed or used again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client

from presence import services
from presence.centrifugo.tokens import GRANT_LIFETIME, make_grant
from presence.web.heartbeat import Lifeline, make_lifeline
from presence_devtools.servers import TOKEN_SECRET
from tests.attacks.conftest import SECRET_ROOM, VICTIM, Connect
from tests.attacks.sockets import is_refused

pytestmark = pytest.mark.django_db

Forge = Callable[[dict[str, Any]], str]


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def written(header: dict[str, Any], claims: dict[str, Any], key: str | None) -> str:
    """Return a token with any header, signed by HMAC-SHA256, or not at all."""
    body = f"{part(header)}.{part(claims)}"
    digest = hmac.digest(key.encode(), body.encode(), hashlib.sha256) if key is not None else b""
    return f"{body}.{part(digest)}"


def signed(claims: dict[str, Any], secret: str = TOKEN_SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, secret, algorithm=algorithm)


def with_changed_claims(claims: dict[str, Any]) -> str:
    """Return the token of somebody else, whose claims were replaced."""
    header, _, signature = signed({**claims, "sub": "1"}).split(".")
    return f"{header}.{part(claims)}.{signature}"


GUESS = "a guess that is as long as the secret of any of these algorithms has to be"
FORGERIES: dict[str, Forge] = {
    "another secret": lambda claims: signed(claims, GUESS),
    "an empty secret": lambda claims: written({"alg": "HS256", "typ": "JWT"}, claims, ""),
    "HS384 by another secret": lambda claims: signed(claims, GUESS, "HS384"),
    "HS512 by another secret": lambda claims: signed(claims, GUESS, "HS512"),
    "no algorithm": lambda claims: written({"alg": "none", "typ": "JWT"}, claims, None),
    "no algorithm, spelt NoNe": lambda claims: written({"alg": "NoNe"}, claims, None),
    "no header": lambda claims: written({}, claims, None),
    "RS256 with the secret as key": lambda claims: written({"alg": "RS256"}, claims, TOKEN_SECRET),
    "ES256 with the secret as key": lambda claims: written({"alg": "ES256"}, claims, TOKEN_SECRET),
    "a key of the sender": lambda claims: written(
        {"alg": "HS256", "jwk": {"kty": "oct", "k": part(GUESS.encode())}}, claims, GUESS
    ),
    "other claims": with_changed_claims,
    "no signature": lambda claims: signed(claims).rpartition(".")[0] + ".",
    "expired": lambda claims: signed({**claims, "exp": int(time.time()) - 60}),
}


def claims_of(user: str, **more: Any) -> dict[str, Any]:
    return {"sub": user, "exp": int(time.time()) + 600, **more}


def connection_of(user: str) -> str:
    return signed(claims_of(user))


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_connection_token_that_is_forged_is_refused(site: Any, connect: Connect, forge: Forge):
    assert is_refused(connect().ask("connect", token=forge(claims_of("7"))))


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_subscription_token_that_is_forged_is_refused(site: Any, connect: Connect, forge: Forge):
    client = connect().connect(connection_of("7"))
    token = forge(claims_of("7", channel=SECRET_ROOM))
    assert is_refused(client.ask("subscribe", channel=SECRET_ROOM, token=token))


def test_subscription_token_of_another_user_is_refused(site: Any, connect: Connect):
    client = connect().connect(connection_of("7"))
    token = signed(claims_of("8", channel=SECRET_ROOM))
    assert is_refused(client.ask("subscribe", channel=SECRET_ROOM, token=token))


@pytest.mark.parametrize("other", ["presence:secret2", "presence:", "presence:*", "cursors:secret"])
def test_subscription_token_of_another_channel_is_refused(site: Any, connect: Connect, other: str):
    client = connect().connect(connection_of("7"))
    token = signed(claims_of("7", channel=other))
    assert is_refused(client.ask("subscribe", channel=SECRET_ROOM, token=token))


def exchange(client: Client, *grants: str) -> Any:
    return client.post(
        "/presence/tokens/", json.dumps({"grants": grants}), content_type="application/json"
    )


def grant_of(user: User | None, channel: str = SECRET_ROOM, *, age: float = 0.0) -> str:
    return make_grant(channel, str(user.pk) if user else "", now=time.time() - age)


def test_connection_token_as_a_subscription_token_is_refused(
    site: Any, as_mallory: Client, mallory: User, connect: Connect
):
    token = exchange(as_mallory, grant_of(mallory)).json()["connection"]
    client = connect().connect(token)
    assert is_refused(client.ask("subscribe", channel=SECRET_ROOM, token=token))


def test_subscription_token_as_a_connection_token_is_refused(
    site: Any, as_mallory: Client, mallory: User, connect: Connect
):
    answer = exchange(as_mallory, grant_of(mallory)).json()
    for token in [answer["channels"][SECRET_ROOM]["token"], *answer["subs"].values()]:
        assert is_refused(connect().ask("connect", token=token))


@pytest.mark.parametrize("kind", ["copied before", "fetched after"])
def test_tokens_after_a_log_out_open_nothing(
    site: Any, as_mallory: Client, mallory: User, connect: Connect, kind: str
):
    grant = grant_of(mallory)
    answer = exchange(as_mallory, grant).json()
    as_mallory.logout()
    if kind == "fetched after":
        assert exchange(as_mallory, grant).status_code == 403
        return
    client = connect().connect(answer["connection"])
    token = answer["channels"][SECRET_ROOM]["token"]
    assert not is_refused(client.ask("subscribe", channel=SECRET_ROOM, token=token))
    services.sync().look()
    assert client.wait_until_closed()


def forged_grants(mallory: User, victim: User) -> dict[str, str]:
    own = [SECRET_ROOM, str(mallory.pk), int(time.time())]
    lifeline = Lifeline(SECRET_ROOM, str(mallory.pk), 0.0, "7", "s", "{}")
    payload, signature = grant_of(mallory).rsplit(":", 1)
    forger = signing.Signer(key=GUESS, salt="presence.grant")
    return {
        "another user's": grant_of(victim),
        "an anonymous visitor's": grant_of(None),
        "expired": grant_of(mallory, age=GRANT_LIFETIME + 60),
        "of the future": grant_of(mallory, age=-GRANT_LIFETIME - 60),
        "signed with another key": forger.sign_object(own),
        "signed for another purpose": signing.Signer(salt="sessions").sign_object(own),
        "a lifeline": make_lifeline(lifeline, now=time.time()),
        "without a signature": payload,
        "with a changed payload": f"{part(own)}:{signature}",
        "bare JSON": json.dumps(own),
        "empty": "",
        "a JWT": signed(claims_of(str(mallory.pk), channel=SECRET_ROOM)),
    }


@pytest.mark.parametrize("kind", forged_grants(User(pk=1), User(pk=2)))
def test_grant_that_is_not_ones_own_opens_no_endpoint(
    secret_room: str, as_mallory: Client, mallory: User, kind: str
):
    victim = User.objects.create(username="victim")
    grant = forged_grants(mallory, victim)[kind]
    body = json.dumps({"grants": [grant]})
    answers = [
        exchange(as_mallory, grant),
        as_mallory.get("/presence/snapshot/", {"grant": grant}),
        as_mallory.post("/presence/check/", body, content_type="application/json"),
    ]
    for answer in answers:
        assert answer.status_code in (400, 403)
        assert VICTIM.encode() not in answer.content
        assert b'"token"' not in answer.content


def test_lifeline_of_another_user_keeps_and_removes_nobody(
    site: Any, as_mallory: Client, mallory: User
):
    victim = User.objects.create(username="victim")
    tracker = services.tracker()
    tracker.save_member(SECRET_ROOM, str(victim.pk), source="s", meta=b"{}", timeout=60.0)
    lifeline = Lifeline(SECRET_ROOM, str(victim.pk), 0.0, str(victim.pk), "s", "{}")
    token = make_lifeline(lifeline, now=time.time())
    for leave in (False, True):
        body = json.dumps({"tokens": [token], "leave": leave})
        answer = as_mallory.post("/presence/heartbeat/", body, content_type="application/json")
        assert answer.status_code == 403
    (loaded,) = tracker.load_members([SECRET_ROOM], timeout=60.0).values()
    assert [member.user for member in loaded.members] == [str(victim.pk)]
