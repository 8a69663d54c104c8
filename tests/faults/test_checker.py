"""The checker accepts right records, and refuses each kind of wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.checker import Heard, Move, check

MOVES = [Move(0.0, "eve", True), Move(2.0, "ada", True), Move(5.0, "ada", False)]


def diff(version: int, *, joins: str = "", leaves: str = "", epoch: str = "e") -> dict[str, Any]:
    return {
        **{"type": "presence.diff", "epoch": epoch, "base": version - 1, "version": version},
        **{"joins": [{"id": user} for user in joins.split()], "leaves": leaves.split()},
    }


def snapshot(version: int, users: str, *, epoch: str = "e") -> dict[str, Any]:
    return {"epoch": epoch, "version": version, "members": [{"id": u} for u in users.split()]}


def record() -> list[Heard]:
    return [
        Heard(1.0, "subscribed", False),
        Heard(1.1, "snapshot", snapshot(1, "eve")),
        Heard(3.0, "publication", diff(2, joins="ada")),
        Heard(7.0, "publication", diff(3, leaves="ada")),
    ]


def judged(heard: list[Heard], **more: Any) -> float:
    return check({"page": heard}, MOVES, ended=4.0, within=3.0, **more)


def test_checker_accepts_right_record_and_tells_how_long_it_took() -> None:
    assert judged(record()) == 2.0


def test_checker_accepts_snapshot_of_new_epoch_and_after_reload() -> None:
    heard = record()
    heard[3:] = [
        Heard(6.0, "publication", diff(1, joins="zoe", epoch="f")),
        Heard(6.1, "snapshot", snapshot(2, "eve", epoch="f")),
    ]
    assert judged(heard) == pytest.approx(1.1)
    heard[3] = Heard(6.0, "publication", {"type": "presence.reload", "epoch": "e", "version": 9})
    heard[4] = Heard(6.1, "snapshot", snapshot(9, "eve"))
    assert judged(heard) == pytest.approx(1.1)


def test_checker_accepts_again_what_an_unrecovered_subscription_is_told_again() -> None:
    again = [Heard(7.1, "subscribed", False), Heard(7.2, "snapshot", snapshot(3, "eve"))]
    assert judged([*record(), *again, Heard(7.3, "publication", diff(3, leaves="ada"))]) == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.append(Heard(7.5, "publication", diff(3, leaves="ada"))), "told twice"),
        (lambda r: r.insert(3, Heard(4.0, "publication", diff(4))), "follows 2"),
        (lambda r: r.pop(), "shows"),
        (lambda r: r.pop(1), "shows None"),
        (lambda r: r.append(Heard(8.0, "publication", diff(4, leaves="eve"))), "did not leave"),
        (lambda r: setattr(r[3], "at", 9.0), r"right after 4\.0 s"),
        (lambda r: r[3].data["leaves"].clear(), "shows"),
    ],
)
def test_checker_refuses_wrong_record(change: Any, message: str) -> None:
    heard = record()
    change(heard)
    with pytest.raises(AssertionError, match=message):
        judged(heard)


def test_checker_refuses_leave_of_a_user_who_came_and_stayed() -> None:
    moves = [*MOVES, Move(5.1, "ada", True)]
    with pytest.raises(AssertionError, match="shows"):
        check({"page": record()}, moves, ended=4.0, within=3.0)
    with pytest.raises(AssertionError, match="did not leave"):
        check({"page": record()}, MOVES[:2], ended=4.0, within=9.0)


def test_checker_refuses_changes_without_signals() -> None:
    signals = [["presence_joined", "room", ["ada"], 2], ["presence_left", "room", ["ada"], 3]]
    judged(record(), signals=[*signals, *signals])
    for left_out in range(2):
        with pytest.raises(AssertionError, match="no signal"):
            judged(record(), signals=signals[left_out : left_out + 1])


def test_checker_without_subscribers_fails() -> None:
    with pytest.raises(AssertionError, match="nobody listened"):
        check({}, MOVES, ended=4.0, within=3.0)
