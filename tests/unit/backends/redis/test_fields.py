from __future__ import annotations

import pytest

from presence.backends.redis import fields

SETTLED: dict[str, bytes | None] = {
    **{"rev": b"3", "epoch": b"e", "version": b"2", "run": b"r", "digest": b"d", "leaving": b""},
    **{"pending": b"", "unsignalled": b"", "position": b"7:S", "listed": b"1", "total": b"1"},
    **{"anonymous": b"0", "suspect": None},
}


def row(**values: bytes) -> list[bytes | None]:
    return [(SETTLED | values)[name] for name in fields.NAMES]


def test_state_of_the_same_row_is_read_once() -> None:
    assert fields.state("presence:a", row()) is fields.state("presence:a", row())


@pytest.mark.parametrize("values", [{"rev": b"4"}, {"total": b"2"}, {"digest": b""}])
def test_state_of_another_row_is_read_anew(values: dict[str, bytes]) -> None:
    before = fields.state("presence:a", row())
    after = fields.state("presence:a", row(**values))
    assert (after != before, after.damage) == (True, None)


def test_state_of_another_channel_is_its_own() -> None:
    assert fields.state("presence:b", row()).channel == "presence:b"


@pytest.mark.parametrize("name", ["leaving", "pending", "suspect"])
def test_state_that_is_not_settled_is_not_kept(name: str) -> None:
    large = row(**{name: b"x" * 1000})
    assert fields.state("presence:a", large) is not fields.state("presence:a", large)


def test_state_of_hidden_users_alone_is_sound_without_an_epoch() -> None:
    unseen = fields.state("presence:a", row(epoch=b"", version=b"0", total=b"0"))
    assert (unseen.version, unseen.epoch, unseen.damage) == (0, "", None)
    found = fields.stored([None, b"", b"", b"0"], polled=1.0, now=2.0)
    assert (found.snapshot, found.version, found.damage) == (None, 0, "")


@pytest.mark.parametrize("values", [{"epoch": b""}, {"version": b"0"}])
def test_state_with_only_half_a_version_is_damaged(values: dict[str, bytes]) -> None:
    assert fields.state("presence:a", row(**values)).damage
