"""Names as they are shown. tests/js/names.test.js reads the same cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.utils.safestring import SafeString, mark_safe
from hypothesis import given, settings
from hypothesis import strategies as st

from presence.roster.merge import fallback_name, read_presence
from presence.roster.names import MAX_NAME, clean_name, initials
from presence.roster.validation import find_unfit

CASES = json.loads((Path(__file__).parents[2] / "fixtures" / "names.json").read_text())
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["name"]))
def test_clean_name_and_initials_of_shared_case_match_javascript(case: dict[str, str]):
    cleaned = clean_name(case["name"])
    assert cleaned == case["clean"]
    assert clean_name(cleaned) == cleaned
    assert initials(case["name"]) == initials(cleaned) == case["initials"]


@settings(deadline=None)
@given(st.text(st.characters(), max_size=300))
def test_clean_name_gives_a_name_that_members_may_have(name: str) -> None:
    assert not find_unfit({"name": clean_name(name)})


@pytest.mark.parametrize("name", [None, 42, 4.2, True, b"Ada", ["Ada"], {"name": "Ada"}, object()])
def test_clean_name_of_other_types_is_empty(name: object):
    assert clean_name(name) == ""


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("x" * 10_000, "x" * MAX_NAME),
        ("x" * (MAX_NAME - 1) + FAMILY, "x" * (MAX_NAME - 1)),
        ("x" * (MAX_NAME - 7) + FAMILY + "y", "x" * (MAX_NAME - 7) + FAMILY),
        ("x" * (MAX_NAME - 1) + "e\u0301", "x" * (MAX_NAME - 1)),
        ("x" * (MAX_NAME - 1) + "\U0001f1e9\U0001f1ea", "x" * (MAX_NAME - 1)),
        ("x" * (MAX_NAME - 1) + "\u0915\u094d\u0937", "x" * (MAX_NAME - 1)),
        ("\u1100\u1161\u11a8" * 100, "\u1100\u1161\u11a8" * 66),
        ("x" * (MAX_NAME - 1) + " yyy", "x" * (MAX_NAME - 1)),
        ("a" + "\u0301" * 10_000, ""),
        ("\u200b" * 10_000 + "Ada", ""),
        (" " * 10_000 + "Ada", "Ada"),
        ("\u202e" * 10_000 + "Ada", "Ada"),
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_clean_name_of_long_name_ends_between_graphemes(name: str, kept: str):
    assert clean_name(name) == kept


@pytest.mark.parametrize(
    ("name", "cleaned"), [("A\ud800da", "A?da"), ("\udfff", ""), ("\ud83e Fox", "? Fox")]
)
def test_clean_name_with_half_a_character_can_be_encoded(name: str, cleaned: str):
    assert clean_name(name) == cleaned


@pytest.mark.parametrize("name", ["Ada", "\u00c9lan", ""])
def test_clean_name_of_safe_string_is_a_plain_string(name: str):
    found: Any = clean_name(mark_safe(name))
    assert type(found) is str
    assert not isinstance(found, SafeString)


@pytest.mark.parametrize(
    ("member_id", "name"),
    [
        *(("42", "42"), ("\0", "User"), ("\u200b", "User"), ("\u202eadmin", "admin")),
        *(("anon_abc", "Anonymous"), ("a" * 999, "a" * 200)),
    ],
)
def test_fallback_name_of_id_can_be_shown(member_id: str, name: str):
    assert fallback_name(member_id) == name
    raw = msgspec.json.encode({"presence": {"c": {"user": member_id}}})
    assert [member.name for member in read_presence(raw)[0].members.values()] == [name]
