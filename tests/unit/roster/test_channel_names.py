"""Channels, feeds, patterns and keys."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence.exceptions import InvalidChannel
from presence.roster import channel_names

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@pytest.mark.parametrize(
    "name",
    ["presence:site", "presence:doc:42", "chat", "a", "x" * 248, "doc:[1]{2}*?\\", "a$b", "~!"],
)
def test_validate_channel_with_valid_name_returns_it(name: str) -> None:
    assert channel_names.validate_channel(name) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("a b", "contains ' '"),
        ("a\tb", "printable ASCII"),
        ("a\nb", "printable ASCII"),
        ("a\x00", "printable ASCII"),
        ("a\x7f", "printable ASCII"),
        ("café", "printable ASCII"),
        ("\U0001f600", "printable ASCII"),
        ("x" * 249, "has 249 characters"),
        ("x" * 300, "has 300 characters"),
        ("a#b", "user-limited"),
        ("$a", "private"),
        ("roster:a", "carries the diffs"),
        ("cursors:a", r"presence/cursors\.html"),
        ("presence.tick", "is reserved"),
        (None, "not NoneType"),
        (7, "not int"),
        (b"presence:a", "not bytes"),
    ],
)
def test_validate_channel_with_invalid_name_gives_the_reason(name: object, says: str) -> None:
    with pytest.raises(InvalidChannel, match=says) as caught:
        channel_names.validate_channel(name)
    assert len(str(caught.value)) < 250
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("channel", "feed"),
    [("presence:doc:1", "presence:doc:1"), ("chat:1", "roster:chat:1"), ("lobby", "roster:lobby")],
)
def test_feed_of_channel_and_back_is_the_channel(channel: str, feed: str) -> None:
    assert channel_names.feed_of(channel) == feed
    assert channel_names.channel_of_feed(feed) == channel


def test_feed_of_longest_channel_can_be_subscribed_to() -> None:
    assert len(channel_names.feed_of("x" * channel_names.MAX_LENGTH)) == 255


def test_feed_pattern_of_own_namespace_is_none() -> None:
    assert channel_names.feed_pattern("presence:*") is None
    assert channel_names.feed_pattern("chat:*") == "roster:chat:*"


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"),
               min_size=1, max_size=239)  # fmt: skip


@given(KEYS)
def test_room_and_cursor_channel_of_key_belong_together(key: str) -> None:
    channel = channel_names.cursor_channel(key)
    assert channel == f"cursors:{key}"
    assert channel_names.is_cursor_channel(channel)
    assert channel_names.room_of(channel) == channel_names.validate_channel(f"presence:{key}")


@pytest.mark.parametrize("key", ["", "a b", "a#b", "é", "x" * 240, None, 7, b"doc"])
def test_room_of_invalid_key_gives_the_reason(key: object) -> None:
    with pytest.raises(InvalidChannel, match="presence"):
        channel_names.cursor_channel(key)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("presence:a", "such as 'cursors:doc:42'"),
        ("cursors", "such as 'cursors:doc:42'"),
        ("", "such as 'cursors:doc:42'"),
        (None, "such as 'cursors:doc:42'"),
        ("cursors:", "has no name"),
        ("cursors:a b", "printable ASCII"),
        ("cursors:" + "x" * 240, "has 249 characters"),
    ],
)
def test_room_of_other_than_cursor_channel_gives_the_reason(name: object, says: str) -> None:
    with pytest.raises(InvalidChannel, match=says):
        channel_names.room_of(name)


@pytest.mark.parametrize("name", ["presence:cursors:a", "cursors", "roster:cursors:a", "Cursors:a"])
def test_is_cursor_channel_of_other_channels_is_false(name: str) -> None:
    assert not channel_names.is_cursor_channel(name)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("presence:*", ["presence:", "presence:a:b"], ["presence", "chat:presence:a"]),
        ("*", ["", "a"], []),
        ("a?c", ["abc", "a.c"], ["ac", "abbc"]),
        ("[abc]x", ["ax", "cx"], ["dx", "x"]),
        ("[a-c]x", ["bx"], ["-x", "dx"]),
        ("[!a-c]x", ["dx", "-x"], ["ax"]),
        ("{presence,chat}:*", ["presence:1", "chat:2"], ["other:1", "{presence,chat}:1"]),
        ("{a,b{c,d}}", ["a", "bc", "bd"], ["b", "bcd"]),
        (r"a\*b", ["a*b"], ["axb"]),
        (r"a\{b", ["a{b"], ["ab"]),
        ("a,b", ["a,b"], ["a", "b"]),
        ("a.b+c|d(e)^$", ["a.b+c|d(e)^$"], ["axb+c|d(e)^$", "a.b"]),
    ],
)
def test_matches_pattern_as_centrifugo_does(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    assert [
        name for name in [*matching, *other] if channel_names.matches(pattern, name)
    ] == matching


@pytest.mark.parametrize(
    "pattern",
    ["[a", "[]", "{a", "a}", "}{", "a\\", "[z-a]", "{a,{b}", "[a-z0-9]", "[!a-z0]", "[a-]", "[--]"],
)
def test_matches_with_malformed_pattern_raises_value_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="Pattern") as caught:
        channel_names.matches(pattern, "a")
    assert repr(pattern) in str(caught.value)


def matches_naively(pattern: str, name: str) -> bool:
    """Match `*`, `?` and flat alternatives by trying everything."""
    if not pattern:
        return not name
    first, rest = pattern[0], pattern[1:]
    if first == "*":
        return any(matches_naively(rest, name[at:]) for at in range(len(name) + 1))
    if first == "{":
        alternatives, _, rest = rest.partition("}")
        return any(matches_naively(each + rest, name) for each in alternatives.split(","))
    return bool(name) and first in ("?", name[0]) and matches_naively(rest, name[1:])


@given(
    st.lists(st.sampled_from(["*", "*", "a", "b", "?", "{a,b*}", "{ab,a}", "{*a,b}"]), max_size=6),
    st.text("ab", max_size=7),
)
def test_matches_any_stars_as_a_search_of_all_ways_does(parts: list[str], name: str) -> None:
    pattern = "".join(parts)
    assert channel_names.matches(pattern, name) == matches_naively(pattern, name)


@pytest.mark.parametrize(
    "pattern",
    ["presence:" + "*a" * 20 + "*b", "{*a,*b}" * 20 + "c", "*{a*,*{a,*}*}*" * 6 + "b"],
)
def test_matches_with_many_stars_takes_no_exponential_time(pattern: str) -> None:
    # In a process of its own: a regular expression cannot be interrupted.
    program = f"""
