"""Wait until the parts of the demo answer."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable

PAUSE = 0.1  # seconds between two attempts


def wait_until_ready(site: str, *, timeout: float) -> None:
    """Return once the web process, Centrifugo and the worker have each answered.

    `site` is a page; the others are found where the settings point. `timeout` is in seconds, for
    all of them together. Raises TimeoutError, whose message says which did not.
    """
    deadline = time.monotonic() + timeout
    parts = {"web": lambda: web_answers(site), "centrifugo": centrifugo_answers}
    for part, answers in {**parts, "worker": worker_answers}.items():
        wait_for(part, answers, deadline)


def wait_for(part: str, answers: Callable[[], bool], deadline: float) -> None:
    """Ask again and again. Raises TimeoutError, with the last error, once the deadline has gone."""
    while True:
        reason = ""
        try:
            if answers():
                return
        except OSError as error:
            reason = f" ({error})"
        if time.monotonic() > deadline:
            raise TimeoutError(f"{part} does not answer{reason}")
        time.sleep(PAUSE)


def web_answers(site: str) -> bool:
    with urllib.request.urlopen(site, timeout=5) as response:
        return bool(response.status == 200)


def centrifugo_answers() -> bool:
    from django.conf import settings

    headers = {"X-API-Key": settings.CENTRIFUGO_API_KEY, "Content-Type": "application/json"}
    url = f"{settings.CENTRIFUGO_API_URL}/info"
    request = urllib.request.Request(url, data=b"{}", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        return "result" in json.load(response)


def worker_answers() -> bool:
    from project.celery import app

    return bool(app.control.ping(timeout=0.5))
