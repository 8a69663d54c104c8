"""docs/wire.md: its messages are those that the code reads, its endpoints those of the URLs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from presence import urls
from presence.roster.messages import Diff, Event, Member, Pulse, Reload, Snapshot

PAGE = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()
KINDS = {
    "presence.diff": Diff,
    "presence.reload": Reload,
    "presence.event": Event,
    "presence.tick": Pulse,
}


def kind_of(message: dict[str, object]) -> type:
    if "type" in message:
        return KINDS[str(message["type"])]
    return Snapshot if "members" in message else Member


def test_wire_page_messages_have_exactly_the_fields_of_the_code():
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.S)]
    messages = [block for block in blocks if "x" not in block and "gone" not in block]
    assert {kind_of(message) for message in messages} == {*KINDS.values(), Snapshot, Member}
    for message in messages:
        assert msgspec.to_builtins(msgspec.convert(message, kind_of(message))) == message


def test_wire_page_lists_every_endpoint_with_its_path():
    rows = re.findall(r"^\| `(\w+)`, `(\w+/)` \|", PAGE, re.M)
    assert dict(rows) == {entry.name: str(entry.pattern) for entry in urls.urlpatterns}