from presence.roster.channel_names import matches
print(matches({pattern!r}, "presence:" + "a" * 239))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"


def test_cover_of_few_names_has_one_pattern_each() -> None:
    names = [f"presence:[{n}]" for n in range(channel_names.FEW)]
    assert channel_names.cover(names) == [channel_names.escape(name) for name in names]


@given(st.lists(NAMES, min_size=channel_names.FEW + 1, unique=True))
def test_cover_of_many_names_matches_all(names: list[str]) -> None:
    patterns = channel_names.cover(names)
    assert all(any(channel_names.matches(p, name) for p in patterns) for name in names)


@pytest.mark.parametrize("starts", ["*[", "{}", "\\\\", "a*", "["])
def test_cover_of_many_names_without_common_prefix_matches_all(starts: str) -> None:
    names = [f"presence:{start}{n}" for start in starts for n in range(40)]
    (pattern,) = channel_names.cover(names)
    assert all(channel_names.matches(pattern, name) for name in names)


def test_cover_of_many_names_has_one_pattern_per_namespace() -> None:
    names = [f"{space}:doc{n}" for space in ("presence", "roster:chat", "chat") for n in range(50)]
    plain = [f"room-{n}" for n in range(50)]
    patterns = ["presence:doc*", "roster:chat:doc*", "chat:doc*", "room-*"]
    assert channel_names.cover([*names, *plain]) == patterns


@given(NAMES, NAMES)
def test_escape_of_channel_matches_only_that_channel(channel: str, other: str) -> None:
    assert channel_names.matches(channel_names.escape(channel), channel)
    assert channel_names.matches(channel_names.escape(channel), other) is (channel == other)
