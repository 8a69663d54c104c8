"""The coalescer: how it collects and sends messages, and behaves without Centrifugo.

Where threads are in play, the sending function is a gate: a test sees a batch begin, and lets it
end. Nothing here waits for time to pass.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from presence.centrifugo.coalescer import BATCH, PAUSE, QUIET, REST, WAITING, Coalescer
from presence.exceptions import CentrifugoError, CentrifugoUnreachable, CommandError
from tests.unit.fakes import Clock

LONG = 3600.0
PATIENCE = 30.0
ADA, BOB = ("cursors:a", "ada"), ("cursors:a", "bob")
DOWN = CentrifugoUnreachable("nobody is there")

Batch = list[tuple[str, str]]


def data(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def plain(messages: Sequence[tuple[str, msgspec.Raw]]) -> Batch:
    return [(channel, bytes(raw).decode()) for channel, raw in messages]


class Sender:
    """Records the batches; raises `error`, or answers the first message with `refusal`."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.error: Exception | None = None
        self.refusal: CentrifugoError | None = None

    def __call__(
        self, messages: Sequence[tuple[str, msgspec.Raw]]
    ) -> Sequence[CentrifugoError | None]:
        self.batches.append(plain(messages))
        if self.error:
            raise self.error
        return [self.refusal, *[None] * (len(messages) - 1)]


class Gate:
    """Blocks every batch until the test lets it pass."""

    def __init__(self) -> None:
        self.begun: queue.Queue[Batch] = queue.Queue()
        self.through = threading.Semaphore(0)

    def __call__(
        self, messages: Sequence[tuple[str, msgspec.Raw]]
    ) -> Sequence[CentrifugoError | None]:
        self.begun.put(plain(messages))
        assert self.through.acquire(timeout=PATIENCE)
        return [None] * len(messages)

    def next(self) -> Batch:
        return self.begun.get(timeout=PATIENCE)


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def still(sender: Sender, clock: Clock) -> Coalescer:
    """A coalescer without a thread: the test calls its steps."""
    return Coalescer(sender, clock=clock, start=lambda run: None)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    for _ in range(100):
        gate.through.release()


