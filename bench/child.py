"""Child processes of the bench: Celery's, and those that answer each line of JSON with another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from presence_devtools.servers import ROOT

END_TIMEOUT = 60.0


@contextmanager
def celery(
    environment: Mapping[str, str], *commands: Sequence[str], log: Path = Path(os.devnull)
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run commands of Celery on the project; ask them to end in the end, and wait for that."""
    with log.open("ab") as out:
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "project", *command],
                env=dict(environment),
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )
            for command in commands
        ]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(END_TIMEOUT)


class Child:
    """Process of `python -m module`, as its parent uses it. The module calls `serve`."""

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(END_TIMEOUT)

    def begin(self, *command: Any) -> None:
        """Send a command; `end` returns its result."""
        print(json.dumps(command), file=self._process.stdin, flush=True)

    def end(self) -> Any:
        """Return the result of the last `begin`. Raises RuntimeError if the process ended."""
        answer = self._process.stdout.readline()  # type: ignore[union-attr]
        if not answer:
            raise RuntimeError(f"the process of {self._module} ended: see its error output")
        return json.loads(answer)

    def ask(self, *command: Any) -> Any:
        self.begin(*command)
        return self.end()


def serve(answer: Callable[..., object]) -> None:
    """Call `answer` with each command of the parent, and send its result, until the parent ends."""
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), flush=True)
