"""Which Centrifugo is used, and how it is installed."""

from __future__ import annotations

import pytest

from presence_devtools import servers
from tools import centrifugo


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """The places for a Centrifugo on a machine that has none."""
    installed, path = tmp_path / "installed" / "centrifugo", tmp_path / "path" / "centrifugo"
    for program in (installed, path):
        program.parent.mkdir()
    monkeypatch.setattr(servers, "INSTALLED_CENTRIFUGO", installed)
    monkeypatch.setattr(centrifugo, "INSTALLED_CENTRIFUGO", installed)
    monkeypatch.setenv("PATH", str(path.parent))
    monkeypatch.delenv("CENTRIFUGO_BIN", raising=False)
    return {"installed": installed, "path": path}


def add(program, text="#!/bin/sh\n"):
    program.write_text(text)
    program.chmod(0o755)
    return str(program)


def test_installed_centrifugo_comes_before_that_of_path(machine):
    assert servers.centrifugo_binary() is None
    assert "development server" in servers.centrifugo_in_use()

    on_path = add(machine["path"])
    assert servers.centrifugo_binary() == on_path
    assert servers.centrifugo_in_use() == "Centrifugo of PATH"

    installed = add(machine["installed"])
    assert servers.centrifugo_binary() == installed
    assert servers.CENTRIFUGO_VERSION in servers.centrifugo_in_use()
    assert servers.centrifugo_command()[0] == installed
    assert "presence_devserver" in servers.centrifugo_command(devserver=True)


@pytest.mark.parametrize(("chosen", "used"), [("/opt/centrifugo", "/opt/centrifugo"), ("", None)])
def test_centrifugo_bin_comes_first(machine, monkeypatch, chosen, used):
    add(machine["installed"])
    monkeypatch.setenv("CENTRIFUGO_BIN", chosen)
    assert servers.centrifugo_binary() == used


def test_install_has_go_build_the_pinned_version_once(machine, tmp_path):
    go, calls = machine["path"].with_name("go"), tmp_path / "calls"
    add(go, f'#!/bin/sh\necho "$*" >> {calls}\n: > "$GOBIN/centrifugo"\n')

    centrifugo.install()
    centrifugo.install()

    module = f"github.com/centrifugal/centrifugo/v6@{servers.CENTRIFUGO_VERSION}"
    assert calls.read_text().splitlines() == [f"install {module}"]


def test_install_without_go_says_what_to_do(machine):
    with pytest.raises(FileNotFoundError, match="Go is needed to build Centrifugo"):
        centrifugo.install()
