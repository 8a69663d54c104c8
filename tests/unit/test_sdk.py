"""tools/sdk.py: installing the JavaScript SDK."""

from __future__ import annotations

import pytest

from tools import sdk


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """An npm package that is installed, in a directory of the test's own."""
    source = tmp_path / "dist" / "centrifuge.js"
    source.parent.mkdir()
    source.write_text("code();\n//# sourceMappingURL=centrifuge.js.map")
    (tmp_path / "LICENSE").write_text("The MIT License")
    lock, done = tmp_path / "package-lock.json", tmp_path / "done"
    lock.touch()
    done.touch()
    monkeypatch.setattr(sdk, "SOURCE", source)
    monkeypatch.setattr(sdk, "LICENSE", tmp_path / "LICENSE")
    monkeypatch.setattr(sdk, "TARGET", tmp_path / "vendor" / "centrifuge.js")
    monkeypatch.setattr(sdk, "TARGET_LICENSE", tmp_path / "vendor" / "LICENSE.centrifuge.txt")
    monkeypatch.setattr(sdk, "LOCK", lock)
    monkeypatch.setattr(sdk, "INSTALLED", done)
    return tmp_path


def test_install_leaves_out_the_name_of_the_source_map(installed):
    sdk.install()

    assert sdk.TARGET.read_text() == "code();\n"
    assert set(sdk.TARGET.parent.iterdir()) == {sdk.TARGET, sdk.TARGET_LICENSE}


def test_install_puts_the_licence_beside_the_sdk(installed):
    assert not sdk.complete()

    sdk.install()

    assert sdk.complete()
    assert sdk.TARGET_LICENSE.read_text() == "The MIT License"


def test_install_without_npm_says_what_to_do(installed, monkeypatch):
    sdk.INSTALLED.unlink()
    monkeypatch.setenv("PATH", str(installed))
    monkeypatch.setattr(sdk.sys, "executable", str(installed / "python"))

    with pytest.raises(FileNotFoundError, match="install Node"):
        sdk.install()
