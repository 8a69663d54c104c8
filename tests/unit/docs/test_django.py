"""docs/django.md: its template tags show what the page says. (test_docs runs every block.)"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import engines
from django.test import RequestFactory

from presence import services
from presence.roster.messages import Member
from tests.stored_rooms import fill

TEXT = (Path(__file__).parents[3] / "docs" / "django.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def memory(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"


def test_template_tags_of_the_page_render_as_documented():
    fill(services.store(), "presence:document:42", Member("7", "Ada Lovelace"))
    source, *_ = blocks("django")
    author = User(pk=7, username="ada")
    page = (
        engines["django"].from_string(source).render({"author": author}, RequestFactory().get("/"))
    )
    assert "<p>1 here</p>" in page
    assert "<bdi>Ada Lovelace</bdi>" in page
    assert "ada is reading this, too." in page
