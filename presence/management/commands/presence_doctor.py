"""`manage.py presence_doctor`: report the problems of a set-up, and their fixes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from presence.doctor import Finding, examine
from presence.management import command


class Command(command.Command):
    """Prints a line for each finding. Exits with 1 if there is a problem."""

    help = (
        "Check the settings, Redis, Centrifugo, beat and worker; report problems and their fixes."
    )
    # The doctor runs the checks itself, and reports them with its other findings.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Define the options."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine and print."""
        findings = []
        for finding in examine():
            findings.append(finding)
            if not options["json"]:
                self._print(finding, colours=options["force_color"] or self.stdout.isatty())
        problems = [finding for finding in findings if finding.level == "problem"]
        if options["json"]:
            checks = msgspec.to_builtins(findings)
            self.stdout.write(json.dumps({"ok": not problems, "checks": checks}))
        if problems:
            ids = ", ".join(dict.fromkeys(finding.id for finding in problems))
            raise CommandError(f"{_count(findings)}: {ids}")
        if not options["json"]:
            self.stdout.write(f"{_count(findings)}.")

    def _print(self, finding: Finding, *, colours: bool) -> None:
        level = f"{finding.level:8}"
        if colours:
            styles = {
                "ok": self.style.SUCCESS,
                "warning": self.style.WARNING,
                "problem": self.style.ERROR,
                "skipped": self.style.HTTP_INFO,
            }
            level = styles[finding.level](level)
        self.stdout.write(f"{level} {finding.text} [{finding.id}]")
        if finding.remedy:
            self.stdout.write(f"{'':8} -> {finding.remedy}")
        self.stdout.flush()


def _count(findings: list[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    problems, warnings = (_numbered(counts[level], level) for level in ("problem", "warning"))
    found = f"{problems}, {warnings}, {counts['ok']} ok"
    return f"{found}, {counts['skipped']} not checked" if counts["skipped"] else found


def _numbered(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
