"""Names of channels and feeds, and the patterns that match them.

No other module builds or validates such a name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from os.path import commonprefix
from string import Formatter
from typing import Any, Final, TypeAlias

from presence.exceptions import InvalidChannel

MAX_LENGTH: Final = 248
"""Characters in a channel name: Centrifugo's limit of 255, less `roster:`."""

FEW: Final = 30
"""The largest number of names that get a pattern each. Centrifugo compares every pattern with each
active channel, which took 0.13 µs; to list a channel took 5 µs (docs/scaling.md)."""

OWN_NAMESPACE: Final = "presence:"
FEED_NAMESPACE: Final = "roster:"
CURSORS_NAMESPACE: Final = "cursors:"
SESSIONS_NAMESPACE: Final = "session:"
"""Namespace of the channels of sessions: who is subscribed there are the connections of a session.
Nothing is published in them."""
PULSE: Final = "presence.tick"
"""The one channel of the whole site, on which ticks tell all pages that they run. It lies in no
namespace, so that no configuration of Centrifugo has to name it."""


def validate_channel(name: object) -> str:
    """Return `name` if it is a valid channel name. Raises InvalidChannel with the reason.

    Centrifugo's server API accepts names that no client can subscribe to. So that no such room
    comes to be, the rules are those for clients: printable ASCII without spaces.
    """
    if not isinstance(name, str):
        raise InvalidChannel(
            "A channel is a string such as 'presence:doc:42', "
            f"not {type(name).__name__} {name!r:.80}"
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
            f"lies in {CURSORS_NAMESPACE!r}, which carries cursors and has no members: use "
            f"presence/cursors.html for cursors, and {OWN_NAMESPACE!r} for members"
        )
    if is_session_channel(name):
        return f"lies in {SESSIONS_NAMESPACE!r}, which has a channel for each session"
    if name == PULSE:
        return "is reserved for the message of every tick to all pages: give another name"
    return None


def is_cursor_channel(name: str) -> bool:
    """Return whether `name` lies in the namespace of cursors. Such a channel is never polled."""
    return name.startswith(CURSORS_NAMESPACE)


def is_session_channel(name: str) -> bool:
    """Return whether `name` lies in the namespace of sessions. Such a channel is never polled."""
    return name.startswith(SESSIONS_NAMESPACE)


def room(key: object) -> str:
    """Return the channel of a presence key: `presence:document:42` for `document:42`.

    Raises InvalidChannel if `key` is not a string or the channel would not be valid.
    """
    if not isinstance(key, str):
        raise InvalidChannel(
            f"A presence key is a string such as 'doc:42', not {type(key).__name__} {key!r:.80}"
        )
    if not key:
        raise InvalidChannel("A presence key is empty: give a string such as 'doc:42'")
    return validate_channel(OWN_NAMESPACE + key)


def cursor_channel(key: object) -> str:
    """Return the channel for the cursors of a presence key. Raises as `room` does."""
    return CURSORS_NAMESPACE + room(key).removeprefix(OWN_NAMESPACE)


def room_of(channel: object) -> str:
    """Return the room of a cursor channel. Raises InvalidChannel for any other channel."""
    if not isinstance(channel, str) or not is_cursor_channel(channel):
        raise InvalidChannel(
            f"{channel!r:.80} is not a cursor channel: give a string such as 'cursors:doc:42'"
        )
    key = channel.removeprefix(CURSORS_NAMESPACE)
    if not key:
        raise InvalidChannel(f"Channel {channel!r} has no name after {CURSORS_NAMESPACE!r}")
    return validate_channel(OWN_NAMESPACE + key)


def session_channel(user: str, session: str) -> str:
    """Return the channel of a session of a user: the user's id is hashed, as it may be any text;
    `session` is a hash, "" where the user has no session."""
    return f"{SESSIONS_NAMESPACE}{_user_part(user)}.{session}"


def session_pattern(user: str, session: str) -> str:
    """Return the pattern of the channels of a session, or of all sessions of a user; "" is any."""
    return f"{SESSIONS_NAMESPACE}{_user_part(user) if user else '*'}.{session or '*'}"


def session_patterns(channel: str) -> list[str]:
    """Return the patterns of `session_pattern` that find the channel of a session."""
    user, _, session = channel.removeprefix(SESSIONS_NAMESPACE).partition(".")
    return [f"{SESSIONS_NAMESPACE}{user}.*", f"{SESSIONS_NAMESPACE}*.{session}"]


def access_channels(channel: str) -> list[str]:
    """Return the channels that a visitor who may see `channel` subscribes to: itself, its feed, and
    its cursors."""
    names = [channel, feed_of(channel)]
    if channel.startswith(OWN_NAMESPACE):
        names.append(CURSORS_NAMESPACE + channel.removeprefix(OWN_NAMESPACE))
    return list(dict.fromkeys(names))


def _user_part(user: str) -> str:
    return sha256(user.encode()).hexdigest()[:16]


def feed_of(channel: str) -> str:
    """Return the channel on which the diffs of `channel` are published."""
    return channel if channel.startswith(OWN_NAMESPACE) else FEED_NAMESPACE + channel


def channel_of_feed(feed: str) -> str:
    """Return the channel whose diffs are published on `feed`: the inverse of `feed_of`."""
    return feed.removeprefix(FEED_NAMESPACE)


