"""The made-up people: a name and a colour for each number, and what all of them do."""

from __future__ import annotations

import colorsys
import time
from dataclasses import dataclass

from presence.centrifugo.tokens import Issuer
from presence.roster.people import UserClaims

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
"""People with different names."""

GOLDEN = (5**0.5 - 1) / 2
"""Share of the colour circle between two people: all colours differ, neighbours clearly."""


def user_id(number: int) -> str:
    """Return the user id of person `number`, counted from 1."""
    return f"crowd-{number}"


def signed(number: int, *, now: float) -> UserClaims:
    """Return the claims of person `number`: their name, and the colour of their cursor."""
    place = (number - 1) % MOST
    # Each round of first names shifts the last names by one, so that no name comes twice.
    last = LAST[(7 * place + place // len(FIRST)) % len(LAST)]
    return UserClaims(
        name=f"{FIRST[place % len(FIRST)]} {last}",
        info={"color": _colour(number)},
        iat=now,
    )


def _colour(number: int) -> str:
    shares = colorsys.hls_to_rgb(number * GOLDEN % 1, (0.36, 0.44, 0.52)[number % 3], 0.62)
    return "#" + "".join(f"{round(255 * share):02x}" for share in shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The actions of the crowd. Times are seconds.

    `cursors` is the channel to move on, "" for none. A pointer that rests sends its position again
    every `keep_alive`.
    """

    url: str
    secret: str
    lifetime: float
    channel: str
    cursors: str
    interval: float
    keep_alive: float
    tracked: bool

    def issuer(self, number: int) -> Issuer:
        """Return the issuer of the tokens of person `number`."""
        now = time.time()
        return Issuer(
            secret=self.secret,
            user_id=user_id(number),
            info=signed(number, now=now),
            now=now,
            lifetime=self.lifetime,
            tracked=self.tracked,
        )