class TestGathering:
    def test_coalescer_with_several_messages_sends_one_batch_in_order(
        self, still: Coalescer, sender: Sender
    ) -> None:
        for n, key in enumerate([ADA, BOB, ("cursors:b", "ada")]):
            still.put(key, data(str(n)))
        assert still.step() == PAUSE
        assert sender.batches == [[("cursors:a", "0"), ("cursors:a", "1"), ("cursors:b", "2")]]
        still.step()
        assert len(sender.batches) == 1, "nothing is sent twice, nothing is no batch"

    def test_coalescer_with_several_messages_of_a_user_sends_the_last(
        self, still: Coalescer, sender: Sender
    ) -> None:
        for n in range(1000):
            still.put(ADA if n % 2 else BOB, data(str(n)))
        still.step()
        assert sender.batches == [[("cursors:a", "998"), ("cursors:a", "999")]]

    def test_coalescer_with_many_messages_sends_bounded_batches(
        self, still: Coalescer, sender: Sender
    ) -> None:
        for n in range(BATCH + 1):
            still.put(("cursors:a", str(n)), data("1"))
        still.step()
        still.step()
        assert [len(batch) for batch in sender.batches] == [BATCH, 1]

    def test_coalescer_above_its_limit_keeps_the_newest(
        self, still: Coalescer, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        for n in range(WAITING + 5):
            still.put(("cursors:a", str(n)), data(str(n)))
        still.put(("cursors:a", str(WAITING)), data("again"))  # has its place already
        sender.error = DOWN
        still.step()
        assert sender.batches[0][0] == ("cursors:a", "5")
        assert f"messages={BATCH + 5} " in caplog.text

    def test_coalescer_without_thread_logs_and_tries_again(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(run: object) -> None:
            raise RuntimeError("can't start new thread")

        outbox = Coalescer(sender, start=refuse)
        outbox.put(ADA, data("1"))
        outbox.put(ADA, data("2"))
        assert caplog.text.count("outbox=not-started") == 2, "tried again the next time"
        outbox.step()
        assert sender.batches == [[("cursors:a", "2")]]


class TestFailing:
    def test_coalescer_with_failed_batch_drops_it_and_waits(
        self, still: Coalescer, sender: Sender
    ) -> None:
        sender.error = DOWN
        still.put(ADA, data("1"))
        assert still.step() == REST
        sender.error = None
        still.put(ADA, data("2"))
        assert still.step() == PAUSE
        assert sender.batches == [[("cursors:a", "1")], [("cursors:a", "2")]]

    def test_coalescer_with_refused_message_goes_on(
        self, still: Coalescer, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        sender.refusal = CommandError(102, "unknown channel")
        still.put(ADA, data("1"))
        still.put(BOB, data("2"))
        assert still.step() == PAUSE
        assert "outbox=not-sent messages=1 error=Centrifugo answered error 102" in caplog.text

    def test_coalescer_during_outage_logs_once_a_minute(
        self,
        still: Coalescer,
        sender: Sender,
        clock: Clock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        sender.error = DOWN
        for _ in range(10):
            still.put(ADA, data("1"))
            still.put(BOB, data("1"))
            still.step()
            clock.advance(QUIET / 9)
        assert [record.getMessage() for record in caplog.records] == [
            "outbox=not-sent messages=2 error=nobody is there",
            "outbox=not-sent messages=18 error=nobody is there",
        ]

    def test_coalescer_with_unexpected_error_goes_on(
        self, still: Coalescer, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        sender.error = ZeroDivisionError()
        still.put(ADA, data("1"))
        assert still.step() == REST
        assert "ZeroDivisionError" in caplog.text
        assert caplog.records[0].exc_info, "with its traceback"

    def test_coalescer_with_malformed_answers_goes_on(
        self, still: Coalescer, caplog: pytest.LogCaptureFixture
    ) -> None:
        still._send = lambda messages: None  # type: ignore[assignment,return-value]
        still.put(ADA, data("1"))
        assert still.step() == REST
        assert still.flush(0.0)
        assert "outbox=not-sent messages=1 error='NoneType'" in caplog.text
        assert caplog.records[0].exc_info, "with its traceback"

    def test_coalescer_thread_after_unexpected_error_lives_on(
        self,
        sender: Sender,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr("presence.centrifugo.coalescer.REST", 0.0)
        outbox = Coalescer(sender)
        sender.error = DOWN
        failed = outbox._failed
        outbox._failed = None  # type: ignore[assignment,method-assign]
        outbox.put(ADA, data("1"))
        assert outbox.flush(PATIENCE), "what is lost is done"
        outbox._failed, sender.error = failed, None  # type: ignore[method-assign]
        outbox.put(ADA, data("2"))
        assert outbox.flush(PATIENCE)
        assert sender.batches[-1] == [("cursors:a", "2")]
        (record,) = (record for record in caplog.records if "outbox=broken" in record.message)
        assert record.exc_info


class TestSendingNow:
    def test_send_of_messages_replaces_waiting_ones(self, still: Coalescer, sender: Sender) -> None:
        still.put(ADA, data("old"))
        still.put(("cursors:b", "ada"), data("other"))
        still.send({ADA: data("1"), BOB: data("2")})
        still.step()
        first, second = sender.batches
        assert first == [("cursors:a", "1"), ("cursors:a", "2")]
        assert second == [("cursors:b", "other")]

    def test_send_that_fails_raises_the_error(self, still: Coalescer, sender: Sender) -> None:
        sender.refusal = CommandError(102, "unknown channel")
        with pytest.raises(CommandError):
            still.send({ADA: data("1"), BOB: data("2")})
        sender.error = DOWN
        with pytest.raises(CentrifugoUnreachable):
            still.send({ADA: data("1")})

    def test_send_during_a_batch_waits_for_its_end(self, gate: Gate) -> None:
        """Otherwise an older position could be published after a newer one."""
        outbox = Coalescer(gate, pause=0.0)
        outbox.put(ADA, data("old"))
        assert gate.next() == [("cursors:a", "old")]
        now = threading.Thread(target=outbox.send, args=[{ADA: data("new")}])
        now.start()
        outbox.put(BOB, data("1"))
        assert gate.begun.empty()
        gate.through.release()
        later = [gate.next()]
        gate.through.release()
        later.append(gate.next())
        gate.through.release()
        now.join(PATIENCE)
        assert sorted(later) == [[("cursors:a", "1")], [("cursors:a", "new")]]


class TestTheThread:
    def test_coalescer_during_a_batch_collects_messages(self, gate: Gate) -> None:
        outbox = Coalescer(gate, pause=0.0)
        outbox.put(ADA, data("1"))
        assert gate.next() == [("cursors:a", "1")]
        for n in range(2, 100):
            outbox.put(ADA, data(str(n)))
        outbox.put(BOB, data("1"))
        gate.through.release()
        assert gate.next() == [("cursors:a", "99"), ("cursors:a", "1")]

    def test_put_with_unresponsive_centrifugo_does_not_wait(self, gate: Gate) -> None:
        outbox = Coalescer(gate, pause=0.0)
        outbox.put(ADA, data("1"))
        gate.next()
        for n in range(2 * WAITING):
            outbox.put(("cursors:a", str(n)), data("1"))
        assert len(outbox._waiting) == WAITING

    def test_coalescer_thread_starts_with_the_first_message(self, sender: Sender) -> None:
        runs: list[object] = []
        outbox = Coalescer(sender, start=runs.append)
        assert not runs
        for _ in range(3):
            outbox.put(ADA, data("1"))
        assert len(runs) == 1

    def test_coalescer_thread_keeps_no_process_alive(self, sender: Sender) -> None:
        outbox = Coalescer(sender, pause=LONG)
        outbox.put(ADA, data("1"))
        assert outbox.flush(PATIENCE)
        threads = [t for t in threading.enumerate() if t.name == "presence-outbox"]
        assert threads
        assert all(thread.daemon for thread in threads)

    def test_flush_during_pause_between_batches_cuts_it_short(self, sender: Sender) -> None:
        outbox = Coalescer(sender, pause=LONG)
        outbox.put(ADA, data("1"))
        assert outbox.flush(PATIENCE)
        for n in (2, 3, 4):
            outbox.put(ADA, data(str(n)))
        assert sender.batches == [[("cursors:a", "1")]], "an hour has not gone by"
        assert outbox.flush(PATIENCE)
        assert sender.batches[1:] == [[("cursors:a", "4")]]


class TestFlushing:
    def test_flush_of_empty_coalescer_returns_at_once(self, still: Coalescer) -> None:
        assert still.flush(0.0)

    def test_flush_past_its_timeout_returns_false(self, still: Coalescer) -> None:
        still.put(ADA, data("1"))
        assert not still.flush(0.0)

    def test_flush_of_several_batches_waits_for_all(self, sender: Sender) -> None:
        outbox = Coalescer(sender, pause=LONG)
        for n in range(3 * BATCH):
            outbox.put(("cursors:a", str(n)), data("1"))
        assert outbox.flush(PATIENCE)
        assert sum(map(len, sender.batches)) == 3 * BATCH

    def test_flush_of_dropped_messages_returns(self, sender: Sender) -> None:
        sender.error = DOWN
        outbox = Coalescer(sender)
        outbox.put(ADA, data("1"))
        assert outbox.flush(PATIENCE)
        outbox.put(ADA, data("2"))
        assert outbox.flush(PATIENCE), "it does not wait for the rest to end"

    def test_flush_after_send_of_same_keys_returns(self, still: Coalescer) -> None:
        still.put(ADA, data("old"))
        still.send({ADA: data("new")})
        assert still.flush(0.0)


def in_fork(check: object) -> int:
    """Return the exit status of a forked process that runs the check."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check()  # type: ignore[operator]
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_renews_the_coalescer(gate: Gate) -> None:
    """The fork happens while the parent's thread works and holds its lock."""
    outbox = Coalescer(gate, pause=LONG)
    outbox.put(ADA, data("the parent's"))
    gate.next()
    outbox.put(BOB, data("the parent's"))
    assert outbox._sending.locked()

    def check() -> None:
        sender = Sender()
        outbox._send = sender
        outbox.renew()
        outbox.put(ADA, data("1"))
        assert outbox.flush(PATIENCE)
        assert sender.batches == [[("cursors:a", "1")]], "the parent sends what is the parent's"

    assert in_fork(check) == 0


def test_fork_during_a_batch_waits_for_its_end(gate: Gate) -> None:
    """Sending may hold locks that would never be released in the child."""
    outbox = Coalescer(gate, pause=0.0)
    outbox.put(ADA, data("1"))
    gate.next()
    held, forked = threading.Event(), threading.Event()

    def fork() -> None:
        outbox.hold()
        held.set()
        assert forked.wait(PATIENCE)
        outbox.release()

    thread = threading.Thread(target=fork)
    thread.start()
    gate.through.release()
    assert held.wait(PATIENCE)
    outbox.put(ADA, data("2"))
    assert not outbox.flush(0.0)
    assert gate.begun.empty(), "nor does the next begin"
    forked.set()
    assert gate.next() == [("cursors:a", "2")]
    thread.join(PATIENCE)


def test_fork_during_a_slow_batch_waits_only_for_the_hold(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("presence.centrifugo.coalescer.HOLD", 0.0)
    outbox = Coalescer(gate, pause=0.0)
    outbox.put(ADA, data("1"))
    gate.next()
    outbox.hold()
    outbox.release()
    assert outbox._sending.locked(), "by the batch: it is not the fork's to release"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_renews_the_coalescer_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from presence import services

    with services.outbox._lock:
        assert in_fork(lambda: services.outbox._lock.acquire(timeout=0) or 1 / 0) == 0
    before = services.gateway()
    assert in_fork(lambda: 1 / (services.gateway() is not before)) == 0
    assert services.gateway() is before
