"""The JSON files of the repository that people read and copy from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
FILES = sorted([*ROOT.glob("*.json"), *ROOT.glob("tests/fixtures/**/*.json")])


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys)), f"a key twice among {keys}"
    return dict(pairs)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_json_file_repeats_no_key(path: Path):
    json.loads(path.read_text(), object_pairs_hook=unique)


def test_json_files_include_centrifugo_json():
    assert ROOT / "centrifugo.json" in FILES
