"""Each promise of docs/security.md names its tests, and each test of an attack is named there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and "`tests/" in line
]
NAMED = re.findall(r"`(tests/[\w/.]+?)(?:::(\w+))?`", PAGE)


def test_each_promise_of_the_page_has_a_row():
    promises = re.findall(r"^\*\*([^*]+?)\.?\*\*", PAGE.partition("\n## ")[0], re.M)
    rows = [row[0].lstrip("| ") for row in ROWS]
    assert [*promises] == [row for row in rows if not row.startswith(("ASVS", "WSTG"))]


def test_each_named_test_exists():
    assert NAMED
    for path, name in NAMED:
        text = (ROOT / path).read_text()
        assert not name or re.search(rf"def {name}\b", text), f"{path}::{name}"


def test_each_file_of_attacks_is_named():
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/attacks").glob("test_*.py")}
    assert files <= {path for path, _ in NAMED}
