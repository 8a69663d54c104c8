"""Who the made-up people are: a name and a colour for each number, always the same. Pure."""

from __future__ import annotations

import colorsys

from presence.roster.people import Signed

__all__ = ["MOST", "signed", "user_id"]

FIRST = (
    "Amara", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Inès", "João", "Kofi",
    "Linnéa", "Mateo", "Ngozi", "Oskar", "Priya", "Quentin", "Rosa", "Søren", "Thandi", "Umut",
    "Vera", "Wojtek", "Xiomara", "Yuki", "Zoë", "Anouk", "Basil", "Carmen", "Diego", "Esther",
    "Finn", "Gül", "Hana", "Ilja", "Jasmin", "Kwame", "Layla", "Minh", "Nora",
)  # fmt: skip
LAST = (
    "Achebe", "Bergström", "Castillo", "Demir", "Eriksen", "Fontaine", "García", "Haddad",
    "Ivanova", "Jensen", "Kowalska", "Lindqvist", "Moreau", "Nakamura", "Okafor", "Petrova",
    "Quiroga", "Rossi", "Sharma", "Tanaka", "Ueda", "Vargas", "Weiss", "Yavuz", "Zhang",
)  # fmt: skip

MOST = len(FIRST) * len(LAST)
"""People with names of their own."""

GOLDEN = (5**0.5 - 1) / 2
"""Of the colour circle between two people: neighbours differ, and no two are the same."""


def user_id(number: int) -> str:
    """The user id of person `number`, counted from 1."""
    return f"crowd-{number}"


def signed(number: int, *, now: float) -> Signed:
    """What a token says of person `number`: their name, and the colour of their cursor."""
    place = (number - 1) % MOST
    # One last name further with every round, so that nobody's name is another's.
    last = LAST[(7 * place + place // len(FIRST)) % len(LAST)]
    return Signed(
        name=f"{FIRST[place % len(FIRST)]} {last}",
        info={"color": _colour(number)},
        iat=now,
    )


def _colour(number: int) -> str:
    shares = colorsys.hls_to_rgb(number * GOLDEN % 1, (0.36, 0.44, 0.52)[number % 3], 0.62)
    return "#" + "".join(f"{round(255 * share):02x}" for share in shares)
