"""Faults of the simulator: what breaks, when, and for how long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from presence.exceptions import CentrifugoUnreachable
from tests.simulation.centrifugo import ENTRY_WRITTEN
from tests.simulation.workers import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

PROFILES = ("faults", "faults", "faults", "rollbacks", "damage", "looks", "ticks", "jumps")
"""Profiles of histories. "looks": ticks end for good, and only workers and Centrifugo fail.
"ticks": looks end for good, with the last fault. The others have all faults, and those that their
names tell."""

READING = ("after load_states", "before poll", "after poll", "before recount")
"""Stops between the time that a poll takes for its own and its reply."""

KINDS = {
    *("killed-worker", "failed-call", "lost-reply", "paused-worker", "two-beats"),
    *("late-shard", "lost-shard", "refused-shard", "centrifugo-down", "store-down"),
    *("centrifugo-restarted", "killed-node", "silent-node", "partial-presence"),
    *("lost-marks", "lost-counts", "rolled-back", "damaged", "failed-snapshot"),
    *("close", "reload", "second-tab", "killed-browser", "frozen-page", "dropped-connection"),
    *("looks-end", "ticks-end", "clock-set", "tracked", "swap", "flicker"),
    *("frozen-page-loses-connection", "sign-out", "self-check", "recovered", "not-recovered"),
}
"""Every kind of event that must have happened somewhere in the histories of CI."""


class Faults:
    """Strikes at random, and can end all faults."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._next: str = ""
        self._shards: list[str] = []
        self._saved = world.store.save()
        self.without_ticks = self.without_looks = False
        self._kinds = [
            *["killed-worker", "failed-call", "lost-reply"] * 4,
            *("paused-worker", "two-beats", "late-shard", "lost-shard", "refused-shard"),
            *("centrifugo-down", "store-down", "centrifugo-restarted", "killed-node"),
            *("silent-node", "partial-presence", "failing-requests", "lost-marks", "lost-counts"),
            *(["save", "rolled-back"] * 2 if world.profile == "rollbacks" else []),
            *(["damaged"] * 3 if world.profile == "damage" else []),
            *(["clock-set"] * 5 if world.profile == "jumps" else []),
        ]
        if world.profile == "looks":
            self._kinds = [*self._kinds[:12], "centrifugo-restarted"]

    def strike(self) -> None:
        """Let something break, now or at a step that is yet to come."""
        if self._world.profile == "looks" and not self.without_ticks:
            self.without_ticks = True
            self._world.count("ticks-end")
        kind = self._world.random.choice(self._kinds)
        if kind in ("killed-worker", "failed-call", "lost-reply", "paused-worker"):
            self._next, self._in_steps = kind, self._world.random.randrange(1, 40)
        elif kind.endswith("-shard"):
            self._shards.append(kind.removesuffix("-shard"))
        else:
            getattr(self, f"_{kind.replace('-', '_')}")()

    def end(self) -> None:
        """End all faults. Paused workers and frozen pages go on."""
        world = self._world
        self._next, self._shards = "", []
        world.trace("the last fault ends")
        if world.profile == "ticks":
            self.without_looks = True
            world.count("looks-end")
        self._restore()
        for process in world.processes:
            if process.paused:
                world.go_on(process)
        for tab in list(world.tabs):
            if tab.is_frozen:
                tab.thaw()

    def _restore(self) -> None:
        world = self._world
        world.store.down, world.centrifugo.error, world.beats = False, None, 1
        world.centrifugo.silent, world.failing_requests = "", 0.0
        world.centrifugo.hidden.clear()

    def of_shard(self) -> str:
        """Return what becomes of the next shard that is handed out; "" if nothing is wrong."""
        if not self._shards:
            return ""
        fate = self._shards.pop()
        self._world.count(f"{fate}-shard")
        return fate

    # At a step of a worker

    def at_step(self, process: Process) -> None:
        world = self._world
        if process.paused:
            return
        if self._next:
            self._in_steps -= 1
            is_call = self._next not in ("failed-call", "lost-reply") or process.at.startswith(
                "before" if self._next == "failed-call" else "after"
            )
            if self._in_steps <= 0 and is_call:
                kind, self._next = self._next, ""
                world.trace(f"process {process.number} of {process.job} stands {process.at}")
                world.count(kind)
                getattr(self, f"_{kind.replace('-', '_')}")(process)
                return
        world.go_on(process)

    def _killed_worker(self, process: Process) -> None:
        self._world.replace(process)

    def _failed_call(self, process: Process) -> None:
        self._world.go_on(process, process.failure("lost"))

    def _lost_reply(self, process: Process) -> None:
        self._world.go_on(process, process.failure("lost"))

    def _paused_worker(self, process: Process) -> None:
        process.paused = True
        if process.at in READING:
            self._world.judge.reading_was_long = True
        pause = self._world.random.choice((5.0, 40.0, 320.0))

        def go_on() -> None:
            if process.paused:
                self._world.go_on(process)

        self._world.after(pause, "unpause", go_on)

    # Of the site

    def _for_a_while(self, kind: str) -> None:
        self._world.count(kind)
        self._world.after(self._world.random.choice((0.5, 3.0, 20.0)), "restore", self._restore)

    def _two_beats(self) -> None:
        self._world.beats = 2
        self._for_a_while("two-beats")

    def _centrifugo_down(self) -> None:
        self._world.centrifugo.error = CentrifugoUnreachable("down")
        self._for_a_while("centrifugo-down")

    def _store_down(self) -> None:
        self._world.store.down = True
        self._for_a_while("store-down")

    def _failing_requests(self) -> None:
        self._world.failing_requests = 0.5
        self._world.after(20.0, "restore", self._restore)

    def _silent_node(self) -> None:
        """Let a node answer no survey: its clients are in no count."""
        centrifugo = self._world.centrifugo
        centrifugo.silent = self._world.random.choice(centrifugo.nodes)
        self._for_a_while("silent-node")

    def _partial_presence(self) -> None:
        """Let the engine lose all presence entries. Nodes write those of their clients again."""
        world = self._world
        lost = world.centrifugo.lose_entries()
        if lost:
            world.count("partial-presence")
        for client in lost:
            seconds = world.random.random() * ENTRY_WRITTEN
            world.after(seconds, "entry", partial(world.centrifugo.hidden.discard, client))

    def _killed_node(self) -> None:
        world = self._world
        world.count("killed-node")
        for client in world.centrifugo.kill(world.random.choice(world.centrifugo.nodes)):
            if tab := world.clients.get(client):
                tab.lose_connection()

    def _centrifugo_restarted(self) -> None:
        world = self._world
        world.count("centrifugo-restarted")
        world.centrifugo.restart()
        for tab in list(world.clients.values()):
            tab.lose_connection()

    def _lost_marks(self) -> None:
        self._world.count("lost-marks")
        self._world.store._due = {}

    def _lost_counts(self) -> None:
        self._world.count("lost-counts")
        store = self._world.store
        store._counts, store._looking = type(store._counts)("", b""), ("", 0.0, 0.0)

    def _save(self) -> None:
        self._saved = self._world.store.save()

    def _rolled_back(self) -> None:
        self._world.count("rolled-back")
        self._world.store.roll_back(self._saved)

    def _clock_set(self) -> None:
        """Set the clock of the store."""
        self._world.count("clock-set")
        self._world.store.ahead += self._world.random.choice((-3600.0, -20.0, 20.0, 3600.0))

    def _damaged(self) -> None:
        from tests.simulation.world import ROOMS

        world = self._world
        field = world.random.choice(["roster", "snapshot", "leaving", "pending", "state"])
        value = world.random.choice([b"garbage", b"{}", b"\xff", b"[]"])
        if world.store.damage(world.random.choice(ROOMS), field, value):
            world.count("damaged")
