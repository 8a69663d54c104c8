"""The contract suites for backends of sites: the documented example passes, mistakes fail."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from presence.testing import contract
from presence.testing.contract.base import Contract
from tests.integration import broken_backends

ROOT = Path(__file__).parents[2]
WITHOUT_DJANGO = ("-p", "no:django")  # the suites need none

pytest_plugins = ["pytester"]


@pytest.fixture
def elsewhere(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a directory of another project."""
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}:{ROOT}")
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    return pytester


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_documented_backend_passes_the_suite(
    elsewhere: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    text = (ROOT / "docs" / "backends.md").read_text()
    files = re.findall(r"^```python\n# (acme/\S+)\n(.*?)^```", text, re.M | re.S)
    assert len(files) == 2
    for name, code in files:
        path = elsewhere.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    monkeypatch.setenv("PRESENCE_REDIS_URL", redis_url)
    outcomes = run(elsewhere, *WITHOUT_DJANGO, "acme/test_backend.py").parseoutcomes()
    assert outcomes == {"passed": outcomes["passed"]}
    assert outcomes["passed"] > 200


def test_suite_without_backend_fixture_names_it(elsewhere: pytest.Pytester) -> None:
    elsewhere.makepyfile(
        "from presence.testing.contract import LedgerContract\n"
        "class TestMine(LedgerContract): pass\n"
    )
    result = run(elsewhere, *WITHOUT_DJANGO)
    assert "passed" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(["*TestMine has to give a fixture `backend`*"])


def test_suite_fails_for_each_broken_backend(elsewhere: pytest.Pytester) -> None:
    path = broken_backends.__file__
    tests = {f"Test{kind.__name__}::{kind.found_by}" for kind in broken_backends.KINDS}
    output = run(elsewhere, "-q", "-rA", *(f"{path}::{test}" for test in tests)).stdout.str()
    failed = re.findall(r"^FAILED [^:]*::(\w+::\w+)", output, re.M)
    assert set(failed) == tests, output
    assert "AssertionError" in output, "and says in what"


def test_suite_classes_share_no_test_name() -> None:
    """Two tests with the same name would be one."""

    def tests(kind: type[Any]) -> list[str]:
        return [name for name in vars(kind) if name.startswith("test_")]

    parts = [kind for kind in contract.BackendContract.__mro__ if issubclass(kind, Contract)]
    names = [name for kind in parts for name in tests(kind)]
    assert len(names) == len(set(names)) > 100
