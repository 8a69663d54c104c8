"""Ids of visitors: only presence/roster/people.py knows their form."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import presence
from presence.roster.people import anonymous_id, is_anonymous, is_sessionless, sessionless_id

PACKAGE = Path(presence.__file__).parent


@pytest.mark.parametrize(
    ("member_id", "anonymous", "passing"),
    [
        (anonymous_id("c0ffee"), True, False),
        (sessionless_id("c0ffee"), True, True),
        ("42", False, False),
        ("anonymous", False, False),
    ],
)
def test_is_anonymous_of_ids_tells_visitors_from_users(
    member_id: str, anonymous: bool, passing: bool
) -> None:
    assert (is_anonymous(member_id), is_sessionless(member_id)) == (anonymous, passing)


def test_prefix_of_anonymous_ids_is_in_no_other_module() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Constant) and str(node.value).startswith("anon_"))
        or (isinstance(node, ast.Constant) and node.value == "Anonymous")
    }
    assert found == {"roster/people.py", "web/widget.py"}  # the latter marks it for translation
