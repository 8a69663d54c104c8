"""Look for known vulnerabilities in what is installed: `python -m tools.audit`.

The exit status is 1 if there is one. Where the data cannot be reached, a line in capitals says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

COMMAND = [
    sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off",
    "--skip-editable", "--timeout", "5",
]  # fmt: skip
SECONDS = 60.0

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def audit(run: Run = subprocess.run) -> tuple[list[str], str]:
    """Return a line for each vulnerability, and why the audit is incomplete; "" if it is not.

    pip-audit finds nothing, and succeeds, where the index does not know a single package.
    """
    try:
        done = run(COMMAND, capture_output=True, text=True, check=False, timeout=SECONDS)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [], f"no answer in {SECONDS:g} s"
    except (ValueError, LookupError, TypeError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit wrote nothing"])[-1]
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, mended in "
        f"{', '.join(vulnerability['fix_versions']) or 'no version'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    return found, f"no data of {len(unknown)} of {len(packages)} packages" if unknown else ""


def main(run: Run = subprocess.run) -> int:
    found, reason = audit(run)
    if reason:
        print(f"DEPENDENCIES WERE NOT AUDITED: {reason.upper()}", file=sys.stderr)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
