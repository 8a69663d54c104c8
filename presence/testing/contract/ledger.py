"""The books beside the rosters."""

from __future__ import annotations

from presence.backends.base import KEPT_TICKS, Ledger
from presence.testing.clock import Clock
from presence.testing.contract.base import Contract

__all__ = ["LedgerContract"]


class TicksContract(Contract):
    def test_no_tick_yet(self, backend: Ledger, clock: Clock) -> None:
        logged = backend.load_ticks()
        assert (logged.now, logged.began, logged.open, logged.records) == (clock.now, None, {}, [])

    def test_one_begins_after_the_other(self, backend: Ledger, clock: Clock) -> None:
        first = backend.begin_tick("a")
        assert (first.now, first.since, first.open) == (clock.now, None, {})
        clock.advance(7.5)
        second = backend.begin_tick("b")
        assert (second.since, second.open) == (7.5, {"a": clock.now - 7.5})
        assert backend.load_ticks().open == {"a": clock.now - 7.5, "b": clock.now}
        assert backend.load_ticks().began == clock.now

    def test_that_a_tick_began_stays_known_when_it_is_closed(
        self, backend: Ledger, clock: Clock
    ) -> None:
        backend.begin_tick("a")
        backend.close_tick("a", b"r")
        clock.advance(3)
        assert backend.load_ticks().began == clock.now - 3
        begun = backend.begin_tick("b")
        assert (begun.since, begun.open) == (3.0, {})

    def test_parts_come_in_in_any_order(self, backend: Ledger) -> None:
        backend.begin_tick("a")
        assert [backend.add_part("a", n, b"%d" % n, of=12) for n in range(11, 0, -1)] == [
            False
        ] * 11
        assert (backend.load_parts("a").of, len(backend.load_parts("a").parts)) == (12, 11)
        assert backend.add_part("a", 0, b"0", of=12) is True
        assert backend.load_parts("a").parts == [b"%d" % n for n in range(12)]

    def test_a_part_that_comes_twice_counts_once(self, backend: Ledger) -> None:
        backend.begin_tick("a")
        assert not backend.add_part("a", 1, b"\x00\xffone", of=2)
        assert not backend.add_part("a", 1, b"again", of=2)
        assert backend.load_parts("a").parts == [b"again"]

    def test_a_tick_is_closed_once(self, backend: Ledger) -> None:
        backend.begin_tick("a")
        backend.add_part("a", 0, b"x", of=1)
        assert backend.close_tick("a", b"record") is True
        assert backend.close_tick("a", b"other") is False
        assert backend.close_tick("never", b"began") is False
        assert (backend.load_ticks().records, backend.load_ticks().open) == ([b"record"], {})
        assert (backend.load_parts("a").of, backend.load_parts("a").parts) == (0, [])

    def test_records_are_bounded_newest_first(self, backend: Ledger) -> None:
        for n in range(KEPT_TICKS + 5):
            backend.begin_tick(str(n))
            backend.close_tick(str(n), b"%d" % n)
        records = backend.load_ticks().records
        assert (len(records), records[0], records[-1]) == (KEPT_TICKS, b"%d" % (n), b"5")


class RegistryContract(Contract):
    def test_what_was_registered_lately(self, backend: Ledger, clock: Clock) -> None:
        assert backend.registered_channels(within=60) == []
        backend.register_channels(["presence:a", "presence:b"])
        clock.advance(40)
        backend.register_channels(["presence:b", "presence:c"])
        clock.advance(20)
        assert sorted(backend.registered_channels(within=60)) == [
            "presence:a",
            "presence:b",
            "presence:c",
        ]
        clock.advance(1)
        assert sorted(backend.registered_channels(within=60)) == ["presence:b", "presence:c"]
        assert sorted(backend.registered_channels(within=600)) == ["presence:b", "presence:c"], (
            "forgotten"
        )

    def test_unregistered_channels_are_those_that_were_never_registered(
        self, backend: Ledger
    ) -> None:
        backend.register_channels(["presence:a", "presence:b"])
        asked = ["presence:c", "presence:b", "presence:d"]
        assert backend.unregistered_channels(asked) == ["presence:c", "presence:d"]
        by_default = Ledger.unregistered_channels(backend, asked)
        assert by_default == ["presence:c", "presence:d"]
        assert backend.unregistered_channels([]) == []

    def test_nothing_registered(self, backend: Ledger) -> None:
        backend.register_channels([])
        assert backend.registered_channels(within=60) == []

    def test_thousands_of_registered_channels_come_and_go(
        self, backend: Ledger, clock: Clock
    ) -> None:
        for turn in range(5):
            backend.register_channels(
                [f"presence:{n}" for n in range(1000 * turn, 1000 * turn + 2000)]
            )
            clock.advance(10)
        found = backend.registered_channels(within=20)
        assert sorted(found) == sorted(f"presence:{n}" for n in range(3000, 6000))


class LedgerContract(TicksContract, RegistryContract):
    """What every Ledger keeps to. Needs a fixture `backend`: see presence.testing.contract."""
