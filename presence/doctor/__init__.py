"""Diagnosis of a running set-up: what is wrong, and how to fix it.

Each part is a module with small functions that yield findings. To add a check, write such a
function in its part (a new part goes into `examination.PARTS`), and describe its id in
docs/doctor.md.
"""

from __future__ import annotations

from presence.doctor.examination import examine
from presence.doctor.findings import Finding

__all__ = ["Finding", "examine"]
