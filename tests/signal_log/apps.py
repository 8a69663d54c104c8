"""Receivers of the signals."""

from __future__ import annotations

import json
import os
from typing import Any

from django.apps import AppConfig
from django.dispatch import Signal

from presence import signals

NAMES = (
    *("presence_joined", "presence_left", "presence_updated"),
    *("channel_occupied", "channel_vacated"),
)


class NotingConfig(AppConfig):
    name = "tests.signal_log"

    def ready(self) -> None:
        for name in NAMES:
            signal: Signal = getattr(signals, name)
            signal.connect(self.noting(name), weak=False)

    def noting(self, name: str) -> Any:
        def note(*, channel: str, members: list[Any], version: int, **_: Any) -> None:
            line = [name, channel, [member.id for member in members], version]
            with open(os.environ["NOTES"], "a") as notes:
                notes.write(json.dumps(line) + "\n")

        return note
