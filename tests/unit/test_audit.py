"""The audit of dependencies fails for a vulnerability, and says where it could not look."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tools import audit

GOOD = {"name": "django", "version": "6.0", "vulns": []}
BAD = {
    "name": "django",
    "version": "5.2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["5.2.1"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
UNKNOWN = {"name": "redis", "skip_reason": "Dependency not found on PyPI"}


def runner(*packages: Any, stdout: str | None = None, stderr: str = "") -> audit.Run:
    said = json.dumps({"dependencies": packages}) if stdout is None else stdout

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert options["timeout"] <= 60
        return subprocess.CompletedProcess(command, 0, said, stderr)

    return run


def test_audit_without_vulnerabilities_says_nothing(capsys: pytest.CaptureFixture[str]):
    assert audit.main(runner(GOOD)) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("others", [(), (UNKNOWN,)], ids=["complete", "incomplete"])
def test_audit_with_a_vulnerability_fails_and_names_it(
    capsys: pytest.CaptureFixture[str], others: tuple[Any, ...]
):
    assert audit.main(runner(GOOD, BAD, *others)) == 1
    said = capsys.readouterr().err
    assert "django 5.2: PYSEC-1, mended in 5.2.1\n" in said
    assert "django 5.2: PYSEC-2, mended in no version\n" in said


def test_audit_of_packages_that_the_index_does_not_know_says_so_in_capitals(
    capsys: pytest.CaptureFixture[str],
):
    assert audit.main(runner(GOOD, UNKNOWN)) == 0
    expected = "DEPENDENCIES WERE NOT AUDITED: NO DATA OF 1 OF 2 PACKAGES\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("stdout", ["", "<html>", "[]", "{}"])
def test_audit_that_fails_says_so_in_capitals(capsys: pytest.CaptureFixture[str], stdout: str):
    assert audit.main(runner(stdout=stdout, stderr="Traceback\nConnectionError: refused")) == 0
    expected = "DEPENDENCIES WERE NOT AUDITED: CONNECTIONERROR: REFUSED\n"
    assert capsys.readouterr().err == expected


def test_audit_without_an_answer_in_time_says_so_in_capitals(capsys: pytest.CaptureFixture[str]):
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    assert audit.main(run) == 0
    assert "DEPENDENCIES WERE NOT AUDITED: NO ANSWER IN 60 S" in capsys.readouterr().err
