"""`matches` agrees with the channels that Centrifugo's `channels` call lists; `escape` names
one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from presence.centrifugo.gateway import Gateway
from presence.centrifugo.http import HttpTransport
from presence.exceptions import CentrifugoError
from presence.roster import channel_names
from presence_devtools import servers
from tests.websocket_clients import Swarm

CHANNELS = [
    *("presence:a", "presence:b", "presence:ab", "presence:abc", "presence:a:b", "presence:"),
    *("presence:*", "presence:?", "presence:[a]", "presence:{a,b}", "presence:a,b", "presence:\\a"),
    *("presence:-", "presence:!", "presence:^", "presence:a.b", "presence:a+b", "presence:(a)"),
    *("presence:]", "presence:}", "presence:A", "presence:1", "presence:a|b", "presence:&&"),
]
# Not in here: a `*` in braces beside an alternative of a fixed length, {a*,b}. Centrifugo's glob
# library does not let that `*` match anything, which is a fault of it and no rule to keep to.
PATTERNS = [
    *("*", "presence:*", "presence:?", "presence:??", "presence:**", "*:a", "*a*", "presence:a*b"),
    *("presence:[ab]", "presence:[a-c]", "presence:[!a]", "presence:[!a-c]", "presence:[^a]"),
    *("presence:[-]", "presence:[!!]", "presence:[a-a]", "presence:[*]", "presence:[?]"),
    *("presence:{a,b}", "presence:{a,b}*", "presence:{a,{b,ab}}", "{presence,chat}:a"),
    *("presence:{,a}", "presence:{a}", "presence:[a]{b,}"),
    *("{presence:a}", "presence:{[ab],-}", "presence:{a*,b*}", "presence:{*a,*b}"),
    *("presence:a,b", "presence:{a\\,b}", "presence:\\*", "presence:\\?", "presence:\\[a\\]"),
    *("presence:\\{a,b\\}", "presence:\\\\a", "presence:a.b", "presence:a+b", "presence:(a)"),
    *("presence:]", "presence:-", "presence:a|b", "presence:^", "presence:!", "chat:*"),
    *("presence:&&", "presence:[&]&", "presence:[|]", "presence:a:?", "*:*:*"),
    *("presence", "presence:[abc]*", "presence:{[a-c],[0-9]}", "presence:{[a-c],[0-9]}*"),
    *("presence:[ab-d]", "presence:[^a-c]", "presence:[abc-]", "presence:[-a]", "presence:[]-a]"),
    *("presence:[\\]]", "presence:[\\]a]", "presence:[\\-a]", "presence:[\\a]", "presence:[!!-a]"),
]  # fmt: skip
REFUSED = [
    *("presence:[a-z0-9]*", "presence:[a-c1]", "presence:[!a-z0]", "presence:[a-b-c]"),
    *("presence:[a-]", "presence:[--]", "presence:[a-]]", "presence:[c-a]", "presence:[a-\\]"),
    *("presence:[]", "presence:[!]", "presence:[!]]", "presence:[]a]", "presence:[a"),
]  # fmt: skip


@pytest.fixture(scope="module")
def gateway(centrifugo: servers.Centrifugo) -> Iterator[Gateway]:
    """Return a gateway to a Centrifugo on which the CHANNELS are active."""
    swarm = Swarm(centrifugo.ws_url)
    swarm.connect("42", *CHANNELS)
    yield Gateway(HttpTransport(centrifugo.api_url, servers.API_KEY))
    swarm.close()


def listed(gateway: Gateway, pattern: str) -> set[str]:
    return set(gateway.survey([pattern]).clients) & set(CHANNELS)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_matches_the_channels_that_centrifugo_lists(gateway: Gateway, pattern: str) -> None:
    ours = {channel for channel in CHANNELS if channel_names.matches(pattern, channel)}
    assert ours == listed(gateway, pattern)


@pytest.mark.parametrize("pattern", REFUSED)
def test_pattern_that_centrifugo_refuses_raises_value_error(gateway: Gateway, pattern: str) -> None:
    with pytest.raises(CentrifugoError):
        gateway.survey([pattern])
    with pytest.raises(ValueError, match="Pattern"):
        channel_names.matches(pattern, "presence:a")


def test_escaped_channel_lists_only_that_channel(gateway: Gateway) -> None:
    for channel in CHANNELS:
        assert listed(gateway, channel_names.escape(channel)) == {channel}
