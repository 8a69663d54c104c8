"""Contract of a TickLog and a ChannelRegistry."""

from __future__ import annotations

from presence.backends.base import (
    KEPT_TICKS,
    ChannelRegistry,
    RosterStore,
    TickLog,
    TickParts,
)
from presence.testing.contract.base import (
    ROOM,
    Clock,
    Contract,
)

HOUR = 3600.0


def parts(log: TickLog, tick: str) -> TickParts:
    return log.load_ticks(parts=True).parts[tick]


class TicksContract(Contract):
    def test_load_ticks_before_the_first_tick_returns_nothing(
        self, backend: TickLog, clock: Clock
    ) -> None:
        logged = backend.load_ticks()
        assert (logged.now, logged.began, logged.open, logged.records) == (clock.now, None, {}, [])

    def test_begin_tick_returns_seconds_since_the_previous_and_open_ticks(
        self, backend: TickLog, clock: Clock
    ) -> None:
        first = backend.begin_tick("a")
        assert (first.now, first.since, first.open) == (clock.now, None, {})
        clock.advance(7.5)
        second = backend.begin_tick("b")
        assert (second.since, second.open) == (7.5, {"a": clock.now - 7.5})
        assert backend.load_ticks().open == {"a": clock.now - 7.5, "b": clock.now}
        assert backend.load_ticks().began == clock.now

    def test_begin_tick_after_a_closed_tick_returns_seconds_since_it_began(
        self, backend: TickLog, clock: Clock
    ) -> None:
        backend.begin_tick("a")
        backend.close_tick("a", b"r")
        clock.advance(3)
        assert backend.load_ticks().began == clock.now - 3
        begun = backend.begin_tick("b")
        assert (begun.since, begun.open) == (3.0, {})

    def test_add_part_in_any_order_returns_all_parts_with_the_last(self, backend: TickLog) -> None:
        backend.begin_tick("a")
        for n in range(11, 0, -1):
            assert backend.add_part("a", n, b"%d" % n, of=12) is None
        found = parts(backend, "a")
        assert (found.of, len(found.parts)) == (12, 11)
        found = backend.add_part("a", 0, b"0", of=12) or found
        assert found == parts(backend, "a")
        assert found.parts == [b"%d" % n for n in range(12)]

    def test_add_part_twice_counts_it_once(self, backend: TickLog) -> None:
        backend.begin_tick("a")
        assert not backend.add_part("a", 1, b"\x00\xffone", of=2)
        assert not backend.add_part("a", 1, b"again", of=2)
        assert parts(backend, "a").parts == [b"again"]

    def test_close_tick_twice_succeeds_once(self, backend: TickLog) -> None:
        backend.begin_tick("a")
        backend.add_part("a", 0, b"x", of=1)
        assert backend.close_tick("a", b"record") is True
        assert backend.close_tick("a", b"other") is False
        assert backend.close_tick("never", b"began") is False
        history = backend.load_ticks(parts=True)
        assert (history.records, history.open, history.parts) == ([b"record"], {}, {})

    def test_close_tick_deletes_its_parts(self, backend: TickLog) -> None:
        backend.begin_tick("a")
        backend.add_part("a", 0, b"x", of=1)
        backend.close_tick("a", b"record")
        backend.begin_tick("a")
        assert (parts(backend, "a").of, parts(backend, "a").parts) == (0, [])

    def test_load_ticks_returns_a_limited_number_of_records_newest_first(
        self, backend: TickLog
    ) -> None:
        for n in range(KEPT_TICKS + 5):
            backend.begin_tick(str(n))
            backend.close_tick(str(n), b"%d" % n)
        records = backend.load_ticks().records
        assert (len(records), records[0], records[-1]) == (KEPT_TICKS, b"%d" % (n), b"5")
        without = backend.load_ticks(records=False)
        assert (without.records, without.began) == ([], backend.load_ticks().began)

    def test_tick_start_ahead_of_the_clock_becomes_now(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.begin_tick("a")
        clock.advance(-HOUR)
        assert backend.load_ticks().began == clock.now
        assert backend.begin_tick("b").since is None
        clock.advance(60)
        assert backend.begin_tick("c").since == 60.0


def registered(registry: ChannelRegistry, within: float) -> list[str]:
    return registry.known_channels(registered_within=within).registered


class RegistryContract(Contract):
    def test_registered_channels_expire_after_the_given_seconds(
        self, backend: ChannelRegistry, clock: Clock
    ) -> None:
        assert registered(backend, 60) == []
        backend.register_channels(["presence:a", "presence:b"])
        clock.advance(40)
        backend.register_channels(["presence:b", "presence:c"])
        clock.advance(20)
        assert sorted(registered(backend, 60)) == [
            "presence:a",
            "presence:b",
            "presence:c",
        ]
        clock.advance(1)
        assert sorted(registered(backend, 60)) == [
            "presence:b",
            "presence:c",
        ]
        assert sorted(registered(backend, 600)) == [
            "presence:b",
            "presence:c",
        ], "forgotten"

    def test_unregistered_channels_returns_channels_never_registered(
        self, backend: ChannelRegistry
    ) -> None:
        backend.register_channels(["presence:a", "presence:b"])
        asked = ["presence:c", "presence:b", "presence:d"]
        assert backend.unregistered_channels(asked) == ["presence:c", "presence:d"]
        by_default = ChannelRegistry.unregistered_channels(backend, asked)
        assert by_default == ["presence:c", "presence:d"]
        assert backend.unregistered_channels([]) == []
        assert backend.only_registered(asked) == [c for c in asked if c not in by_default]

    def test_register_channels_with_empty_list_registers_nothing(
        self, backend: ChannelRegistry
    ) -> None:
        backend.register_channels([])
        assert registered(backend, 60) == []

    def test_registered_channels_in_thousands_expire(
        self, backend: ChannelRegistry, clock: Clock
    ) -> None:
        for turn in range(5):
            backend.register_channels(
                [f"presence:{n}" for n in range(1000 * turn, 1000 * turn + 2000)]
            )
            clock.advance(10)
        found = registered(backend, 20)
        assert sorted(found) == sorted(f"presence:{n}" for n in range(3000, 6000))

    def test_registration_ahead_of_the_clock_expires_in_time(
        self, backend: RosterStore, clock: Clock
    ) -> None:
        backend.register_channels([ROOM])
        clock.advance(-HOUR)
        assert backend.known_channels(registered_within=60).registered == [ROOM]
        clock.advance(61)
        assert backend.known_channels(registered_within=60).registered == []
