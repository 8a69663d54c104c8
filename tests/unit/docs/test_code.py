"""Every code block of the documentation runs as written, or is marked as an extract.

A block that cannot run by itself has `<!-- extract -->` on the line above its fence: it needs the
reader's own models, or shows a part of a file. Python blocks that begin with the name of their file
are one site together, which a test of their page runs.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import get_commands
from django.template import engines
from django.test import RequestFactory

from presence.testing import FakePresence

ROOT = Path(__file__).parents[3]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
FENCE = re.compile(
    r"^(?P<mark><!-- extract -->\n)?(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$",
    re.M | re.S,
)
SITES = {"members.md": "docs/test_members_page", "testing.md": "testing/test_site"}
"""Pages whose Python blocks are the files of one site, and the test that runs it."""
MAX_EXTRACTS = 4

BROWSER = """
globalThis.document = {
  addEventListener: () => {},
  querySelector: () => ({ dataset: { presence: "data:text/javascript," + encodeURIComponent(`
    const room = { members: [], on: () => () => {} };
    export const presence = { subscribe: async () => room, useConnection() {} };
  `) } }),
};
"""


@dataclass(frozen=True)
class Block:
    """Fenced block of a page, with its first line."""

    page: str
    line: int
    language: str
    code: str
    extract: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.M)
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(Block(path.name, line, match["language"], code, bool(match["mark"])))
    return found


BLOCKS = [block for path in PAGES for block in blocks_of(path)]


def is_of_a_site(block: Block) -> bool:
    return block.page in SITES and bool(re.match(r"# [\w/]+\.py\n", block.code))


def run_python(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_of_a_site(block):
        compile(block.code, str(block), "exec")
        return
    for other in BLOCKS:
        name = re.match(r"# ([\w/]+)\.py\n", other.code)
        if name and other.page == block.page and other.line < block.line:
            provide(name[1].replace("/", "."), other.code, monkeypatch)
    provide("documents.models", "from project.documents.models import Document", monkeypatch)
    registered = dict(admin.site._registry)
    admin.site._registry.clear()
    try:
        with FakePresence():
            exec(compile(block.code, str(block), "exec"), {"__name__": "docs"})
    finally:
        admin.site._registry.clear()
        admin.site._registry.update(registered)


def provide(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the code importable as the module of that name."""
    package, _, _ = name.rpartition(".")
    made = ModuleType(name)
    exec(compile(code, name, "exec"), made.__dict__)
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setitem(sys.modules, name, made)


def run_template(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    request = RequestFactory().get("/")
    request.user = User(pk=7, username="ada")
    source = "{% load presence_tags static %}" + block.code
    assert engines["django"].from_string(source).render({"author": request.user}, request)


def run_javascript(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    command = [node, "--input-type=module", "--eval", BROWSER + block.code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def run_json(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    json.loads(block.code)


def check_commands(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that the shell parses the commands, and that those of this project exist."""
    lines = [re.sub(r"^\$ ", "", line) for line in block.code.splitlines()]
    subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, check=True, timeout=60)
    known = {*get_commands(), "run_huey"}  # the last is there where huey is installed as an app
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for line in lines:
        for command in re.findall(r"manage\.py (\w+)", line):
            assert command in known, command
        for target in re.findall(r"^make ([\w-]+)", line):
            assert target in targets, target


RUN: dict[str, Callable[[Block, pytest.MonkeyPatch], None]] = {
    "python": run_python,
    "django": run_template,
    "html": run_template,
    "js": run_javascript,
    "json": run_json,
    "console": check_commands,
    "text": lambda block, monkeypatch: None,
}


@pytest.fixture(autouse=True)
def memory(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PRESENCE_BACKEND = "memory"
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.django_db
@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.extract], ids=str)
def test_docs_block_runs_as_written(block: Block, monkeypatch: pytest.MonkeyPatch):
    assert block.language in RUN, "name the language of the block: one of " + ", ".join(RUN)
    assert block.language in ("text", "console") or "…" not in re.sub(r"#.*|//.*", "", block.code)
    RUN[block.language](block, monkeypatch)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.extract], ids=str)
def test_docs_extract_parses(block: Block):
    if block.language == "python":
        ast.parse(block.code)


def test_docs_extracts_stay_below_the_limit():
    assert sum(block.extract for block in BLOCKS) <= MAX_EXTRACTS


@pytest.mark.parametrize(("page", "module"), SITES.items())
def test_docs_site_of_a_page_has_a_test(page: str, module: str):
    assert (ROOT / "tests" / "unit" / f"{module}.py").exists()
    assert any(is_of_a_site(block) for block in BLOCKS if block.page == page)


def test_docs_parser_finds_every_code_fence():
    for path in PAGES:
        fences = len(re.findall(r"^ *```", path.read_text(encoding="utf-8"), re.M))
        assert fences == 2 * len(blocks_of(path)), path.name
