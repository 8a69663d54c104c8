"""Channel names and feeds: built and validated here alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from os.path import commonprefix
from string import Formatter
from typing import Any, Final

from presence.exceptions import InvalidChannel

__all__ = [
    "CURSORS_NAMESPACE",
    "FEED_NAMESPACE",
    "MAX_LENGTH",
    "channel_of_feed",
    "cover",
    "cursor_channel",
    "escape",
    "feed_of",
    "feed_pattern",
    "format_key",
    "is_cursor_channel",
    "matches",
    "room",
    "room_of",
    "validate_channel",
]

MAX_LENGTH: Final = 248
"""Characters in a channel name: Centrifugo's 255, less `roster:`."""

FEW: Final = 30
"""Names up to which each is asked for by itself: Centrifugo holds every pattern against each of its
active channels, which took 0.13 µs, where listing one took 5 µs (docs/scaling.md)."""

OWN_NAMESPACE: Final = "presence:"
FEED_NAMESPACE: Final = "roster:"
CURSORS_NAMESPACE: Final = "cursors:"


def validate_channel(name: object) -> str:
    """Return `name` if it can be a channel; raise InvalidChannel, saying why, if it cannot.

    Centrifugo's server API takes names that no client can subscribe to, which would make a
    silent dead room, so the rules are those of its clients: printable ASCII, no spaces.
    """
    if not isinstance(name, str):
        raise InvalidChannel(
            f"A channel is a text such as 'presence:doc:42', not {type(name).__name__} {name!r:.80}"
        )
    problem = _problem(name)
    if problem:
        raise InvalidChannel(f"Channel {name[:80]!r} {problem}")
    return name


def _problem(name: str) -> str | None:
    if not name:
        return "is empty: give a name such as 'presence:doc:42'"
    if len(name) > MAX_LENGTH:
        return f"has {len(name)} characters: at most {MAX_LENGTH} are allowed"
    bad = next((c for c in name if not "!" <= c <= "~"), None)
    if bad is not None:
        return f"contains {bad!r}: use printable ASCII without spaces"
    if "#" in name:
        return "contains '#', which Centrifugo keeps for user-limited channels"
    if name.startswith("$"):
        return "starts with '$', which Centrifugo keeps for private channels"
    if name.startswith(FEED_NAMESPACE):
        return f"lies in {FEED_NAMESPACE!r}, which carries the diffs of other channels"
    if is_cursor_channel(name):
        return (
            f"lies in {CURSORS_NAMESPACE!r}, where cursors move and nobody is listed: "
            f"presence/cursors.html is for it, and {OWN_NAMESPACE!r} for who is there"
        )
    return None


def is_cursor_channel(name: str) -> bool:
    """Whether `name` lies in the namespace of cursors. Such a channel is never polled."""
    return name.startswith(CURSORS_NAMESPACE)


def room(key: object) -> str:
    """The channel of presence key `key`: `document:42` is the channel `presence:document:42`.

    Raises InvalidChannel for what is no key, and for a key whose room could be no channel.
    """
    if not isinstance(key, str):
        raise InvalidChannel(
            f"A presence key is a text such as 'doc:42', not {type(key).__name__} {key!r:.80}"
        )
    if not key:
        raise InvalidChannel("A presence key is empty: give a text such as 'doc:42'")
    return validate_channel(OWN_NAMESPACE + key)


def cursor_channel(key: object) -> str:
    """The channel on which the cursors of presence key `key` move; raises as `room` does."""
    return CURSORS_NAMESPACE + room(key).removeprefix(OWN_NAMESPACE)


def room_of(channel: object) -> str:
    """The room whose cursors move on `channel`. Raises InvalidChannel for another channel."""
    if not isinstance(channel, str) or not is_cursor_channel(channel):
        raise InvalidChannel(
            f"{channel!r:.80} is no channel of cursors: give a text such as 'cursors:doc:42'"
        )
    key = channel.removeprefix(CURSORS_NAMESPACE)
    if not key:
        raise InvalidChannel(f"Channel {channel!r} lacks a name after {CURSORS_NAMESPACE!r}")
    return validate_channel(OWN_NAMESPACE + key)


def feed_of(channel: str) -> str:
    """The channel that the diffs of `channel` are published on."""
    return channel if channel.startswith(OWN_NAMESPACE) else FEED_NAMESPACE + channel


def channel_of_feed(feed: str) -> str:
    """The channel whose diffs are published on `feed`: the inverse of `feed_of`."""
    return feed.removeprefix(FEED_NAMESPACE)


