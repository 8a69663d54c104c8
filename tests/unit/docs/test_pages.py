"""The pages are one whole: one index, a kind for each page, links and paths that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.unit.docs.test_readme import heading_anchor

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = sorted(page for page in DOCS.glob("*.md") if page != INDEX)
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "bench" / "notes.md"]
LINKING = [*PAGES, INDEX, *OTHERS]
KINDS = {"tutorial", "how-to", "reference", "explanation"}
ARCHITECTURE = (DOCS / "architecture.md").read_text()
MAX_README_LINES = 200
NAMING_CODE = ("architecture.md", "decisions.md")


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def test_index_lists_every_page_once_with_its_kind():
    rows = re.findall(r"^\| \[([\w.]+)\]\(([\w.]+)\) \| ([\w-]+) \|", INDEX.read_text(), re.M)
    assert all(name == link for name, link, _ in rows)
    assert sorted(link for _, link, _ in rows) == [page.name for page in PAGES]
    assert {kind for _, _, kind in rows} <= KINDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_names_the_kind_that_the_index_gives_it(page: Path):
    (kind,) = re.findall(rf"\({page.name}\) \| ([\w-]+) \|", INDEX.read_text())
    first = page.read_text().splitlines()[2]
    assert first.startswith(f"*{kind.capitalize()}.*")


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_page_links_lead_to_files_and_headings(page: Path):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M) if anchor else []
        assert not anchor or anchor in map(heading_anchor, headings), link


def test_architecture_layers_are_those_that_import_linter_checks():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (entry["layers"] for entry in config["contracts"] if entry["type"] == "layers")
    assert "```text\n" + "\n".join(layers) + "\n```" in ARCHITECTURE


@pytest.mark.parametrize("page", [DOCS / name for name in NAMING_CODE], ids=lambda page: page.name)
def test_page_names_files_that_are_there(page: Path):
    app = ROOT / "presence"
    names = set(re.findall(r"`([\w/]+\.(?:py|js|html)|[\w/]+/)`", page.read_text()))
    assert names
    folders = (ROOT, app, app / "static" / "presence" / "js")
    missing = {name for name in names if not any((folder / name).exists() for folder in folders)}
    assert missing == set()