def feed_pattern(pattern: str) -> str | None:
    """Return the pattern of the feeds of channels that match `pattern`; None if each channel is
    its own feed."""
    return None if pattern.startswith(OWN_NAMESPACE) else FEED_NAMESPACE + pattern


def escape(channel: str) -> str:
    """Return a pattern that matches `channel` and nothing else."""
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", channel)


def cover(names: Sequence[str]) -> list[str]:
    """Return patterns that match all of the names: one per name or, for more than FEW, the common
    prefix of each namespace, which matches other names too."""
    if len(names) <= FEW:
        return [escape(name) for name in names]
    namespaces: dict[str, list[str]] = defaultdict(list)
    for name in names:
        namespace, colon, _ = name.partition(":")
        namespaces[namespace if colon else ""].append(name)
    return [escape(commonprefix(group)) + "*" for group in namespaces.values()]  # noqa: RUF071 (characters, not paths)


def matches(pattern: str, channel: str) -> bool:
    """Return whether Centrifugo's `channels` call would list `channel` under `pattern`.

    The syntax is the glob of Centrifugo (gobwas/glob without separators): `*` and `?` match
    any characters, `[abc]`, `[a-z]` and `[!abc]` one of a set, `{a,b}` one of several. A set is one
    range or one list of characters, not both. Raises ValueError for a pattern that Centrifugo
    would refuse.
    """
    return len(channel) in _advance(_compiled(pattern), channel, {0})


# A pattern in steps: a run of characters; None for a star; or the alternatives in braces.
_Step: TypeAlias = "re.Pattern[str] | list[list[_Step]] | None"


def _advance(steps: Sequence[_Step], channel: str, places: set[int]) -> set[int]:
    """Return the places in `channel` at which a match of `steps` may end that began at `places`.

    No step goes back, so that time grows with the lengths of both and not with the number of
    stars, as it would for a regular expression.
    """
    for step in steps:
        if not places:
            break
        reached: set[int] = set()
        if step is None:
            reached.update(range(min(places), len(channel) + 1))
        elif isinstance(step, re.Pattern):
            for place in places:
                if found := step.match(channel, place):
                    reached.add(found.end())
        else:
            for option in step:
                reached |= _advance(option, channel, places)
        places = reached
    return places


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> list[_Step]:
    levels: list[list[list[_Step]]] = [[[]]]
    run = ""
    for text in [*_tokens(pattern), ""]:
        inside = len(levels) > 1
        if text and text not in (",*{}" if inside else "*{}"):
            run += _translate(text)
            continue
        if run:
            levels[-1][-1].append(_run(run, pattern))
            run = ""
        if text == "*":
            levels[-1][-1].append(None)
        elif text == ",":
            levels[-1].append([])
        elif text == "{":
            levels.append([[]])
        elif text == "}" and inside:
            options = levels.pop()
            levels[-1][-1].append(options)
        elif text or inside:
            raise ValueError(f"Pattern {pattern!r} has a '{{' or '}}' without a matching one")
    return levels[0][0]


def _tokens(pattern: str) -> Iterator[str]:
    i = 0
    while i < len(pattern):
        token = _TOKEN.match(pattern, i)
        if token is None:
            raise ValueError(
                f"Pattern {pattern!r} cannot be read at {pattern[i : i + 20]!r}: a set is one "
                "range, [a-z], or one list, [abc], and not both: write {[a-z],[0-9]} for [a-z0-9]; "
                "a '\\' must be followed by a character"
            )
        i = token.end()
        yield token.group()


def _run(run: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(run, re.DOTALL)
    except re.error as error:
        raise ValueError(f"Pattern {pattern!r} is malformed: {error}") from error


_TOKEN = re.compile(
    r"""\\. | [^\[\\]
    | \[ (?P<not>!?+) (?: (?P<low>.)-(?P<high>.) | (?!.-)(?P<list>(?:\\.|[^\]\\])+) ) \]""",
    re.DOTALL | re.VERBOSE,
)


def _translate(text: str) -> str:
    """Return the regular expression of a token that matches one character."""
    if text == "?":
        return "."
    if text[0] == "\\":
        return re.escape(text[1])
    token = _TOKEN.match(text)
    if text[0] != "[" or token is None:
        return re.escape(text)
    if token["list"]:
        characters = re.escape(re.sub(r"\\(.)", r"\1", token["list"], flags=re.DOTALL))
    else:
        characters = f"{re.escape(token['low'])}-{re.escape(token['high'])}"
    return f"[{'^' if token['not'] else ''}{characters}]"


def format_key(key: str, find: Callable[[str], object], *, owner: str) -> str:
    """Fill in the variables of a key such as "document:{doc.pk}", as str.format does.

    `find` returns the value of a name, or None. `owner` names the searched object in errors. Raises
    InvalidChannel (a ValueError) for a malformed key, and for a variable that is missing, None or
    empty: the result would be a room that other objects share.
    """
    try:
        return _KeyFormatter(key, find, owner).vformat(key, (), {})
    except InvalidChannel:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidChannel(
            f"Presence key {key!r} cannot be filled in ({error}): write it like 'doc:{{pk}}'"
        ) from error


class _KeyFormatter(Formatter):
    def __init__(self, key: str, find: Callable[[str], object], owner: str) -> None:
        self._key = key
        self._find = find
        self._owner = owner

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> object:
        return self._find(key) if isinstance(key, str) else None

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
