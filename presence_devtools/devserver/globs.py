"""The glob patterns of Centrifugo's `channels` call and `allowed_origins`.

`*` and `**` match any run of characters (no separators are special), `?` one character, `[abc]`,
`[a-z]` and `[!…]` one of a set, `{a,b}` alternatives, which may hold patterns. A backslash takes
the next character as it is. A set is one range or one list of characters, not both.
"""

from __future__ import annotations

import re
from typing import TypeAlias

TOKEN = re.compile(
    r"""\\(?P<escaped>.) | [^\[]
    | \[ (?P<not>!?+) (?: (?P<low>.)-(?P<high>.) | (?!.-)(?P<list>(?:\\.|[^\]\\])+) ) \]""",
    re.DOTALL | re.VERBOSE,
)


class Glob:
    """A compiled pattern. Its time grows with the lengths of pattern and string, not with the
    number of stars, as that of a regular expression would."""

    def __init__(self, pattern: str) -> None:
        """Compile. Raises ValueError when the pattern is malformed."""
        self._steps = _compile(pattern)

    def matches(self, text: str) -> bool:
        return len(text) in _advance(self._steps, text, {0})


# A pattern in steps: a character; None for a star; or the alternatives in braces.
Step: TypeAlias = "re.Pattern[str] | list[list[Step]] | None"


def _advance(steps: list[Step], text: str, places: set[int]) -> set[int]:
    """Return the places at which a match of `steps` may end that began at one of `places`."""
    for step in steps:
        if not places:
            break
        if step is None:
            places = set(range(min(places), len(text) + 1))
        elif isinstance(step, re.Pattern):
            places = {place + 1 for place in places if step.match(text, place)}
        else:
            places = set().union(*(_advance(option, text, places) for option in step))
    return places


def _compile(pattern: str) -> list[Step]:
    levels: list[list[list[Step]]] = [[[]]]
    at = 0
    while at < len(pattern):
        token = TOKEN.match(pattern, at)
        if token is None:
            raise ValueError(f"unclosed or mixed [ in pattern {pattern!r}")
        at, text = token.end(), token.group()
        if text == "{":
            levels.append([[]])
        elif text == "}" and len(levels) > 1:
            options = levels.pop()
            levels[-1][-1].append(options)
        elif text == "," and len(levels) > 1:
            levels[-1].append([])
        else:
            levels[-1][-1].append(_translate(token, pattern))
    if len(levels) > 1:
        raise ValueError(f"unclosed {{ in pattern {pattern!r}")
    return levels[0][0]


def _translate(token: re.Match[str], pattern: str) -> re.Pattern[str] | None:
    text = token.group()
    if text == "*":
        return None
    if token["escaped"] or text[0] != "[":
        one = "." if text == "?" else re.escape(token["escaped"] or text)
    else:
        if token["list"]:
            characters = re.escape(re.sub(r"\\(.)", r"\1", token["list"], flags=re.DOTALL))
        else:
            characters = f"{re.escape(token['low'])}-{re.escape(token['high'])}"
        one = f"[{'^' if token['not'] else ''}{characters}]"
    try:
        return re.compile(one, re.DOTALL)
    except re.error as error:
        raise ValueError(f"malformed pattern {pattern!r}: {error}") from error
