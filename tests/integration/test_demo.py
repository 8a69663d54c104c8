"""The launcher of `make demo`: one line when all parts answer, and no process after it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
import pytest

from presence_devtools.servers import ROOT, free_port

PATIENCE = 90  # seconds; the launcher gives up by itself after 60


@pytest.fixture
def demo(tmp_path):
    """Return a function that starts the launcher on a port; kill all its processes at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(port: int | str, **more: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "PORT": str(port), "DEMO_DIR": str(tmp_path), **more}
        process = subprocess.Popen(
            [sys.executable, "-m", "project.demo"],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for child in family(process.pid) if process.poll() is None else []:
            child.kill()
        process.communicate()


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [*parent.children(recursive=True), parent]


def test_demo_prints_one_line_and_leaves_no_process_after_ctrl_c(demo, tmp_path):
    port = free_port()
    process = demo(port)

    line = process.stdout.readline()
    assert f"http://127.0.0.1:{port}" in line, process.stderr.read()
    parts = family(process.pid)
    commands = " ".join(" ".join(part.cmdline()) for part in parts)
    for part in ("redis-server", "gunicorn", "worker", "beat"):
        assert part in commands
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
        page = response.read().decode()
    assert "<presence-roster" in page
    shell = f'. "{tmp_path}/environment" && echo $CENTRIFUGO_WS_URL'
    told = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("ws://127.0.0.1:")

    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert rest == ""
    assert not (tmp_path / "environment").exists()
    _gone, alive = psutil.wait_procs(parts, timeout=PATIENCE)
    assert not alive


def test_demo_ends_when_one_process_ends(demo):
    process = demo(free_port())
    assert process.stdout.readline(), process.stderr.read()
    parts = family(process.pid)
    beat = next(part for part in parts if "beat" in part.cmdline())

    beat.kill()

    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "beat stopped" in errors
    _gone, alive = psutil.wait_procs(parts, timeout=PATIENCE)
    assert not alive


def test_demo_with_huey_starts_consumer_without_worker_and_beat(demo):
    port = free_port()
    process = demo(port, ASYNC_BACKEND="huey")
    assert process.stdout.readline(), process.stderr.read()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
        page = answer.read().decode()
    assert "kept true by Huey" in page
    assert "Celery" not in page
    parts = family(process.pid)
    commands = " ".join(" ".join(part.cmdline()) for part in parts)
    assert "run_huey" in commands
    assert "celery" not in commands

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    _gone, alive = psutil.wait_procs(parts, timeout=PATIENCE)
    assert not alive


def test_demo_with_unknown_queue_prints_one_line(demo):
    process = demo(free_port(), ASYNC_BACKEND="rq")
    output, errors = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert output == ""
    assert errors == "ASYNC_BACKEND must be celery or huey, not 'rq'.\n"


def test_demo_on_used_port_prints_one_line(demo):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = demo(port)
        output, errors = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert output == ""
    assert errors.count("\n") == 1
    assert f"Port {port} cannot be used" in errors


def test_demo_with_invalid_port_prints_one_line(demo):
    process = demo("http")
    output, errors = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert output == ""
    assert errors == "PORT must be a number from 1 to 65535, not 'http'.\n"
