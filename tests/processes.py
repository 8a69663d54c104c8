"""One function in many processes at once, forked from a process that has imported it."""

from __future__ import annotations

import json
import multiprocessing
import pkgutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from presence_devtools.servers import ROOT

Work = Callable[[str, int], Any]
"""Function of the URL of a Redis and the number of the process; its result must be JSON."""

PATIENCE = 180.0


def run_many(
    work: Work, url: str, *, processes: int, environment: Mapping[str, str] | None = None
) -> list[Any]:
    """Return the result of each process, by its number. All start when all are ready.

    `work` has to be a function of a module. AssertionError with what was raised, if anything was.
    """
    path = f"{work.__module__}:{work.__qualname__}"
    command = [sys.executable, "-m", "tests.processes", path, url, str(processes)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    found: list[Any] = json.loads(done.stdout)
    return found


def main(path: str, url: str, processes: int) -> None:
    work: Work = pkgutil.resolve_name(path)
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(processes)
    results: Any = fork.SimpleQueue()

    def run(number: int) -> None:
        try:
            together.wait(PATIENCE)
            results.put((number, "", work(url, number)))
        except BaseException:
            results.put((number, traceback.format_exc(), None))

    started = [fork.Process(target=run, args=(number,)) for number in range(processes)]
    for process in started:
        process.start()
    told = sorted((results.get() for _ in started), key=lambda result: result[0])
    for process in started:
        process.join()
    errors = [error for _, error, _ in told if error]
    if errors:
        sys.exit(f"{len(errors)} of {processes} failed, the first with\n{errors[0]}")
    json.dump([found for _, _, found in told], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
