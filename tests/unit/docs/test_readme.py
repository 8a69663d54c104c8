"""The README works on a package index, too: its links are absolute, and lead to files."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from presence_devtools.devserver.config import load

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
LINKS = re.findall(r"\]\(([^)\s]+)\)", README)
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
REPOSITORY = URLS["Source"]
FILES = (f"{REPOSITORY}/blob/main/", "https://raw.githubusercontent.com/")


def heading_anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_readme_link_is_absolute_and_leads_to_a_file(link: str) -> None:
    if link.startswith("#"):
        headings = re.findall(r"^#+ (.+)$", README, re.M)
        assert link[1:] in map(heading_anchor, headings)
        return
    assert link.startswith(("https://", "http://127.0.0.1"))
    if link.startswith(FILES):
        raw = f"https://raw.githubusercontent.com/{REPOSITORY.partition('.com/')[2]}/main/"
        path, _, anchor = link.removeprefix(FILES[0]).removeprefix(raw).partition("#")
        assert (ROOT / path).exists()
        headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.M) if anchor else []
        assert not anchor or anchor in map(heading_anchor, headings)


def test_readme_settings_come_before_migrate() -> None:
    assert README.index("CELERY_BEAT_SCHEDULE") < README.index("manage.py migrate")
    assert README.index("INSTALLED_APPS") < README.index("manage.py migrate")


def test_readme_configuration_of_centrifugo_is_complete(tmp_path: Path) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", README, re.S)
    config = json.loads(block)
    assert config["http_server"]["port"] == "8001"
    assert config["client"]["allowed_origins"]
    path = tmp_path / "centrifugo.json"
    path.write_text(block)
    _, warnings = load(path, {})
    assert warnings == []


def test_readme_names_the_oldest_versions_that_work() -> None:
    for needed in ("Python 3.11", "Django 5.2", "Redis 6.2", "6.5.2 for cursors"):
        assert needed in README
