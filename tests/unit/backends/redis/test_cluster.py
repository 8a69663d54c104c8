"""Which primary is sent what, and when: pipelines on a cluster that is made up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
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
    def __init__(self, made: Made, name: str) -> None:
        self.made, self.name = made, name
        self.commands: list[Command] = []

    def pipeline(self, transaction: bool) -> Connection:
        assert not transaction
        return self

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute_command(self, *args: Any, **_: Any) -> None:
        self.commands.append(args)

    def execute(self, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        self.made.sent.append((self.name, self.commands))
        return [self.made.reply(self.name, command) for command in self.commands]


def cluster(
    reply: Callable[[str, Command], Any] = lambda name, command: name, **homes: str
) -> tuple[Cluster, Made]:
    made = Made({CLOCK: "n1", **homes}, reply)
    return Cluster(lambda more: made), made  # type: ignore


def test_replies_are_in_the_order_of_the_commands() -> None:
    client, made = cluster(lambda name, command: command[1], a="n2", b="n1", c="n2")
    with client.pipeline() as pipe:
        for key in "abc":
            pipe.get(key)
        assert pipe.execute() == ["a", "b", "c"]
    assert [(name, [one[1] for one in commands]) for name, commands in made.sent] == [
        ("n2", ["a", "c"]),
        ("n1", ["b"]),
    ]


@pytest.mark.parametrize(
    ("keys", "clock"), [("", "n1"), ("a", "n2"), ("aa", "n2"), ("ab", "n1"), ("bc", "n1")]
)
def test_the_time_is_that_of_the_one_primary_or_always_of_the_same(keys: str, clock: str) -> None:
    client, _ = cluster(a="n2", b="n3", c="n1")
    with client.pipeline() as pipe:
        pipe.time()
        for key in keys:
            pipe.get(key)
        assert pipe.execute()[0] == clock


def test_each_primary_is_sent_a_script_once() -> None:
    client, made = cluster(a="n1", b="n2", c="n1", d="n2")
    digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
    with client.pipeline() as pipe:
        pipe.eval(SOURCE, 1, "a")
        for key in "bcd":
            pipe.evalsha(digest, 1, key, "x")
        pipe.execute()
    assert made.sent == [
        ("n1", [("EVAL", SOURCE, 1, "a"), ("EVALSHA", digest, 1, "c", "x")]),
        ("n2", [("EVAL", SOURCE, 1, "b", "x"), ("EVALSHA", digest, 1, "d", "x")]),
    ]


def test_what_comes_first_is_done_before_what_comes_after_on_another_primary() -> None:
    """Also where it has to be sent on."""

    def reply(name: str, command: Command) -> Any:
        if command[1] == "a" and name == "n1":
            made.homes["a"] = "n3"
            return MovedError("1 n3:7000")
        return name

    client, made = cluster(reply, a="n1", b="n2", c="n1", d="n3")
    with client.pipeline() as pipe:
        for key in "abcd":
            pipe.get(key)
        assert pipe.execute() == ["n3", "n2", "n1", "n3"]
    assert [(name, [one[1] for one in commands]) for name, commands in made.sent] == [
        ("n1", ["a", "c"]),
        ("n3", ["a", "d"]),
        ("n2", ["b"]),
    ]
    assert made.learnt == 1


def test_what_moves_on_and_on_is_given_up() -> None:
    def reply(name: str, command: Command) -> Any:
        return MovedError("1 n2:7000") if command[1] == "c" else name

    client, made = cluster(reply, a="n1", b="n2", c="n1")
    with client.pipeline() as pipe:
        for key in "abc":
            pipe.get(key)
        with pytest.raises(MovedError):
            pipe.execute()
    assert [name for name, _ in made.sent] == ["n1", "n2"] + ["n1"] * (ATTEMPTS - 1)


@pytest.mark.parametrize(("at", "known"), [("n2", True), ("elsewhere", False)])
def test_what_is_on_its_way_is_asked_for_where_it_goes(at: str, known: bool) -> None:
    def reply(name: str, command: Command) -> Any:
        return AskError(f"1 {at}:7000") if name == "n1" else name

    client, made = cluster(reply, a="n1", b="n2")
    if known:
        assert client.eval(SOURCE, 1, "a") == at
        assert made.sent[1:] == [(at, [("ASKING",), ("EVAL", SOURCE, 1, "a")])]
    else:
        with pytest.raises(AskError):
            client.eval(SOURCE, 1, "a")


def test_the_life_of_a_cluster_is_that_of_all_its_primaries() -> None:
    lives = {"n1": "1", "n2": "2"}
    roles: dict[str, list[bytes]] = defaultdict(lambda: [b"master"])

    def reply(name: str, command: Command) -> Any:
        return roles[name] if command == ("ROLE",) else {"run_id": lives[name]}

    def run() -> Any:
        return client.execute_command("INFO", "server")["run_id"]

    client, made = cluster(reply, a="n2")
    first = run()
    assert run() == first
    lives["n2"] = "3"
    assert run() != first
    lives.update(n1="3", n2="1")
    other = run()
    lives.update(n1="1", n2="3")
    assert run() == other, "whichever is named first"
    roles["n1"] = [b"slave"]
    with pytest.raises(redis.ConnectionError):
        run()
    assert made.learnt == 2 * (ATTEMPTS - 1), "the call is made once more"


@pytest.mark.parametrize(
    "error", [redis.ConnectionError("x"), redis.TimeoutError("x"), SlotNotCoveredError("x")]
)
def test_primaries_that_cannot_be_reached_are_looked_for_anew(error: Exception) -> None:
    def reply(name: str, command: Command) -> Any:
        raise error

    made = Made({CLOCK: "n1", "a": "n2"}, reply)
    found: list[list[tuple[str, int]]] = []

    def connect(more: Any) -> Any:
        found.append(list(more))
        return made

    client = Cluster(connect)  # type: ignore
    with pytest.raises((redis.ConnectionError, redis.TimeoutError), match="x"):
        client.get("a")
    assert found == [[], [("n1", 7000), ("n2", 7000)]]


def test_a_command_that_fails_leaves_the_others_done() -> None:
    def reply(name: str, command: Command) -> Any:
        return redis.ResponseError("no") if command[1] == "a" else name

    client, made = cluster(reply, a="n1", b="n2")
    with client.pipeline() as pipe:
        pipe.get("a")
        pipe.get("b")
        with pytest.raises(redis.ResponseError):
            pipe.execute()
    assert [name for name, _ in made.sent] == ["n1", "n2"]
