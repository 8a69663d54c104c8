"""Exceptions at any line of a piece of code, as a signal handler raises them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["interrupted_at", "lines_of"]


def lines_of(run: Callable[[], object], *paths: str) -> int:
    """Return the number of lines that `run` executes in files of the paths."""
    return _traced(run, paths, 0, None)


def interrupted_at(line: int, run: Callable[[], object], error: BaseException, *paths: str) -> None:
    """Raise an error at a line of `run` (the first is 1), as a signal handler would."""
    try:
        _traced(run, paths, line, error)
    finally:
        del error  # which holds its frames: if they hold it, too, what is theirs is not freed


def _traced(
    run: Callable[[], object], paths: tuple[str, ...], line: int, error: BaseException | None
) -> int:
    passed = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal passed
        if not any(path in frame.f_code.co_filename for path in paths):
            return None
        if event == "line":
            passed += 1
            if passed == line and error is not None:
                sys.settrace(None)
                raise error
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
        error = None
    return passed
