"""`manage.py presence_devserver` as a process, and without aiohttp."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from presence_devtools import servers


def devserver(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        servers.manage("presence_devserver", *arguments),
        env={**servers.centrifugo_environment(os.environ), **environ},
        cwd=servers.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_devserver_prints_its_purpose_and_stops_cleanly(number: signal.Signals) -> None:
    port = servers.free_port()
    running = devserver(
        "--config",
        str(servers.CONFIG),
        CENTRIFUGO_HTTP_SERVER_PORT=str(port),
        CENTRIFUGO_NONSENSE="1",
    )
    assert running.stderr is not None
    lines = [running.stderr.readline() for _ in range(3)]
    running.send_signal(number)
    assert running.wait(15) == 0
    assert lines == [
        "presence_devserver: for development and tests only: one process, everything in memory\n",
        "presence_devserver: warning: environment variable ignored: CENTRIFUGO_NONSENSE\n",
        f"presence_devserver: serving websocket and api on http://127.0.0.1:{port}\n",
    ]


def test_devserver_with_bad_configuration_prints_one_line_and_exits_1(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text("{")
    running = devserver("--config", str(path))
    _, said = running.communicate(timeout=30)
    assert running.returncode == 1
    assert said.startswith(f"CommandError: {path} is not JSON")
    assert said.count("\n") == 1


def test_devserver_on_used_port_prints_one_line_and_exits_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        running = devserver("--config", str(servers.CONFIG), CENTRIFUGO_HTTP_SERVER_PORT=port)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "CommandError: cannot listen:" in said
    assert "Traceback" not in said


def test_devserver_without_aiohttp_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "aiohttp",
        "presence_devtools.devserver.server",
        "presence_devtools.devserver.http",
    ):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CommandError, match=r"django-presence-centrifugo\[devserver\]"):
        call_command("presence_devserver")
