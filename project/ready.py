"""Wait until the parts of the demo answer."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from urllib.error import HTTPError

import redis
from django.conf import settings

from presence import queues

PAUSE = 0.1  # seconds between two attempts


class NotReady(Exception):
    """A part gave no answer in time, or a wrong one; the message says which."""


def wait_until_ready(site: str, *, timeout: float) -> None:
    """Return once the web process, Centrifugo and the worker (or consumer) have each answered.

    `site` is a page; the others are found where the settings point. `timeout` is in seconds, for
    all of them together. Raises NotReady.
    """
    deadline = time.monotonic() + timeout
    parts = {"web": lambda: web_answers(site), "centrifugo": centrifugo_answers}
    uses_huey = queues.chosen() == "huey"
    parts |= {"consumer": consumer_answers} if uses_huey else {"worker": worker_answers}
    for part, answers in parts.items():
        wait_for(part, answers, deadline)


def wait_for(part: str, answers: Callable[[], bool], deadline: float) -> None:
    """Ask again and again, but take an error page for an answer. Raises NotReady."""
    while True:
        reason = ""
        try:
            if answers():
                return
        except HTTPError as error:
            raise NotReady(f"{part} answers {error}") from error
        except OSError as error:
            reason = f" ({error})"
        if time.monotonic() > deadline:
            raise NotReady(f"{part} does not answer{reason}")
        time.sleep(PAUSE)


def web_answers(site: str) -> bool:
    with urllib.request.urlopen(site, timeout=5) as response:
        return bool(response.status == 200)


def centrifugo_answers() -> bool:
    headers = {"X-API-Key": settings.CENTRIFUGO_API_KEY, "Content-Type": "application/json"}
    url = f"{settings.CENTRIFUGO_API_URL}/info"
    request = urllib.request.Request(url, data=b"{}", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        return "result" in json.load(response)


def worker_answers() -> bool:
    from kombu.exceptions import OperationalError

    from project.celery import app

    try:
        return bool(app.control.ping(timeout=0.5))
    except OperationalError:  # of the broker
        return False


def consumer_answers() -> bool:
    from huey.contrib.djhuey import HUEY

    from presence.doctor.huey import answers
    from presence.tasks import answer

    try:
        return answers(HUEY, answer)
    except redis.RedisError:
        return False
