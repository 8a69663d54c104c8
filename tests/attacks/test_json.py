"""Huge, deep and odd JSON at every endpoint that reads a body: refused at once, and at no cost."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import resolve

from presence.centrifugo.tokens import make_grant
from presence.urls import urlpatterns

pytestmark = pytest.mark.django_db

DEEP = 10**6
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"grants=1",
    "a lone byte": b"\x80",
    "a NUL": b'{"%s": ["\x00"]}',
    "half of UTF-8": b'{"%s": ["\xc3"]}',
    "UTF-16": '{"%s": ["a"]}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"%s": []}',
    "a lone surrogate": b'{"%s": ["\\ud800"]}',
    "surrogates in the wrong order": b'{"%s": ["\\udc00\\ud800"]}',
    "NaN": b'{"%s": NaN}',
    "Infinity": b'{"%s": [Infinity]}',
    "a number beyond all floats": b'{"%s": [1e999999]}',
    "a number of many digits": b'{"%s": [' + b"9" * 60_000 + b"]}",
    "twice the same key": b'{"%s": ["a"], "%s": 7}',
    "the key of prototypes": b'{"__proto__": {"%s": ["a"]}}',
    "null": b"null",
    "a list": b'["%s"]',
    "a string": b'"%s"',
    "a wrong type": b'{"%s": "a"}',
    "a list of numbers": b'{"%s": [1]}',
    "a list of nulls": b'{"%s": [null]}',
    "an empty list": b'{"%s": []}',
    "too long a list": b'{"%s": [' + b",".join([b'"a"'] * 5000) + b"]}",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep lists without an end": b"[" * DEEP,
    "deep dicts": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in a field": b'{"%s": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    "deep in an unknown field": b'{"x": ' + b"[" * 60_000 + b"]" * 60_000 + b', "%s": []}',
    "ten megabytes": b'{"%s": ["' + b"a" * 10_000_000 + b'"]}',
    "ten megabytes of spaces": b" " * 10_000_000 + b"{}",
    "many keys": b"{" + b",".join(b'"%d": 1' % n for n in range(100_000)) + b"}",
    "an unended string": b'{"%s": ["a',
    "a bad escape": b'{"%s": ["\\x"]}',
    "more after the end": b'{"%s": ["a"]} {}',
}
FIELDS = {"tokens": b"grants", "check": b"grants", "heartbeat": b"tokens", "publish": b"data"}
WITHOUT_BODY = {"snapshot"}


@pytest.fixture(autouse=True)
def memory(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.CENTRIFUGO_API_KEY = "key"


def ask(name: str, body: bytes) -> HttpResponse:
    """POST to an endpoint, which may take a second of processor and 4 MB beside the body."""
    path = f"/presence/{name}/"
    request = RequestFactory().post(
        path, body, content_type="application/json", headers={"X-API-Key": "key"}
    )
    view = resolve(path).func
    tracemalloc.start()
    began = time.process_time()
    try:
        answer = view(request)
        seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 1
    assert peak < 4 << 20
    assert len(answer.content) < 32_000
    assert answer["Content-Type"] == "application/json"
    return answer


def test_endpoints_all_have_a_field():
    assert {pattern.name for pattern in urlpatterns} == {*FIELDS, *WITHOUT_BODY}


def bodies(field: bytes) -> dict[str, bytes]:
    return {name: body.replace(b"%s", field) for name, body in BODIES.items()}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("name", FIELDS)
def test_endpoint_with_odd_json_answers_with_an_error_in_bounds(name: str, kind: str):
    answer = ask(name, bodies(FIELDS[name])[kind])
    # The publish proxy tells Centrifugo in the body.
    status = json.loads(answer.content)["error"]["code"] if name == "publish" else None
    assert 400 <= (status or answer.status_code) < 500


@pytest.mark.parametrize("kind", BODIES)
def test_publish_proxy_with_odd_data_in_a_good_envelope_publishes_nothing(kind: str):
    data = bodies(b"x")[kind]
    body = b'{"client": "c", "user": "1", "channel": "cursors:a", "data": ' + data + b"}"
    answer = ask("publish", body)
    assert answer.status_code == 200
    assert 400 <= json.loads(answer.content)["error"]["code"] < 500


@pytest.mark.parametrize("grant", ["\x00", "\ud800", "a" * 5000, "é", "%00", "a:b", ":::", "."])
def test_snapshot_with_an_odd_grant_answers_403(settings: Any, grant: str):
    query = grant.encode("utf-8", "surrogatepass")
    answer = Client(raise_request_exception=False).get("/presence/snapshot/", {"grant": query})
    assert answer.status_code == 403


@pytest.mark.parametrize("kind", ["deep", "large"])
def test_grant_of_ones_own_with_an_odd_channel_answers_403(kind: str):
    """Only the site signs channels; even then nothing fails."""
    user = User.objects.create(username="u")
    client = Client(raise_request_exception=False)
    client.force_login(user)
    channel = "presence:" + ("a:" * 5000 if kind == "deep" else "b" * 40_000)
    grant = make_grant(channel, str(user.pk), now=time.time())
    body = json.dumps({"grants": [grant]})
    answer = client.post("/presence/tokens/", body, content_type="application/json")
    assert answer.status_code == 403
