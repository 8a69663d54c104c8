"""Each row of the table in docs/reliability.md has a test, and each fault that is tested a row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def named_faults() -> set[str]:
    """Return the faults that tests on real processes and in browsers name."""
    return {
        ast.literal_eval(node.args[0])
        for folder in ("faults", "browser")
        for path in (ROOT / "tests" / folder).glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault"
    }


def test_reliability_page_has_a_row_for_each_fault_that_is_tested() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    table = page.partition("## Faults")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!Fault|---)([^|]+) \|", table, re.M)
    assert len(rows) > 15
    assert len(rows) == len(set(rows))
    assert set(rows) == named_faults()
