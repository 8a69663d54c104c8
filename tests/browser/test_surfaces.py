"""Surfaces of all kinds: a cursor is over what it was pointed at, whatever the layout does."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from presence_devtools.servers import wait_until
from tests.browser.cursor_surface import NEAR, board, cursor, expect_at, point_at, shared
from tests.browser.one_page_site import PATIENCE, Guest, Stage, Visit

MARK = (
    '<div style="position: relative; {size}">'
    '<i class="mark" style="position: absolute; left: 40%; top: 30%; width: 1px; height: 1px"></i>'
    "</div>"
)
FILLED = MARK.format(size="width: 100%; height: 100%")
LARGE = MARK.format(size="width: 900px; height: 1200px")
SCROLLS = "overflow: auto; width: 400px; height: 300px"

LAYOUTS = {
    "plain": (FILLED, ""),
    "scaled": (FILLED, 'style="transform: scale(0.6, 0.8); border: 14px solid"'),
    "zoomed": (FILLED, 'style="zoom: 1.4; border: 7px solid"'),
    "bordered": (FILLED, 'style="border-width: 3px 17px 5px 40px; padding: 0"'),
    "scrolling": (LARGE, f'style="{SCROLLS}; border: 9px solid"'),
    "scrolling-from-the-right": (LARGE, f'dir="rtl" style="{SCROLLS}; border: 9px solid"'),
    "scrolling-scaled": (LARGE, f'style="{SCROLLS}; transform: scale(1.3)"'),
}

FOUND = """(mark) => {
    mark.scrollIntoView({ block: "center", inline: "center" });
    const { x, y } = mark.getBoundingClientRect();
    return [x, y];
}"""
BESIDE = """(surface, user) => {
    const at = (selector) => surface.querySelector(selector)?.getBoundingClientRect();
    const [mark, item] = [at(".mark"), at(`[data-presence-cursor="${user}"]`)];
    return item ? [item.x - mark.x, item.y - mark.y] : null;
}"""


@pytest.fixture
def channel(channel: str) -> str:
    """A cursor channel of the test's own."""
    return channel.replace("presence:", "cursors:")


def point_at_mark(surface: Locator) -> None:
    x, y = surface.locator(".mark").evaluate(FOUND)
    surface.page.mouse.move(x, y)


