"""docs/django.md: its templates render, its Python compiles, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import engines
from django.test import RequestFactory

from presence import assembly
from presence.roster import Member
from tests.rooms import fill

TEXT = (Path(__file__).parents[2] / "docs" / "django.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def memory(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"


def test_the_tags():
    fill(assembly.store(), "presence:document:42", Member("7", "Ada Lovelace"))
    source, *_ = blocks("django")
    author = User(pk=7, username="ada")
    page = (
        engines["django"].from_string(source).render({"author": author}, RequestFactory().get("/"))
    )
    assert "<p>1 here</p>" in page
    assert "<bdi>Ada Lovelace</bdi>" in page
    assert "ada is reading this, too." in page


@pytest.mark.parametrize("source", blocks("django"))
def test_the_templates(source: str):
    engines["django"].from_string(source).render({}, RequestFactory().get("/"))


@pytest.mark.parametrize("source", blocks("python"))
def test_the_python(source: str):
    compile(source, "docs/django.md", "exec")
    imports = "\n".join(line for line in source.splitlines() if line.startswith("from "))
    exec(compile(imports, "docs/django.md", "exec"), {})
