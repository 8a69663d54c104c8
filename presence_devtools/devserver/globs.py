"""The glob patterns of Centrifugo's `channels` call and `allowed_origins`.

`*` and `**` any run of characters (no separators are special), `?` one character, `[abc]`, `[a-z]`
and `[!…]` one of a set, `{a,b}` alternatives which may hold patterns, backslash takes the next
character as it is.
"""

from __future__ import annotations

import re

WILDCARDS = {"*": ".*", "?": "."}


def compile_glob(pattern: str) -> re.Pattern[str]:
    """A regular expression whose `fullmatch` says whether a text matches `pattern`.

    Raises ValueError when the pattern is malformed.
    """
    parts: list[str] = []
    depth = 0
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\" and at < len(pattern):
            parts.append(re.escape(pattern[at]))
            at += 1
        elif char in WILDCARDS:
            parts.append(WILDCARDS[char])
        elif char == "[":
            members, at = _set(pattern, at)
            parts.append(members)
        elif char == "{":
            depth += 1
            parts.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            parts.append(")")
        elif char == "," and depth:
            parts.append("|")
        else:
            parts.append(re.escape(char))
    if depth:
        raise ValueError(f"unclosed {{ in pattern {pattern!r}")
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"malformed pattern {pattern!r}: {error}") from error


def _set(pattern: str, at: int) -> tuple[str, int]:
    """The regular expression of the set whose content begins at `at`, and where it ends."""
    end = pattern.find("]", at)
    content = pattern[at:end]
    negated = content.startswith("!")
    members = content[negated:]
    if end < 0 or not members:
        raise ValueError(f"unclosed or empty [ in pattern {pattern!r}")
    escaped = re.escape(members).replace(r"\-", "-") if len(members) == 3 else re.escape(members)
    return f"[{'^' if negated else ''}{escaped}]", end + 1
