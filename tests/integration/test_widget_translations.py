"""Plural forms: scripts choose among the samples in the page as Django would."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape

import pytest
from django.template.loader import render_to_string
from django.utils import translation

from presence_devtools.servers import ROOT
from tests.contract.clients import node

RENDER_JS = ROOT / "presence" / "static" / "presence" / "js" / "render.js"
CHOOSE = """
import { readFileSync } from "node:fs";
const { forms, numbers, language } = JSON.parse(readFileSync(0, "utf8"));
const { pluralForm } = await import(process.argv[1]);
console.log(JSON.stringify(numbers.map((n) => pluralForm(forms, n, language))));
"""
NUMBERS = [*range(202), 1000, 1003, 1100, 10_000]
PART = re.compile(r'<template data-presence-part="([\w-]+)"([^>]*)>')
FORM = re.compile(r'data-presence-form(\d+)="([^"]*)"')


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ar"])
@pytest.mark.parametrize("word", ["joined", "left"])
def test_plural_form_in_scripts_agrees_with_django(language: str, word: str):
    with translation.override(language):
        parts = dict(PART.findall(render_to_string("presence/_announcement.html")))
        wanted = [translation.ngettext(f"{{n}} {word}", f"{{n}} {word}", n) for n in NUMBERS]
    forms = [(int(n), unescape(text)) for n, text in FORM.findall(parts[f"{word}-words"])]
    asked = {"forms": forms, "numbers": NUMBERS, "language": language}
    chosen = subprocess.run(
        [node(), "--input-type=module", "--eval", CHOOSE, RENDER_JS.as_uri()],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(chosen.stdout) == wanted
