"""Parsing of the answer to a batch: a raw reply or an error per command."""

from __future__ import annotations

import msgspec
import pytest

from presence.centrifugo import gateway
from presence.exceptions import CentrifugoAnswerError, CommandError
from presence.roster.merge import read_presence
from presence.roster.messages import Position


def test_read_batch_of_replies_and_errors_keeps_both() -> None:
    content = b'{"replies": [{"presence": {"a": 1}}, {"error": {"code": 102, "message": "no"}}]}'
    good, bad = gateway.read_batch(content, ["presence", "presence"])
    assert isinstance(good, msgspec.Raw)
    assert bytes(good) == b'{"a": 1}'
    assert isinstance(bad, CommandError)
    assert (bad.code, bad.permanent) == (102, True)


@pytest.mark.parametrize(
    "content",
    [
        *("", "null", "[]", "{}", "7", '{"replies": null}', '{"replies": {}}', '{"replies": [7]}'),
        *('{"replies": [null]}', '{"replies": [{"presence": {}}', '{"replies": []}'),
        *('{"replies": [{}, {}]}', '{"error": {"code": 100}}', "<html>502</html>"),
        *(b"\xff", '{"replies": [{"presence": {"x": "\\ud800"}}'),
    ],
)
def test_read_batch_of_malformed_answer_raises_error(content: str | bytes) -> None:
    with pytest.raises(CentrifugoAnswerError):
        gateway.read_batch(content.encode() if isinstance(content, str) else content, ["presence"])


@pytest.mark.parametrize(
    "reply", ["{}", '{"publish": {}}', '{"error": null}', '{"error": []}', '{"error": {}}']
)
def test_read_batch_of_wrong_reply_has_an_error_in_its_place(reply: str) -> None:
    content = f'{{"replies": [{reply}, {{"presence": {{}}}}]}}'
    bad, good = gateway.read_batch(content.encode(), ["presence", "presence"])
    assert isinstance(bad, CentrifugoAnswerError)
    assert isinstance(good, msgspec.Raw)
    with pytest.raises(CentrifugoAnswerError):
        gateway.result_of(bad)


def test_read_batch_with_half_a_surrogate_pair_loses_one_letter() -> None:
    content = (
        rb'{"replies": [{"presence": {"presence": {"c": {"user": "42", "conn_info": '
        rb'{"name": "Ad\ud83d \\ud83d \ud83d\ude00"}}}}}, {"presence": {"presence": {}}}]}'
    )
    odd, other = (gateway.result_of(r) for r in gateway.read_batch(content, ["presence"] * 2))
    assert read_presence(bytes(odd))[0].members["42"].name == "Ad? \\ud83d \U0001f600"
    assert read_presence(bytes(other))[0].total == 0


def test_read_batch_with_a_byte_that_is_not_utf8_loses_one_letter() -> None:
    content = (
        b'{"replies": [{"presence": {"presence": {"c": {"user": "42", "conn_info": '
        b'{"name": "Ad\xff"}}}}}, {"presence": {"presence": {}}}]}'
    )
    odd, other = (gateway.result_of(r) for r in gateway.read_batch(content, ["presence"] * 2))
    assert read_presence(bytes(odd))[0].members["42"].name == "Ad\ufffd"
    assert read_presence(bytes(other))[0].total == 0


def test_read_position_of_reply_returns_position_or_error() -> None:
    at = msgspec.Raw(b'{"offset": 7, "epoch": "S", "later": 1}')
    error = CommandError(100, "internal")
    assert gateway.read_position(at) == Position(7, "S")
    assert gateway.read_position(error) is error
    for raw in (b"[]", b"null", b'{"offset": "7"}'):
        assert isinstance(gateway.read_position(msgspec.Raw(raw)), CentrifugoAnswerError)


@pytest.mark.parametrize(
    ("code", "permanent", "says"),
    [(100, False, "error 100"), (102, True, "channel.namespaces"), (107, True, "channel name"),
     (108, True, "presence: true"), (103, False, "allow_")],
)  # fmt: skip
def test_command_error_of_known_code_names_the_remedy(
    code: int, *, permanent: bool, says: str
) -> None:
    error = CommandError(code, "whatever")
    assert error.permanent is permanent
    assert says in str(error)
