"""The catalogues of the demo: each string of its pages, in each of its languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.utils.translation.template import templatize

from project.views import ROOMS

ROOT = Path(settings.BASE_DIR)
LANGUAGES = ["ar", "de", "es", "fr"]
CALL = re.compile(r"""\bgettext\(u?('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""")


def catalogue(language: str) -> Path:
    return ROOT / "project" / "locale" / language / "LC_MESSAGES" / "django.po"


def strings() -> Iterator[str]:
    for path in (ROOT / "templates").rglob("*.html"):
        for match in CALL.finditer(templatize(path.read_text())):
            yield match[1][1:-1].replace('\\"', '"')
    yield from (name._args[0] for name in ROOMS.values())


def test_demo_languages_are_those_with_catalogues():
    assert [code for code, _ in settings.LANGUAGES if code != "en"] == LANGUAGES
    assert all(catalogue(language).exists() for language in LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_string_of_the_demo_is_translated(language: str):
    found = polib.pofile(str(catalogue(language)))
    assert {entry.msgid for entry in found} == set(strings())
    assert [entry.msgid for entry in found if entry.fuzzy or not entry.translated()] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_catalogue_of_the_demo_agrees_with_its_source(language: str):
    path = catalogue(language)
    compiled = polib.mofile(str(path.with_suffix(".mo")))
    written = {entry.msgid: entry.msgstr for entry in polib.pofile(str(path))}
    assert {entry.msgid: entry.msgstr for entry in compiled} == written


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/rooms/launch-plan/", "/variants/", "/whiteboard/"])
@pytest.mark.parametrize(
    ("accepted", "spoken", "heading"),
    [
        ("de", "de", "Wer ist hier?"),
        ("fr-CA", "fr", "Qui est là ?"),
        ("it", "en", "Who is here?"),
        ("ar", "ar", "من هنا؟"),
    ],
)
def test_page_of_the_demo_is_in_its_declared_language(
    client, settings, path: str, accepted: str, spoken: str, heading: str
):
    settings.PRESENCE_BACKEND = "memory"
    page = client.get(path, headers={"Accept-Language": accepted}).content.decode()
    assert f'<html lang="{spoken}"' in page
    assert f"<bdi>{heading}</bdi>" in page


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/static/presence/js/widget.js", "/static/demo/site.css", "/"])
def test_demo_compresses_what_it_serves(client, settings, path: str):
    settings.PRESENCE_BACKEND = "memory"
    response = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert response.status_code == 200
    assert response["Content-Encoding"] == "gzip"
