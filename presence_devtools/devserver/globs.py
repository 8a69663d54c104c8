"""The glob patterns of Centrifugo's `channels` call and `allowed_origins`.

`*` and `**` match any run of characters (no separators are special), `?` one character, `[abc]`,
`[a-z]` and `[!…]` one of a set, `{a,b}` alternatives, which may hold patterns. A backslash takes
the next character as it is. A set is one range or one list of characters, not both.
"""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"""\\(?P<escaped>.) | [^\[]
    | \[ (?P<not>!?+) (?: (?P<low>.)-(?P<high>.) | (?!.-)(?P<list>(?:\\.|[^\]\\])+) ) \]""",
    re.DOTALL | re.VERBOSE,
)
WILDCARDS = {"*": ".*", "?": "."}


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return a regular expression whose `fullmatch` tells whether a string matches `pattern`.

    Raises ValueError when the pattern is malformed.
    """
    parts: list[str] = []
    depth = at = 0
    while at < len(pattern):
        token = TOKEN.match(pattern, at)
        if token is None:
            raise ValueError(f"unclosed or mixed [ in pattern {pattern!r}")
        at, text = token.end(), token.group()
        if token["escaped"] or text not in "{},":
            parts.append(_translate(token))
        elif text == "{":
            parts.append("(?:")
            depth += 1
        elif not depth:
            parts.append(text)
        else:
            parts.append("|" if text == "," else ")")
            depth -= text == "}"
    if depth:
        raise ValueError(f"unclosed {{ in pattern {pattern!r}")
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"malformed pattern {pattern!r}: {error}") from error


def _translate(token: re.Match[str]) -> str:
    text = token.group()
    if token["escaped"] or text[0] != "[":
        return WILDCARDS.get(text) or re.escape(token["escaped"] or text)
    if token["list"]:
        characters = re.escape(re.sub(r"\\(.)", r"\1", token["list"], flags=re.DOTALL))
    else:
        characters = f"{re.escape(token['low'])}-{re.escape(token['high'])}"
    return f"[{'^' if token['not'] else ''}{characters}]"