def feed_pattern(pattern: str) -> str | None:
    """The pattern of the feeds of channels that match `pattern`; None if they are their own."""
    return None if pattern.startswith(OWN_NAMESPACE) else FEED_NAMESPACE + pattern


def escape(channel: str) -> str:
    """A pattern that matches `channel` and nothing else."""
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", channel)


def cover(names: Sequence[str]) -> list[str]:
    """Patterns that match all of the names: each name itself or, of more than FEW, what those of
    one namespace have in common, which matches others too."""
    if len(names) <= FEW:
        return [escape(name) for name in names]
    namespaces: dict[str, list[str]] = defaultdict(list)
    for name in names:
        namespace, colon, _ = name.partition(":")
        namespaces[namespace if colon else ""].append(name)
    return [escape(commonprefix(group)) + "*" for group in namespaces.values()]  # noqa: RUF071 (characters, no paths)


def matches(pattern: str, channel: str) -> bool:
    """Whether Centrifugo's `channels` call would list `channel` under `pattern`.

    The syntax is the glob of Centrifugo (gobwas/glob without separators): `*` and `?` match
    any characters, `[abc]`, `[a-z]` and `[!abc]` one of a set, `{a,b}` one of several. A set is one
    range or one list of characters, not both.
    Raises ValueError for a pattern that Centrifugo would refuse.
    """
    return _compiled(pattern).fullmatch(channel) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    depth = i = 0
    while i < len(pattern):
        token = _TOKEN.match(pattern, i)
        if token is None:
            raise ValueError(
                f"Pattern {pattern!r} cannot be read at {pattern[i : i + 20]!r}: a set is one "
                "range, [a-z], or one list, [abc], and not both: write {[a-z],[0-9]} for [a-z0-9]; "
                "a '\\' is followed by a character"
            )
        i = token.end()
        text = token.group()
        depth += (text == "{") - (text == "}")
        if depth < 0:
            break
        parts.append(_translate(token, inside=depth > 0))
    if depth:
        raise ValueError(f"Pattern {pattern!r} has a '{{' or '}}' without its partner")
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"Pattern {pattern!r} is malformed: {error}") from error


_TOKEN = re.compile(
    r"""\\. | [^\[\\]
    | \[ (?P<not>!?+) (?: (?P<low>.)-(?P<high>.) | (?!.-)(?P<list>(?:\\.|[^\]\\])+) ) \]""",
    re.DOTALL | re.VERBOSE,
)
_SIMPLE = {"*": ".*", "?": ".", "{": "(?:", "}": ")"}


def _translate(token: re.Match[str], *, inside: bool) -> str:
    text = token.group()
    if text == "," and inside:
        return "|"
    if text[0] == "\\":
        return re.escape(text[1])
    if text[0] != "[":
        return _SIMPLE.get(text, re.escape(text))
    if token["list"]:
        characters = re.escape(re.sub(r"\\(.)", r"\1", token["list"], flags=re.DOTALL))
    else:
        characters = f"{re.escape(token['low'])}-{re.escape(token['high'])}"
    return f"[{'^' if token['not'] else ''}{characters}]"


def format_key(key: str, find: Callable[[str], object], *, owner: str) -> str:
    """`key` with its variables filled in, as str.format does: "document:{doc.pk}".

    `find` gives the value of a name, None where there is none. `owner` says in errors where was
    looked. Raises InvalidChannel (a ValueError) for what is no such key, and naming the variable
    where one is missing, None or empty: the room would be one that others are in as well.
    """
    try:
        return _Filling(key, owner).vformat(key, (), _Values(find))
    except InvalidChannel:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidChannel(
            f"Presence key {key!r} cannot be filled in ({error}): write it like 'doc:{{pk}}'"
        ) from error


class _Values(dict[str, Any]):
    def __init__(self, find: Callable[[str], object]) -> None:
        self._find = find

    def __missing__(self, name: str) -> object:
        return self._find(name)


class _Filling(Formatter):
    def __init__(self, key: str, owner: str) -> None:
        self._key = key
        self._owner = owner

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        try:
            value, used = super().get_field(field_name, args, kwargs)
        except (LookupError, AttributeError, TypeError):
            value, used = None, field_name
        if value is None or value == "":
            raise InvalidChannel(
                f"Presence key {self._key!r} needs {{{field_name}}}, which is missing or empty "
                f"in {self._owner}"
            )
        return value, used
