"""Commands of pipelines on a fake cluster: their primaries and their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import redis
from redis.exceptions import AskError, MovedError, SlotNotCoveredError

from presence.backends.redis.cluster import ATTEMPTS, CLOCK, Cluster

Command = tuple[Any, ...]
SOURCE = "return 1"


class Node:
    def __init__(self, name: str) -> None:
        self.name, self.host, self.port = name, name, 7000


class Made:
    """Keys live where `homes` says; what else is asked of a node, `reply` answers."""

    def __init__(self, homes: dict[str, str], reply: Callable[[str, Command], Any]) -> None:
        self.homes = homes
        self.reply = reply
        self.nodes = {name: Node(name) for name in sorted(set(homes.values()))}
        self.sent: list[tuple[str, list[Command]]] = []
        self.learnt = 0
        self.nodes_manager = self

    def initialize(self) -> None:
        self.learnt += 1

    def get_nodes(self) -> list[Node]:
        return [*self.nodes.values()]

    get_primaries = get_nodes

    def get_node(self, host: str, port: int) -> Node | None:
        return self.nodes.get(host)

    def get_node_from_key(self, key: str) -> Node:
        return self.nodes[self.homes[key]]

    def get_redis_connection(self, node: Node) -> Any:
        return Connection(self, node.name)


class Connection:
    """A connection to a node, and its own pool."""

    def __init__(self, made: Made, name: str) -> None:
        self.made, self.name = made, name
        self.connection_kwargs: dict[str, Any] = {}
        self.connection_pool = self
        self.replies: list[Any] = []

    def get_connection(self) -> Connection:
        return self

    def get_protocol(self) -> int:
        return 2

    def pack_commands(self, commands: Iterable[Command]) -> list[Command]:
        return list(commands)

    def send_packed_command(self, commands: list[Command]) -> None:
        self.made.sent.append((self.name, commands))
        self.replies = [self.made.reply(self.name, command) for command in commands]

    def read_response(self) -> Any:
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def keep(self, connection: Connection) -> None:
        assert connection.replies == []

    def disconnect(self) -> None: ...


def cluster(
    reply: Callable[[str, Command], Any] = lambda name, command: name, **homes: str
) -> tuple[Cluster, Made]:
    made = Made({CLOCK: "n1", **homes}, reply)
    return Cluster(lambda more: made), made  # type: ignore


def test_cluster_of_two_primaries_replies_in_the_order_of_the_commands() -> None:
    client, made = cluster(lambda name, command: command[1], a="n2", b="n1", c="n2")
    assert client.run([("GET", key) for key in "abc"]) == ["a", "b", "c"]
    assert [(name, [command[1] for command in commands]) for name, commands in made.sent] == [
        ("n2", ["a", "c"]),
        ("n1", ["b"]),
    ]


@pytest.mark.parametrize(("keys", "primary"), [("", 1), ("a", 2), ("aa", 2), ("ab", 1), ("bc", 1)])
def test_cluster_asked_for_the_time_asks_the_only_primary_or_always_the_same(
    keys: str, primary: int
) -> None:
    client, _ = cluster(lambda name, command: [name[1:], "0"], a="n2", b="n3", c="n1")
    commands: list[Command] = [("TIME",), *(("GET", key) for key in keys)]
    assert client.run(commands)[0] == (primary, 0)


def test_cluster_with_one_script_sends_its_source_to_each_primary_once() -> None:
    client, made = cluster(a="n1", b="n2", c="n1", d="n2")
    digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
    client.run([("EVAL", SOURCE, 1, key, "x") for key in "abcd"])
    assert made.sent == [
        ("n1", [("EVAL", SOURCE, 1, "a", "x"), ("EVALSHA", digest, 1, "c", "x")]),
        ("n2", [("EVAL", SOURCE, 1, "b", "x"), ("EVALSHA", digest, 1, "d", "x")]),
    ]


def test_cluster_with_moved_slot_keeps_the_order_of_the_primaries() -> None:
    """The order holds also after a redirect."""

    def reply(name: str, command: Command) -> Any:
        if command[1] == "a" and name == "n1":
            made.homes["a"] = "n3"
            return MovedError("1 n3:7000")
        return name

    client, made = cluster(reply, a="n1", b="n2", c="n1", d="n3")
    assert client.run([("GET", key) for key in "abcd"]) == ["n3", "n2", "n1", "n3"]
    assert [(name, [command[1] for command in commands]) for name, commands in made.sent] == [
        ("n1", ["a", "c"]),
        ("n3", ["a", "d"]),
        ("n2", ["b"]),
    ]
    assert made.learnt == 1


def test_cluster_with_slot_that_moves_on_and_on_gives_up() -> None:
    def reply(name: str, command: Command) -> Any:
        return MovedError("1 n2:7000") if command[1] == "c" else name

    client, made = cluster(reply, a="n1", b="n2", c="n1")
    with pytest.raises(MovedError):
        client.run([("GET", key) for key in "abc"])
    assert [name for name, _ in made.sent] == ["n1", "n2"] + ["n1"] * (ATTEMPTS - 1)


@pytest.mark.parametrize(("at", "known"), [("n2", True), ("elsewhere", False)])
def test_cluster_with_slot_under_way_asks_where_it_goes(at: str, known: bool) -> None:
    def reply(name: str, command: Command) -> Any:
        return AskError(f"1 {at}:7000") if name == "n1" else name

    client, made = cluster(reply, a="n1", b="n2")
    (found,) = client.run([("EVAL", SOURCE, 1, "a")])
    if known:
        assert found == at
        assert made.sent[1:] == [(at, [("ASKING",), ("EVAL", SOURCE, 1, "a")])]
    else:
        assert isinstance(found, AskError)


def test_cluster_run_id_stands_for_the_lives_of_all_primaries() -> None:
    lives = {"n1": b"1", "n2": b"2"}
    roles: dict[str, list[bytes]] = defaultdict(lambda: [b"master"])

    def reply(name: str, command: Command) -> Any:
        return roles[name] if command == ("ROLE",) else b"run_id:%b\r\n" % lives[name]

    def run() -> Any:
        return client.run([("INFO", "server")])[0]["run_id"]

    client, made = cluster(reply, a="n2")
    first = run()
    assert run() == first
    lives["n2"] = b"3"
    assert run() != first
    lives.update(n1=b"3", n2=b"1")
    other = run()
    lives.update(n1=b"1", n2=b"3")
    assert run() == other, "whichever is named first"
    roles["n1"] = [b"slave"]
    with pytest.raises(redis.ConnectionError):
        run()
    assert made.learnt == 2 * (ATTEMPTS - 1), "the call is made once more"


@pytest.mark.parametrize(
    "error", [redis.ConnectionError("x"), redis.TimeoutError("x"), SlotNotCoveredError("x")]
)
def test_cluster_after_failed_call_looks_for_its_primaries_anew(error: Exception) -> None:
    def reply(name: str, command: Command) -> Any:
        raise error

    made = Made({CLOCK: "n1", "a": "n2"}, reply)
    found: list[list[tuple[str, int]]] = []

    def connect(more: Any) -> Any:
        found.append(list(more))
        return made

    client = Cluster(connect)  # type: ignore
    with pytest.raises((redis.ConnectionError, redis.TimeoutError), match="x"):
        client.run([("GET", "a")])
    assert found == [[], [("n1", 7000), ("n2", 7000)]]


def test_cluster_with_failed_command_does_the_others() -> None:
    def reply(name: str, command: Command) -> Any:
        return redis.ResponseError("no") if command[1] == "a" else name

    client, made = cluster(reply, a="n1", b="n2")
    failed, done = client.run([("GET", "a"), ("GET", "b")])
    assert (type(failed), done) == (redis.ResponseError, "n2")
    assert [name for name, _ in made.sent] == ["n1", "n2"]
