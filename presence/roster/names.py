"""Names of people: one cleaner for every source of names, and the initials of a name. Pure.

`readMember` of cursor_state.js and `initials` of render.js have the same rules. Both languages are
tested on tests/fixtures/names.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from unicodedata import category

from wcwidth import iter_graphemes

MAX_NAME: Final = 200
"""Characters (code points) of a name; the rest is cut off."""

# White space in Python and in JavaScript, and control characters.
_SPACES = re.compile(r"[\0- \x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]+")
# Controls that set the direction of all text after them, and deprecated controls.
_CONTROLS = re.compile(r"[\u202a-\u202e\u2066-\u206f\ufff9-\ufffb]+")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Characters that Unicode calls letters or symbols and that show nothing: fillers of Hangul, blanks
# of braille and of hieroglyphs, an empty note head, and the placeholder of an object.
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffc\U00013441\U00013442\U0001d159")
# Capital letters of Georgian are not used for names, and few fonts have them.
_CASED = re.compile(r"[^\u10d0-\u10ff]+")


def clean_name(name: object) -> str:
    """Return `name` in a form that is safe to show; "" if it is not a string or shows nothing.

    The result is one line of at most MAX_NAME characters, cut between graphemes. It has no control
    characters, and nothing in it changes the direction of the text around it. Joiners, combining
    marks, direction marks and variation selectors stay: names need them.
    """
    if not isinstance(name, str):
        return ""
    if is_plain(name):
        return "".join(("", name))  # also turns a SafeString of Django into a plain string
    line = " ".join(_SPACES.split(_CONTROLS.sub("", name))).strip(" ")
    cut = _cut(line) if len(line) > MAX_NAME else line
    return _SURROGATES.sub("?", cut) if _shows(cut) else ""


def is_plain(name: str) -> bool:
    """Return whether `name` is clean ASCII, as most names are.

    Ticks call this for every connection: these methods take half the time of a regular expression.
    """
    return (
        name.isascii()
        and name.isprintable()
        and "  " not in name
        and name.strip(" ") == name
        and len(name) <= MAX_NAME
    )


def initials(name: str) -> str:
    """Return the first grapheme of the first word and of the last, in capitals.

    Words that show nothing are skipped. Punctuation counts only in a name that has nothing else.
    The result for a name without words is "?".
    """
    words = _SPACES.split(name)
    letters = [letter for word in words if (letter := _first(word, _is_letter))]
    letters = letters or [mark for word in words if (mark := _first(word, _shows))][:1]
    chosen = "".join(letters[:1] + letters[1:][-1:]) or "?"
    return _CASED.sub(lambda cased: cased.group().upper(), chosen)


def _first(word: str, counts: Callable[[str], bool]) -> str:
    """Return the first grapheme of a word that counts, or ""."""
    return next(filter(counts, iter_graphemes(word)), "")


def _cut(line: str) -> str:
    """Return at most MAX_NAME characters of complete graphemes."""
    # The last grapheme, which includes one character too many, may be incomplete.
    graphemes = list(iter_graphemes(line[: MAX_NAME + 1]))
    return "".join(graphemes[:-1]).rstrip(" ")


def _shows(text: str) -> bool:
    return any(category(character)[0] in "LNPS" and character not in _BLANK for character in text)


def _is_letter(grapheme: str) -> bool:
    """Return whether a grapheme shows more than punctuation, as the keycap of "*" does."""
    return _shows(grapheme) and any(category(character)[0] not in "PC" for character in grapheme)
