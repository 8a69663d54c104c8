"""The demo's documents: seen from class-based and async views, in the list and in the admin."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from presence_devtools import servers
from tests.browser.conftest import Site, Visitor
from tests.browser.one_page_site import overflowing
from tests.browser.test_accessible import violations

MakeVisitor = Callable[..., Visitor]

STAFF = """
from django.contrib.auth.models import User
user, _ = User.objects.get_or_create(username="alan")
user.is_staff = user.is_superuser = True
user.save()
"""


def members(page: Page) -> Locator:
    return page.locator("presence-roster [data-presence-member]")


def row(page: Page, title: str) -> Locator:
    return page.locator(".documents li", has_text=title)


@pytest.mark.parametrize("path", ["documents/1/", "reading-room/"])
def test_document_shows_two_people_to_each_other(
    site: Site, visitor: MakeVisitor, path: str
) -> None:
    ada, alan = visitor(), visitor()
    first = ada.open(f"{site.url}/{path}", who="ada")
    second = alan.open(f"{site.url}/{path}", who="alan")
    for page in (first, second):
        expect(members(page).filter(has_text="Ada Lovelace")).to_be_visible()
        expect(members(page).filter(has_text="Alan Turing")).to_be_visible()
    expect(second.locator(".made")).to_contain_text("Ada Lovelace")
    second.close(run_before_unload=True)
    expect(members(first).filter(has_text="Alan Turing")).to_have_count(0)
    assert ada.complaints == alan.complaints == []


@pytest.mark.parametrize("path", ["documents/2/", "reading-room/"])
def test_document_shows_a_member_without_a_websocket(
    site: Site, visitor: MakeVisitor, path: str
) -> None:
    page = visitor().open(f"{site.url}/{path}", who="ada")
    expect(members(page).filter(has_text="Ada Lovelace")).to_be_visible()
    katherine = visitor(java_script=False)
    katherine.open(f"{site.url}/{path}", who="katherine")
    expect(members(page).filter(has_text="Katherine Johnson")).to_be_visible()


def test_list_of_documents_shows_the_members_of_each(site: Site, visitor: MakeVisitor) -> None:
    for who in ("ada", "alan", "katherine"):
        visitor(java_script=False).open(f"{site.url}/documents/3/", who=who)
    visitor(java_script=False).open(f"{site.url}/documents/6/", who="edsger")
    page = visitor().open(f"{site.url}/documents/")
    expect(row(page, "Moth").locator(".count")).to_have_text("3 here")
    expect(row(page, "Moth").locator(".who")).to_contain_text("Ada Lovelace, Alan Turing, …")
    expect(row(page, "Trajectory").locator(".count")).to_have_text("0 here")
    page.get_by_role("navigation", name="Pages of the list").get_by_text("2").click()
    expect(row(page, "against one statement").locator(".count")).to_have_text("1 here")
    row(page, "against one statement").get_by_role("link").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("A case against one statement")


@pytest.fixture
def two_admins(site: Site, visitor: MakeVisitor) -> Callable[..., list[Visitor]]:
    """Grace, who runs the site, and Alan, who does so for these tests."""

    def make() -> list[Visitor]:
        grace, alan = visitor(), visitor()
        grace.open(site.url, who="grace")
        alan.open(site.url, who="alan")  # Signing in makes the user anew.
        command = servers.manage("shell", "-v", "0", "-c", STAFF)
        subprocess.run(command, env=site.environment, check=True, timeout=60)
        return [grace, alan]

    return make


def test_admin_shows_the_other_editor_live(
    site: Site, two_admins: Callable[[], list[Visitor]]
) -> None:
    grace, alan = two_admins()
    url = f"{site.url}/admin/documents/document/4/change/"
    page = grace.open(url)
    banner = page.get_by_role("complementary", name="Who is here")
    expect(banner.locator("[data-presence-member]")).to_have_text(["GH Grace Hopper (you)"])
    field = page.get_by_label("Title:")
    alone, place = _background(banner), field.bounding_box()
    other = alan.open(url)
    expect(banner.locator("[data-presence-member]")).to_have_count(2)
    expect(banner.get_by_text("Alan Turing", exact=True)).to_be_visible()
    expect(banner).not_to_have_css("background-color", alone)
    assert field.bounding_box() == place
    listed = grace.open(f"{site.url}/admin/documents/document/")
    cell = listed.get_by_role("row", name="Trajectory").locator(".field-here_now")
    expect(cell).to_have_text("Grace Hopper, Alan Turing")
    other.close(run_before_unload=True)
    expect(banner.locator("[data-presence-member]")).to_have_count(1)
    expect(banner).to_have_css("background-color", alone)
    assert grace.complaints == alan.complaints == []


def _background(banner: Locator) -> str:
    return str(banner.evaluate("(element) => getComputedStyle(element).backgroundColor"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_documents_pass_axe(
    site: Site, two_admins: Callable[[], list[Visitor]], chromium: Browser, theme: Any
) -> None:
    grace, alan = two_admins()
    looks = chromium.new_context(
        storage_state=grace.context.storage_state(),
        color_scheme=theme,
        bypass_csp=True,
        reduced_motion="reduce",
    )
    page = looks.new_page()
    for path in ("documents/5/", "documents/", "admin/documents/document/5/change/"):
        alan.open(f"{site.url}/{path}")
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(f"{site.url}/{path}")
        if path != "documents/":
            expect(page.locator("presence-roster")).to_have_attribute("data-presence-state", "live")
            expect(members(page)).to_have_count(2)
        assert overflowing(page) == []
        page.set_viewport_size({"width": 1100, "height": 800})
        found = violations(page)
        # The rest of the admin is Django's.
        assert [message for message in found if "presence" in message or "admin" not in path] == []
    looks.close()
