"""Looks at a set-up as it runs, and says what is wrong with it and how to mend it.

One module per part, each a list of small functions that yield findings. To add a check, write such
a function into its part's CHECKS (a new part goes into `examination.PARTS`), and describe its id
in docs/doctor.md.
"""

from __future__ import annotations

from presence.doctor.examination import examine
from presence.doctor.findings import Finding

__all__ = ["Finding", "examine"]
