"""Translation catalogues: complete, compiled, and right in their plurals."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polib
import pytest
from django.contrib.auth.models import User
from django.template import engines
from django.test import RequestFactory
from django.utils import translation
from django.utils.translation.template import templatize

import presence
from presence import services
from presence.roster.messages import Member
from tests.stored_rooms import fill

HERE = Path(presence.__file__).parent
ROOM = "presence:doc:42"
LANGUAGES = ["ar", "de", "es", "fr"]
SAMPLES = [0, 1, 2, 3, 5, 6, 7, 11, 20, 100]
REMEDY = "run `django-admin makemessages -a` in presence/, translate, and compile the .mo again"

Message = tuple[str, str]
"""A message in the singular, and in the plural ("" for none)."""

CALL = re.compile(r"""\b([pn]?gettext)\(((?:[^()'"]|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")*)\)""")


def catalogue(language: str) -> polib.POFile:
    return polib.pofile(str(HERE / "locale" / language / "LC_MESSAGES" / "django.po"))


def in_templates() -> Iterator[Message]:
    for path in (HERE / "templates").rglob("*.html"):
        for match in CALL.finditer(templatize(path.read_text())):
            arguments = ast.parse(match[0], mode="eval").body.args  # type: ignore[attr-defined]
            texts = [each.value for each in arguments if isinstance(each, ast.Constant)]
            if match[1] == "pgettext":
                del texts[0]  # The context.
            yield texts[0], "".join(texts[1:])


def in_modules() -> Iterator[Message]:
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                first = node.args[0]
                if node.func.id in ("_", "gettext", "gettext_lazy"):
                    assert isinstance(first, ast.Constant), "a message is a literal"
                    yield first.value, ""


def messages() -> set[Message]:
    return {*in_templates(), *in_modules()}


def texts(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_messages_of_templates_and_modules_are_found():
    found = messages()
    assert {("Here now", ""), ("Presence", "")} <= found
    assert ("anonymous visitor", "anonymous visitors") in found


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_translates_every_message(language: str):
    found = catalogue(language)
    assert {(entry.msgid, entry.msgid_plural) for entry in found} == messages(), REMEDY
    assert found.obsolete_entries() == []
    assert [entry.msgid for entry in found if entry.fuzzy or not entry.translated()] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_keeps_placeholders(language: str):
    # A form for one number only may say it in a word.
    spelt = {"ar": 3}.get(language, 0)
    for entry in catalogue(language):
        wanted = placeholders(entry.msgid)
        for form, text in enumerate(texts(entry)):
            given = placeholders(text)
            in_words = bool(entry.msgid_plural) and form < spelt and not given
            assert given == wanted or in_words, entry.msgid


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w*\}|%\(\w+\)s", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_compiled_is_the_one_written(language: str):
    source = catalogue(language)
    compiled = polib.mofile(str(HERE / "locale" / language / "LC_MESSAGES" / "django.mo"))
    assert {each.msgid: texts(each) for each in compiled} == {
        each.msgid: texts(each) for each in source
    }, REMEDY
    assert compiled.metadata == source.metadata


# Plural forms


def sampled(entry: polib.POEntry, language: str) -> list[str]:
    """Return Django's text for each sample."""
    with translation.override(language):
        return [translation.ngettext(entry.msgid, entry.msgid_plural, n) for n in SAMPLES]


@pytest.mark.parametrize(
    ("language", "forms"),
    [
        ("de", [1, 0, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("fr", [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("es", [2, 0, 2, 2, 2, 2, 2, 2, 2, 2]),
        ("ar", [0, 1, 2, 3, 3, 3, 3, 4, 4, 5]),
    ],
)
def test_plural_form_of_each_sample_is_that_of_the_language(language: str, forms: list[int]):
    plurals = [entry for entry in catalogue(language) if entry.msgid_plural]
    assert plurals
    for entry in plurals:
        wanted = [entry.msgstr_plural[form] for form in forms]
        assert sampled(entry, language) == wanted


def test_plural_form_of_whole_millions_in_spanish_has_its_own_words():
    with translation.override("es"):
        words = translation.ngettext("anonymous visitor", "anonymous visitors", 1_000_000)
    assert words == "de visitantes anónimos"


# The widget


def has_words(text: str) -> bool:
    return any(letter.isalpha() for letter in re.sub(r"\{\w*\}", "", text))


class Said(HTMLParser):
    """Parser that collects the text of a page, and attributes with text."""

    HEARD = re.compile(r"aria-label|title|alt|placeholder|lang")
    # What scripts draw with, as against channels, URLs, keys and what is a member's own.
    LATER = re.compile(
        r"data-presence-(form\d+|stale|refused|revoked|as-of|nobody|both|anonymous-name)"
    )

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: set[str] = set()
        self.roots: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "presence-roster":
            self.roots.append(dict(attrs))
        for name, value in attrs:
            if self.HEARD.fullmatch(name) or self.LATER.fullmatch(name):
                self._add(value or "")

    def handle_data(self, data: str) -> None:
        self._add(data)

    def _add(self, text: str) -> None:
        if has_words(text):
            self.texts.add(text.strip())


VARIANTS = ["stack", "list", "count", "none"]
NAMES = {f"Zoë {n}" for n in range(8)}
INITIALS = {f"Z{n}" for n in range(8)}


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.PRESENCE_BACKEND = "memory"
    settings.ROOT_URLCONF = "project.urls"


def page(language: str) -> str:
    """Widgets of every variant in a language: with people, with visitors, and empty."""
    request = RequestFactory().get("/")
    request.user = User(pk=1)
    widgets = "".join(
        f'{{% presence_widget "{room}" variant="{variant}" announce=True %}}'
        for variant in VARIANTS
        for room in (ROOM, "presence:empty")
    )
    template = engines["django"].from_string("{% load presence_tags %}" + widgets)
    with translation.override(language):
        return template.render({}, request)


@pytest.fixture
def people() -> None:
    members = [Member(str(n), name) for n, name in enumerate(sorted(NAMES))]
    fill(services.store(), ROOM, *members, anonymous=3)


@pytest.mark.usefixtures("people")
def test_texts_of_the_widget_are_in_the_catalogues():
    said = {
        # What goes with a number is written with one, and once more with its place.
        re.sub(r"\d+", "{n}", text).rstrip(",")
        for text in Said(page("en")).texts - NAMES - INITIALS
    }
    known = {text for message in in_templates() for text in message if has_words(text)}
    assert said == known


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("language", LANGUAGES)
def test_widget_in_another_language_has_no_english(language: str):
    same = {each.msgid for each in catalogue(language) if each.msgid in texts(each)}
    english, found = Said(page("en")).texts, Said(page(language)).texts
    assert english & found == NAMES | INITIALS | (same & english)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("language", LANGUAGES)
def test_page_has_every_plural_form(language: str):
    found = Said(page(language)).texts
    for entry in catalogue(language):
        if entry.msgid_plural:
            assert set(sampled(entry, language)) <= found


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("language", "spoken"),
    [("en", "en"), *zip(LANGUAGES, LANGUAGES, strict=True), ("de-at", "de"), ("it", "en")],
)
def test_widget_names_its_language_and_takes_its_direction_from_the_page(
    language: str, spoken: str
):
    roots = Said(page(language)).roots
    assert {root["lang"] for root in roots} == {spoken}
    assert not any("dir" in root for root in roots)


@pytest.mark.usefixtures("people")
def test_widget_without_a_catalogue_names_the_language_it_falls_back_to(settings: Any):
    settings.LANGUAGE_CODE = "fr"
    settings.LOCALE_PATHS = []  # Django then forgets the catalogues it has read.
    said = Said(page("it"))
    assert {root["lang"] for root in said.roots} == {"fr"}
    assert "Ici en ce moment" in said.texts


@pytest.mark.usefixtures("people")
def test_catalogue_of_the_site_translates_our_strings(settings: Any, tmp_path: Path):
    ours = catalogue("es")
    theirs = polib.POFile()
    theirs.metadata = {**ours.metadata, "Language": "it"}
    context = next(entry.msgctxt for entry in ours if entry.msgid == "en")
    theirs.append(polib.POEntry(msgctxt=context, msgid="en", msgstr="it"))
    theirs.append(polib.POEntry(msgid="Here now", msgstr="Presenti"))
    folder = tmp_path / "it" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    theirs.save_as_mofile(str(folder / "django.mo"))
    settings.LOCALE_PATHS = [str(tmp_path)]
    said = Said(page("it"))
    assert {root["lang"] for root in said.roots} == {"it"}
    assert "Presenti" in said.texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_member_without_a_name_is_called_so_in_the_language_of_the_page(language: str):
    fill(services.store(), ROOM, Member("anon_0123", "Anonymous"))
    word = next(entry.msgstr for entry in catalogue(language) if entry.msgid == "Anonymous")
    html = page(language)
    said = Said(html)
    assert word in said.texts
    assert "Anonymous" not in said.texts
    # Scripts are told what the server tells, and what to show for it.
    assert 'data-presence-name="Anonymous"' in html
    assert {root["data-presence-anonymous-name"] for root in said.roots} == {word}
