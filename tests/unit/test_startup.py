"""Cost of the app at the start of a process: it imports neither a queue nor a client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"aiohttp", "celery", "cent", "huey", "pydantic", "redis", "requests", "urllib3"}
SITE = """
from django.conf import settings

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "presence",
    ],
    SECRET_KEY="a key",
    TEMPLATES=[],
)
import django

django.setup()
"""
PUBLIC = """
import presence.admin, presence.cursors, presence.manager, presence.mixins, presence.querysets
import presence.signals, presence.snapshots, presence.urls, presence.users
import presence.templatetags.presence_tags
"""


def imported(code: str) -> set[str]:
    """Return the names of the packages that a new process has imported after `code`."""
    tell = "import json, sys\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    command = [sys.executable, "-c", f"{code}\n{tell}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("code", [SITE, SITE + PUBLIC], ids=["setup", "public modules"])
def test_startup_with_the_app_installed_imports_no_queue_and_no_client(code: str) -> None:
    packages = imported(code)
    assert "presence" in packages
    assert packages & LEFT_OUT == set()
