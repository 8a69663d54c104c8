"""Take the comments out of the browser modules, for the wheel.

The modules have no build step: browsers run the files of the repository. Their comments are half of
their bytes, so the build hook of the wheel runs this. A comment becomes empty lines, so that line
numbers on the console of a visitor are those of the repository.
"""

from __future__ import annotations

import re

COMMENT = re.compile(r"^[ \t]*(?://.*|/\*(?:(?!\*/)[\s\S])*\*/[ \t]*)\n", re.MULTILINE)
"""A comment with its lines for itself: `// …`, or `/* … */` with nothing before or after it."""


def strip_comments(module: str) -> str:
    """Return a JavaScript module with an empty line for each line of a comment.

    Only comments on lines of their own are taken out. Raise ValueError for a template literal that
    spans lines, since what looks like a comment in it is text.
    """
    stripped = COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), module)
    for line in stripped.splitlines():
        if line.count("`") % 2:
            raise ValueError(f"{line.strip()!r} begins a template literal that spans lines")
    return stripped
