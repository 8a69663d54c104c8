"""docs/settings.md lists every setting with the range that the code checks."""

from __future__ import annotations

from pathlib import Path

from presence.conf import NAMES, RANGES

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_settings_page_has_every_setting_with_its_range() -> None:
    lines = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = {cells[1].strip(" `"): cells[3].strip() for cells in lines}
    assert set(rows) == NAMES
    wrong = {name: rows[name] for name, allowed in RANGES.items() if str(allowed) not in rows[name]}
    assert wrong == {}