def expect_on_mark(surface: Locator, who: Guest | str) -> None:
    """Wait until somebody's cursor points at the mark."""
    user = who if isinstance(who, str) else who.id
    off = None
    for _ in range(PATIENCE // 20):
        off = surface.evaluate(BESIDE, user)
        if off and max(map(abs, off)) <= NEAR:
            return
        surface.page.wait_for_timeout(20)
    raise AssertionError(f"the cursor is {off} pixels from the mark")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cursor_is_over_what_is_pointed_at(visit: Visit, channel: str, layout: str) -> None:
    ada, bob = visit("ada", bypass_csp=True), visit("bob", bypass_csp=True)
    inside, more = LAYOUTS[layout]
    hers, his = (
        shared(guest.open(board(channel, inside=inside, more=more)), channel)
        for guest in (ada, bob)
    )
    for _ in range(2):
        point_at_mark(hers)
        expect_on_mark(his, ada)
        point_at_mark(his)
        expect_on_mark(hers, bob)
        his.evaluate("(box) => box.scrollTo(0, 0)")


@pytest.mark.parametrize("layout", ["scaled", "zoomed", "scrolling", "scrolling-from-the-right"])
def test_position_in_pixels_counts_from_the_content(
    visit: Visit, channel: str, layout: str
) -> None:
    ada, bob = visit("ada", bypass_csp=True), visit("bob", bypass_csp=True)
    inside, more = LAYOUTS[layout]
    text = board(channel, unit="px", inside=inside, more=more)
    hers, his = (shared(guest.open(text), channel) for guest in (ada, bob))
    point_at_mark(hers)
    expect_on_mark(his, ada)


def test_body_can_be_the_surface(visit: Visit, channel: str) -> None:
    ada, bob = visit("ada"), visit("bob")
    pages = [guest.open(board(channel)) for guest in (ada, bob)]
    for page in pages:
        shared(page, channel)
        page.evaluate("document.body.append(document.querySelector('presence-cursors'))")
        expect(page.locator("body > .presence-cursors-layer")).to_be_attached()
        expect(page.locator(".board .presence-cursors-layer")).to_have_count(0)
    hers, his = (page.locator("body") for page in pages)
    expect(his.locator("presence-cursors")).to_have_attribute("data-presence-state", "live")
    point_at(hers, 0.5, 0.5)
    point_at(hers, 0.3, 0.4)
    expect_at(his, ada, 0.3, 0.4)


def test_surface_counts_content_that_comes_later(visit: Visit, stage: Stage, channel: str) -> None:
    bob = visit("bob", bypass_csp=True)
    his = shared(
        bob.open(board(channel, inside="<p>Short</p>", more=f'style="{SCROLLS}"')), channel
    )
    stage.publish(channel, {"x": 0.5, "y": 0.5, "user": "bot"})
    expect_at(his, "bot", 0.5, 0.5)
    his.evaluate(
        """(box) => {
            const late = document.createElement("div");
            late.className = "late";
            late.style.height = "2000px";
            box.append(late);
        }"""
    )
    height: int = his.evaluate("(box) => box.scrollHeight")
    assert height > 2000
    wait_until(lambda: abs(layer(his)["height"] - height) < NEAR, "the layer grew")
    his.evaluate("(box) => box.querySelector('.late').remove()")
    wait_until(lambda: layer(his)["height"] <= 300, "the layer shrank")
    assert his.evaluate("(box) => box.scrollHeight <= box.clientHeight")


def layer(surface: Locator) -> dict[str, float]:
    found: dict[str, float] = surface.locator(".presence-cursors-layer").evaluate(
        "(box) => box.getBoundingClientRect().toJSON()"
    )
    return found


def test_layer_that_was_taken_away_is_put_back(visit: Visit, stage: Stage, channel: str) -> None:
    his = shared(visit("bob").open(board(channel)), channel)
    stage.publish(channel, {"x": 0.5, "y": 0.5, "user": "bot"})
    expect_at(his, "bot", 0.5, 0.5)
    for change in (
        "(box) => box.querySelector('.presence-cursors-layer').remove()",
        "(box) => box.lastElementChild.replaceWith(document.createElement('p'))",
    ):
        his.evaluate(change)
        expect(his.locator(".presence-cursors-layer")).to_have_count(1)
        expect_at(his, "bot", 0.5, 0.5)


def test_surface_morphed_to_another_channel_follows_it(
    visit: Visit, stage: Stage, channel: str
) -> None:
    other = f"{channel}-next"
    page = visit("bob").open(board(channel))
    his = shared(page, channel)
    stage.publish(channel, {"x": 0.5, "y": 0.5, "user": "bot"})
    expect(cursor(his, "bot")).to_be_attached()
    page.evaluate(
        """async (url) => {
            const text = await (await fetch(url)).text();
            const next = new DOMParser().parseFromString(text, "text/html");
            const [from, to] = [document, next].map((at) => at.querySelector("presence-cursors"));
            for (const { name, value } of to.attributes) from.setAttribute(name, value);
        }""",
        stage.page(board(other)),
    )
    his = shared(page, other)
    wait_until(lambda: stage.clients(channel) == 0, "the channel before was left")
    expect(cursor(his, "bot")).to_have_count(0)
    stage.publish(other, {"x": 0.25, "y": 0.5, "user": "next"})
    expect_at(his, "next", 0.25, 0.5)
    expect(page.locator(".presence-cursors-layer")).to_have_count(1)


def test_surfaces_of_one_channel_are_each_their_own(visit: Visit, channel: str) -> None:
    include = f'{{% include "presence/cursors.html" with channel="{channel}" %}}'
    text = (
        f'<div class="board" data-presence-cursors="{channel}">{include}</div>'
        f'<div class="board" data-presence-cursors="{channel}">{include}</div>'
    )
    ada, bob = visit("ada"), visit("bob")
    pages = [guest.open(text) for guest in (ada, bob)]
    for page in pages:
        expect(page.locator('presence-cursors[data-presence-state="live"]')).to_have_count(2)
        for surface in page.locator(".board").all():
            expect(surface.locator(".presence-cursors-layer")).to_have_count(1)
    for number in (0, 1, 0):
        point_at(pages[0].locator(".board").nth(number), 0.5, 0.2 + number / 10)
        for surface in pages[1].locator(".board").all():
            expect_at(surface, ada, 0.5, 0.2 + number / 10)


def test_surface_removed_before_it_began_never_begins(
    visit: Visit, stage: Stage, channel: str
) -> None:
    bob = visit("bob")
    held: list[Route] = []
    bob.context.route("**/js/cursor_state*.js", lambda route: held.append(route))
    page = bob.open(board(channel))
    element = page.locator("presence-cursors")
    expect(element).to_be_attached()
    wait_until(lambda: page.evaluate("1") == 1 and len(held) == 1, "the module was asked for")
    page.evaluate("globalThis.kept = document.querySelector('presence-cursors'); kept.remove()")
    held[0].continue_()
    page.evaluate("(url) => import(url)", held[0].request.url)
    assert page.locator(".presence-cursors-layer").count() == 0
    assert stage.clients(channel) == 0
    page.evaluate("document.querySelector('.board').append(globalThis.kept)")
    shared(page, channel)
    expect(page.locator(".presence-cursors-layer")).to_have_count(1)


def dispatch(surface: Locator, kind: str, x: float, y: float, **more: Any) -> None:
    """A pointer event at a fraction of the surface."""
    surface.evaluate(
        """(box, [kind, x, y, more]) => {
            const { left, top } = box.getBoundingClientRect();
            const clientX = left + box.clientLeft + x * box.clientWidth;
            const clientY = top + box.clientTop + y * box.clientHeight;
            const at = { clientX, clientY, bubbles: true, isPrimary: true, ...more };
            box.dispatchEvent(new PointerEvent(kind, at));
        }""",
        [kind, x, y, more],
    )


@pytest.mark.parametrize("kind", ["touch", "pen"])
def test_first_of_several_pointers_counts(visit: Visit, channel: str, kind: str) -> None:
    ada, bob = visit("ada"), visit("bob")
    hers, his = (shared(guest.open(board(channel)), channel) for guest in (ada, bob))
    first = {"pointerId": 7, "pointerType": kind}
    second = {"pointerId": 8, "pointerType": kind, "isPrimary": False}
    dispatch(hers, "pointerdown", 0.2, 0.2, **first)
    dispatch(hers, "pointerdown", 0.9, 0.9, **second)
    dispatch(hers, "pointermove", 0.8, 0.8, **second)
    expect_at(his, ada, 0.2, 0.2)
    for event in ("pointercancel", "pointerleave"):
        dispatch(hers, event, 0.8, 0.8, **second)
    dispatch(hers, "pointermove", 0.3, 0.3, **first)
    expect_at(his, ada, 0.3, 0.3)
    dispatch(hers, "pointercancel", 0.3, 0.3, **first)
    expect(cursor(his, ada)).to_have_count(0)
    dispatch(hers, "pointermove", 0.4, 0.4, **first)
    expect_at(his, ada, 0.4, 0.4)
    dispatch(hers, "pointerleave", 0.4, 0.4, **first)
    expect(cursor(his, ada)).to_have_count(0)


NAMES = {
    "long": "Xiomara Lindqvist",
    "endless": "x" * 10_000,
    "words": "A name of very many words indeed " * 20,
    "markup": "<b onclick='x'>Bobby</b><script>x</script>",
    "override": "\u202egnp.evil \u2066Ada\u2069",
    "arabic": "\u0639\u0627\u0626\u0634\u0629 " * 8,
}


@pytest.mark.parametrize("width", [200, 390, 1000])
def test_label_with_any_name_is_text_within_the_surface(
    visit: Visit, stage: Stage, channel: str, width: int
) -> None:
    bob = visit("bob", viewport={"width": width, "height": 600}, bypass_csp=True)
    his = shared(bob.open(board(channel, more='style="width: auto"')), channel)
    for kind, name in NAMES.items():
        for x, y in [(0, 0), (1, 1), (0.5, 0.5), (0.8, 0), (0.2, 1)]:
            at = {"x": x, "y": y, "user": kind, "meta": {"name": name}}
            stage.publish(channel, at)
            expect_at(his, kind, x, y)
            label = cursor(his, kind).locator("[data-presence-part=name]")
            assert label.evaluate(
                "({ tagName, childElementCount }) => [tagName, childElementCount]"
            ) == ["BDI", 0]
            assert label.text_content() == name
            assert outside(his, kind) <= 0.5, (kind, x, y)
        stage.publish(channel, {"gone": True, "user": kind})


def outside(surface: Locator, user: str) -> float:
    """Return by how many pixels the label of a cursor is cut off."""
    found: float = cursor(surface, user).evaluate(
        """(item) => {
            const [layer, label] = [item.parentElement, item.querySelector("bdi")]
                .map((element) => element.getBoundingClientRect());
            return Math.max(layer.left - label.left, label.right - layer.right,
                layer.top - label.top, label.bottom - layer.bottom);
        }"""
    )
    return found


def test_template_of_the_site_draws_cursors(visit: Visit, stage: Stage, channel: str) -> None:
    guest = visit("bob")
    page = guest.new_page()
    page.goto(stage.page(board(channel)) + "&engine=own")
    his = shared(page, channel)
    meta = {"name": "Ada Lovelace", "color": "#123456", "avatar": "/static/demo/logo.svg"}
    stage.publish(channel, {"x": 0.9, "y": 0.9, "user": "bot", "meta": meta})
    item = his.locator(".own-cursor[data-presence-cursor=bot]")
    expect(item).to_have_text("AL")
    expect(item.locator("img")).to_have_attribute("src", "/static/demo/logo.svg")
    assert item.evaluate("(item) => item.style.transform").startswith("translate(")


BOX = '<div class="target" style="width: 400px; height: 300px">x</div>'
SIZED = 'class="target" width="400" height="300"'
MARKED = 'data-presence-cursors="{channel}"'
INCLUDE = '{{% include "presence/cursors.html" with channel="{channel}" %}}'
FLAT = {
    "inline": f"<my-board>{BOX}{INCLUDE}</my-board>",
    "contents": f'<div style="display: contents">{BOX}{INCLUDE}</div>',
    "within-contents": '<p>up</p><my-a style="display: contents">'
    f"<canvas {SIZED} {MARKED}></canvas></my-a>{INCLUDE}",
    "canvas": f"<p>left <canvas {SIZED} {MARKED}></canvas></p>{INCLUDE}",
    "block-canvas": f'<canvas {SIZED} style="display: block; margin: 30px" {MARKED}></canvas>'
    f"{INCLUDE}",
    "svg": f"<svg {SIZED} {MARKED}></svg>{INCLUDE}",
    "cell": f"<table><tr><td>{BOX}{INCLUDE}</td></tr></table>",
    "table": f"<table {MARKED}><tr><td>{BOX}</td></tr></table>{INCLUDE}",
}
POINTED = """([x, y]) => {
    const { left, top } = document.querySelector(".target").getBoundingClientRect();
    return [left + x, top + y];
}"""
IS_NEAR = """([user, x, y]) => {
    const item = document.querySelector(`[data-presence-cursor="${user}"]`);
    if (!item?.getClientRects().length) return false;
    const [at, box] = [item, document.querySelector(".target")].map((one) => (
        one.getBoundingClientRect()));
    return Math.hypot(at.x - box.x - x, at.y - box.y - y) < 4;
}"""


def pair(visit: Visit, channel: str, body: str) -> tuple[Guest, tuple[Page, Page]]:
    """The guest who points, and the pages of both, live."""
    ada, bob = (visit(name, bypass_csp=True) for name in ("ada", "bob"))
    pages = ada.open(body.format(channel=channel)), bob.open(body.format(channel=channel))
    for page in pages:
        live = page.locator("presence-cursors[data-presence-state=live]")
        expect(live).to_be_attached()
    return ada, pages


def expect_seen(page: Page, who: Guest, x: float, y: float) -> None:
    """Wait until somebody's cursor is seen so many pixels from the target's corner."""
    page.wait_for_function(IS_NEAR, arg=[who.id, x, y], timeout=PATIENCE)


@pytest.mark.parametrize("kind", FLAT)
def test_surface_of_any_element_shows_cursor_where_it_points(
    visit: Visit, channel: str, kind: str
) -> None:
    ada, (hers, his) = pair(visit, channel, FLAT[kind])
    for x, y in [(100, 80), (300, 200)]:
        hers.mouse.move(*hers.evaluate(POINTED, [x, y]))
        expect_seen(his, ada, x, y)
    his.evaluate(
        "document.body.prepend(Object.assign(document.createElement('h1'), "
        "{ textContent: 'late', style: 'margin: 40px' }))"
    )
    hers.mouse.move(*hers.evaluate(POINTED, [200, 100]))
    expect_seen(his, ada, 200, 100)


def test_surface_in_shadow_root_shows_cursor_where_it_points(visit: Visit, channel: str) -> None:
    body = f'<template shadowrootmode="open">{BOX}{INCLUDE}</template>'
    ada, bob = (visit(name, bypass_csp=True) for name in ("ada", "bob"))
    pages = [
        guest.open(f"<my-host>{body}</my-host>".format(channel=channel)) for guest in (ada, bob)
    ]
    root = "document.querySelector('my-host').shadowRoot"
    for page in pages:
        expect(page.locator("presence-cursors[data-presence-state=live]")).to_be_attached()
    hers, his = pages
    at = hers.locator(".target").bounding_box()
    assert at
    hers.mouse.move(at["x"] + 100, at["y"] + 80)
    item = his.locator(f'[data-presence-cursor="{ada.id}"]')
    expect(item).to_be_visible()
    expect(his.locator(".presence-cursors-layer")).to_have_css("position", "absolute")
    assert his.evaluate(f"{root}.querySelector('.presence-cursors-layer') !== null")


CARD = (
    '<div class="target" style="width: 500px; height: 300px"><div id="card" draggable="true" '
    'style="width: 80px; height: 40px">card</div>' + INCLUDE + "</div>"
)


def test_cursor_of_a_drag_follows_it_and_stays_after_the_drop(visit: Visit, channel: str) -> None:
    ada, (hers, his) = pair(visit, channel, CARD)
    hers.evaluate(
        "document.querySelector('.target').addEventListener('dragover', (event) => {"
        "event.preventDefault(); event.stopPropagation(); })"
    )

    def move(x: float, y: float) -> None:
        hers.mouse.move(*hers.evaluate(POINTED, [x, y]))

    move(20, 20)
    expect_seen(his, ada, 20, 20)
    hers.mouse.down()
    for step in range(1, 12):
        move(20 + 25 * step, 20 + 15 * step)
    expect_seen(his, ada, 295, 185)
    hers.mouse.up()
    move(310, 200)
    expect_seen(his, ada, 310, 200)


def test_cursor_follows_pointer_whose_events_the_site_stops(visit: Visit, channel: str) -> None:
    ada, (hers, his) = pair(visit, channel, CARD)
    hers.evaluate(
        "document.querySelector('#card').addEventListener('pointermove', "
        "(event) => event.stopPropagation())"
    )
    hers.mouse.move(*hers.evaluate(POINTED, [30, 20]))
    expect_seen(his, ada, 30, 20)


def test_cursor_picture_that_fails_gives_way_to_initials_and_is_fetched_once(
    visit: Visit, stage: Stage, channel: str
) -> None:
    guest = visit("bob")
    page = guest.context.new_page()
    asked: list[str] = []

    def missing(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=404)

    page.route("**/missing.png", missing)
    page.goto(stage.page(board(channel)) + "&engine=own")
    his = shared(page, channel)
    for step in range(5):
        at = {"x": step / 10, "y": 0.5, "user": "bot"}
        stage.publish(channel, at | {"meta": {"name": "Ada King", "avatar": "/missing.png"}})
        expect(his.locator(".own-cursor")).to_have_text("AK")
        expect(his.locator(".own-cursor img")).to_have_count(0)
    assert len(asked) == 1
