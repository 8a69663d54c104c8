"""Works that run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence


def run_all(works: Sequence[Callable[[], object]]) -> None:
    """Run each in a thread of its own; raises what any of them raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors
