"""Check that Django can load the templates of this app, or the site's versions of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template

from presence.doctor.findings import Findings, ok, problem

FOLDER = Path(__file__).parents[1] / "templates"


def examine() -> Findings:
    """Load each template of this app by its name, as a page does."""
    amiss = False
    for name in names():
        try:
            get_template(name)
        except TemplateDoesNotExist:
            amiss = True
            yield problem(
                "templates.load",
                f"No template engine finds {name}",
                'Set "APP_DIRS": True in TEMPLATES, or add '
                "django.template.loaders.app_directories.Loader to its loaders.",
            )
            break  # the others are not found for the same reason
        except (TemplateSyntaxError, UnicodeDecodeError, OSError) as error:
            amiss = True
            yield problem(
                "templates.load",
                f"{name} cannot be loaded ({type(error).__name__}: {error})",
                "Correct the site's own version of this template, or remove it.",
            )
    if not amiss:
        yield ok("templates.load", "Django loads the templates of this app")


def names() -> Iterator[str]:
    """Yield the names of the templates of this app."""
    for file in sorted(FOLDER.rglob("*")):
        if file.parent.name == "admin" and not apps.is_installed("django.contrib.admin"):
            continue
        if file.is_file() and file.suffix in (".html", ".txt"):
            yield file.relative_to(FOLDER).as_posix()
