"""The messages on the wire, with the examples that the JavaScript tests read, too."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from presence.exceptions import InvalidMessage
from presence.roster import messages
from presence.roster.messages import (
    Change,
    Diff,
    Event,
    Leaving,
    Member,
    Position,
    Pulse,
    Reload,
    Roster,
    Snapshot,
)
from tests.feed_reader import decode_publication

WIRE = Path(__file__).parents[2] / "fixtures" / "wire"
ADA = Member("42", "Ada Lovelace", {"avatar": "/a/42.png", "color": "#4363d8"})


def example(name: str) -> bytes:
    return (WIRE / f"{name}.json").read_bytes()


@pytest.mark.parametrize(("name", "kind"), [("diff", Diff), ("reload", Reload), ("event", Event)])
def test_publication_when_encoded_and_decoded_is_equal(name: str, kind: type) -> None:
    message = decode_publication(example(name))
    assert type(message) is kind
    encoded = messages.encode(message)
    assert json.loads(encoded) == json.loads(example(name))
    assert decode_publication(encoded) == message
    assert b"\n" not in encoded


def test_pulse_when_encoded_and_decoded_is_equal() -> None:
    assert messages.decode(example("pulse"), Pulse) == Pulse(every=60.0)
    assert json.loads(messages.encode(Pulse(every=60.0))) == json.loads(example("pulse"))


def test_member_when_encoded_and_decoded_is_equal() -> None:
    assert messages.decode(example("member"), Member) == ADA
    assert json.loads(messages.encode(ADA)) == json.loads(example("member"))


@pytest.mark.parametrize("name", ["snapshot", "snapshot-counted"])
def test_snapshot_when_encoded_lacks_fields_of_the_reader(name: str) -> None:
    whole = messages.decode(example(name), Snapshot)
    stored = messages.encode(whole)
    assert json.loads(stored).keys() == json.loads(example(name)).keys() - {
        *("age", "every", "position"),
    }
    served = messages.serve(stored, age=whole.age, every=whole.every, position=whole.position)
    assert served == whole
    assert msgspec.to_builtins(served) == json.loads(example(name))


def test_serve_of_uncommitted_channel_is_empty() -> None:
    served = messages.serve(None, age=None, every=60.0, position=Position(3, "x"))
    assert served == Snapshot(every=60.0, position=Position(3, "x"))


@pytest.mark.parametrize("data", [b'{"type": "presence.dance"}', b'{"type": "chat", "version": 1}'])
def test_decode_publication_of_unknown_type_is_none(data: bytes) -> None:
    assert decode_publication(data) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b'{"type": 7}', b'{"type": "presence.diff"', b"\xff", b'"x"'],
)
def test_decode_publication_of_malformed_bytes_raises_invalid_message(data: bytes) -> None:
    with pytest.raises(InvalidMessage, match="Not a publication"):
        decode_publication(data)


@pytest.mark.parametrize("data", [b"", b"[", b'{"offset": "x"}', b"\xff\xfe"])
def test_decode_of_malformed_bytes_raises_invalid_message(data: bytes) -> None:
    with pytest.raises(InvalidMessage, match="Not a Position"):
        messages.decode(data, Position)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\U0001f600" * 50, "x" * 10_000, ""])
def test_member_with_any_name_round_trips(name: str) -> None:
    member = Member("1", name, {"a": [1, {"b": None}], "big": 10**30})
    assert messages.decode(messages.encode(member), Member) == member


def test_stored_messages_when_encoded_and_decoded_are_equal() -> None:
    change = Change([ADA], [], [], 1, 2, True, 2)
    for message in (
        messages.Pending("e", 1, msgspec.Raw(messages.encode(Reload("e", 1, 1.0))), change),
        Roster({"42": ADA}, 3, {"42": 1.5}),
        Leaving({"42": 17.25}, [(17.25, 4)], 2),
        change,
    ):
        assert messages.decode(messages.encode(message), type(message)) == message


def test_pending_of_each_epoch_and_version_has_other_bytes() -> None:
    """A worker recognises its own pending by its bytes."""
    change = Change()
    made = {
        messages.encode(messages.Pending(epoch, version, msgspec.Raw(b"{}"), change))
        for epoch in ("a", "b")
        for version in (1, 2)
    }
    assert len(made) == 4
