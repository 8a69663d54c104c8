"""Answers of the server API, byte for byte where the app reads the bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cent
import pytest
import requests

from presence_devtools import servers
from presence_devtools.servers import API_KEY
from tests.contract.clients import token
from tests.contract.conftest import Visit

Post = Callable[..., requests.Response]


def refusal(error: pytest.ExceptionInfo[cent.CentApiResponseError]) -> int:
    return error.value.code


def test_api_with_wrong_key_answers_401(centrifugo: servers.Centrifugo) -> None:
    with pytest.raises(cent.CentUnauthorizedError):
        cent.Client(centrifugo.api_url, "wrong").info(cent.InfoRequest())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": API_KEY}, 200),
        ({"Authorization": f"apikey {API_KEY}"}, 200),
        ({"Authorization": f"Bearer {API_KEY}"}, 401),
        ({"X-API-Key": "wrong", "Authorization": f"apikey {API_KEY}"}, 401),
        ({}, 401),
    ],
)
def test_api_accepts_the_key_in_each_header(
    centrifugo: servers.Centrifugo, headers: dict[str, str], status: int
) -> None:
    url = f"{centrifugo.api_url}/info"
    assert requests.post(url, data=b"{}", headers=headers, timeout=10).status_code == status


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"channel": 3}', b'"presence:a"'])
def test_api_with_malformed_body_answers_400(post: Post, body: bytes) -> None:
    response = post("presence", body)
    assert (response.status_code, response.text) == (400, "Bad Request\n")


def test_api_answers_404_to_unknown_method_and_405_to_get(
    centrifugo: servers.Centrifugo, post: Post
) -> None:
    assert post("nonsense", {}).status_code == 404
    assert requests.get(f"{centrifugo.api_url}/info", timeout=10).status_code == 405


def test_health_without_configuration_answers_404(centrifugo: servers.Centrifugo) -> None:
    assert requests.get(f"http://127.0.0.1:{centrifugo.port}/health", timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("channel", "code"), [("", 107), ("nonsense:a", 102), ("roster:a", 108), ("unnamed", 108)]
)
def test_presence_of_invalid_channel_is_refused_by_code(
    api: cent.Client, channel: str, code: int
) -> None:
    with pytest.raises(cent.CentApiResponseError) as error:
        api.presence(cent.PresenceRequest(channel=channel))
    assert refusal(error) == code


@pytest.mark.parametrize(("channel", "code"), [("", 107), ("nonsense:a", 102), ("cursors:a", 108)])
def test_history_of_invalid_channel_is_refused_by_code(
    api: cent.Client, channel: str, code: int
) -> None:
    with pytest.raises(cent.CentApiResponseError) as error:
        api.history(cent.HistoryRequest(channel=channel))
    assert refusal(error) == code


def test_api_ignores_unknown_fields(post: Post, channel: str) -> None:
    response = post("presence", {"channel": channel, "nonsense": [1]})
    assert response.content == b'{"result":{"presence":{}}}'
    assert response.headers["Content-Type"] == "application/json"


def test_batch_with_errors_answers_each_command(post: Post, channel: str) -> None:
    commands: list[Any] = [
        {"presence": {"channel": channel}},
        {"presence": {"channel": "nonsense:a"}},
        {"presence": {"channel": "roster:a"}},
        {"presence_stats": {"channel": channel}},
        {"publish": {"channel": "cursors:a", "data": {}}},
        {"publish": {"channel": "cursors:a", "data": []}},
        {"disconnect": {"user": "nobody"}},
        {},
        None,
    ]
    assert post("batch", {"commands": commands}).content == (
        b'{"replies":['
        b'{"presence":{"presence":{}}},'
        b'{"error":{"code":102,"message":"unknown channel"}},'
        b'{"error":{"code":108,"message":"not available"}},'
        b'{"presence_stats":{"num_clients":0,"num_users":0}},'
        b'{"publish":{}},'
        b'{"error":{"code":107,"message":"bad request"}},'
        b'{"disconnect":{}},'
        b'{"error":{"code":104,"message":"not found"}},'
        b'{"error":{"code":107,"message":"bad request"}}]}'
    )


@pytest.mark.parametrize("body", [{}, {"commands": []}, None])
def test_batch_without_commands_has_no_replies(post: Post, body: Any) -> None:
    assert post("batch", body).content == b"{}"


def test_batch_with_malformed_command_fails_whole(post: Post, channel: str) -> None:
    commands = [{"presence": {"channel": channel}}, {"presence": {"channel": 3}}]
    assert post("batch", {"commands": commands}).status_code == 400


def test_batch_is_read_by_the_cent_client(api: cent.Client, channel: str) -> None:
    requests = [
        cent.PublishRequest(channel=channel, data={"n": 1}),
        cent.PresenceStatsRequest(channel=channel),
    ]
    published, stats = api.batch(cent.BatchRequest(requests=requests, parallel=True)).replies
    assert isinstance(published, cent.PublishResult)
    assert published.offset == 1
    assert stats == cent.PresenceStatsResult()


@pytest.mark.asyncio
async def test_presence_is_sorted_compact_and_stable(
    visit: Visit, post: Post, channel: str
) -> None:
    info = {"name": "Ada <Lovelace> & é", "x": [1, 2.5]}
    visitors = [
        await visit(token("42", info=info)),
        await visit(token("7")),
        await visit(token("")),
    ]
    for visitor, user in zip(visitors, ("42", "7", ""), strict=True):
        grant = token(user, channel=channel, info={"role": "a b"})
        await visitor.subscribe(channel, grant)

    entries = {
        visitors[0].id: '{"user":"42","client":"%s","conn_info":{"name":"Ada \\u003cLovelace\\u003e'
        ' \\u0026 \\u00e9","x":[1,2.5]},"chan_info":{"role":"a b"}}' % visitors[0].id,
        visitors[1].id: '{"user":"7","client":"%s","chan_info":{"role":"a b"}}' % visitors[1].id,
        visitors[2].id: '{"user":"","client":"%s","chan_info":{"role":"a b"}}' % visitors[2].id,
    }
    members = ",".join(f'"{client}":{entries[client]}' for client in sorted(entries))
    first = post("presence", {"channel": channel}).content
    assert first.decode() == '{"result":{"presence":{%s}}}' % members
    assert post("presence", {"channel": channel}).content == first
    batch = post("batch", {"commands": [{"presence": {"channel": channel}}]}).content
    assert batch.decode() == '{"replies":[{"presence":{"presence":{%s}}}]}' % members


@pytest.mark.asyncio
async def test_presence_stats_counts_clients_and_users(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    for user in ("42", "42", "7"):
        await (await visit(token(user))).subscribe(channel, token(user, channel=channel))
    stats = api.presence_stats(cent.PresenceStatsRequest(channel=channel))
    assert (stats.num_clients, stats.num_users) == (3, 2)


@pytest.mark.asyncio
async def test_channels_returns_those_that_match_the_pattern(
    visit: Visit, api: cent.Client, channel: str
) -> None:
    roster = f"roster:{channel}"
    visitor = await visit(token("42"))
    other = await visit(token("7"))
    await visitor.subscribe(channel, token("42", channel=channel))
    await visitor.subscribe(roster, token("42", channel=roster))
    await other.subscribe(channel, token("7", channel=channel))

    def channels(pattern: str | None) -> dict[str, int]:
        found = api.channels(cent.ChannelsRequest(pattern=pattern)).channels
        return {name: found[name].num_clients for name in found if name in (channel, roster)}

    assert channels(None) == {channel: 2, roster: 1}
    assert channels("presence:*") == {channel: 2}
    assert channels("{presence,roster}:*") == {channel: 2, roster: 1}
    assert channels("p[a-s]?sence:[!x]*") == {channel: 2}
    assert channels("presence") == {}


def test_channels_with_malformed_pattern_fails(api: cent.Client) -> None:
    with pytest.raises(cent.CentApiResponseError) as error:
        api.channels(cent.ChannelsRequest(pattern="["))
    assert refusal(error) == 100


def test_info_returns_the_node(api: cent.Client) -> None:
    (first,) = api.info(cent.InfoRequest()).nodes
    (second,) = api.info(cent.InfoRequest()).nodes
    assert first.uid == second.uid
    assert len(first.uid) == 36


def test_history_without_limit_returns_only_the_position(api: cent.Client, channel: str) -> None:
    empty = api.history(cent.HistoryRequest(channel=channel))
    assert (empty.publications, empty.offset) == ([], 0)
    assert empty.epoch.isalpha()
    published = api.publish(cent.PublishRequest(channel=channel, data={"n": 1}))
    assert (published.offset, published.epoch) == (1, empty.epoch)
    again = api.history(cent.HistoryRequest(channel=channel))
    assert (again.publications, again.offset, again.epoch) == ([], 1, empty.epoch)


def test_history_with_limit_and_since_returns_that_part(api: cent.Client, channel: str) -> None:
    for n in range(1, 6):
        api.publish(cent.PublishRequest(channel=channel, data={"n": n}))
    epoch = api.history(cent.HistoryRequest(channel=channel)).epoch

    def offsets(**options: Any) -> list[int]:
        since = options.pop("since", None)
        if since is not None:
            options["since"] = cent.StreamPosition(offset=since, epoch=epoch)
        result = api.history(cent.HistoryRequest(channel=channel, **options))
        assert [each.data["n"] for each in result.publications] == [
            each.offset for each in result.publications
        ]
        return [each.offset for each in result.publications]

    assert offsets(limit=2) == [1, 2]
    assert offsets(limit=-1) == [1, 2, 3, 4, 5]
    assert offsets(limit=-1, since=3) == [4, 5]
    assert offsets(limit=1, since=3) == [4]
    assert offsets(limit=-1, since=5) == []


def test_history_of_another_epoch_is_unrecoverable(api: cent.Client, channel: str) -> None:
    since = cent.StreamPosition(offset=0, epoch="elsewhere")
    with pytest.raises(cent.CentApiResponseError) as error:
        api.history(cent.HistoryRequest(channel=channel, since=since, limit=1))
    assert refusal(error) == 112


def test_history_keeps_the_newest_hundred(api: cent.Client, channel: str) -> None:
    commands = [cent.PublishRequest(channel=channel, data={"n": n}) for n in range(105)]
    api.batch(cent.BatchRequest(requests=commands))
    kept = api.history(cent.HistoryRequest(channel=channel, limit=-1)).publications
    assert [each.offset for each in kept] == list(range(6, 106))


def test_history_reply_has_the_bytes_of_centrifugo(post: Post, channel: str) -> None:
    body = b'{"channel":"%s","data": {"a b" : [1,\n 2.50, "<"]}}'
    epoch = post("publish", body % channel.encode()).json()["result"]["epoch"]
    assert post("history", {"channel": channel, "limit": 1}).content == (
        b'{"result":{"publications":[{"data":{"a b":[1,2.50,"\\u003c"]},"offset":1}],'
        b'"epoch":"%s","offset":1}}' % epoch.encode()
    )


def test_publish_of_data_in_another_format_is_refused(post: Post, channel: str) -> None:
    def code(body: dict[str, Any]) -> int:
        return int(post("publish", body).json().get("error", {}).get("code", 0))

    assert code({"channel": channel, "data": [1]}) == 0
    assert code({"channel": channel, "data": None}) == 0
    assert code({"channel": channel}) == 107
    assert code({"channel": "cursors:a", "data": {"x": 1}}) == 0
    assert code({"channel": "cursors:a", "data": [1]}) == 107


@pytest.mark.parametrize("name", ["presence:" + "x" * 300, "presence:a b", "presence:é"])
def test_api_accepts_channels_that_clients_may_not_use(api: cent.Client, name: str) -> None:
    assert api.publish(cent.PublishRequest(channel=name, data={})).offset >= 1
    assert api.presence(cent.PresenceRequest(channel=name)).presence == {}
