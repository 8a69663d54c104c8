"""Widgets that somebody else writes: morphs, streams, sites that leave parts out, failed loads."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from presence_devtools.servers import wait_until
from tests.browser.one_page_site import (
    Crowd,
    Stage,
    Tick,
    Visit,
    expect_ids,
    include,
    live,
    pass_time,
    roster,
)

TODAY = re.compile(r"^As of (\d+):(\d\d)\s[AP]M\.$")
FETCH = """async (url) => {
    const answer = await fetch(url ?? location.href);
    globalThis.fetched = new DOMParser().parseFromString(await answer.text(), "text/html");
}"""
# As those libraries do that reuse elements by their place.
MORPH = """() => {
    const morph = (from, to) => {
        const gone = [...from.attributes].filter(({ name }) => !to.hasAttribute(name));
        for (const { name } of gone) from.removeAttribute(name);
        for (const { name, value } of to.attributes) {
            if (from.getAttribute(name) !== value) from.setAttribute(name, value);
        }
        if (!to.children.length && from.textContent !== to.textContent) {
            from.textContent = to.textContent;
        }
        const [mine, theirs] = [[...from.children], [...to.children]];
        for (const child of mine.slice(theirs.length)) child.remove();
        theirs.forEach((child, n) => {
            if (mine[n]?.localName === child.localName) return morph(mine[n], child);
            mine[n]?.remove();
            from.insertBefore(child.cloneNode(true), mine[n + 1] ?? null);
        });
    };
    globalThis.widget = document.querySelector("presence-roster");
    morph(document.querySelector("main"), globalThis.fetched.querySelector("main"));
}"""
SHOWN = """(root) => [...root.querySelectorAll("li:not([data-presence-face])")].map((item) =>
    [item.dataset.presenceMember, item.querySelector("[data-presence-part=name]").textContent])"""


def expect_shown(widget: Locator, whos: list[str]) -> None:
    """Exactly these members, each with the right name, and nobody's ghost."""
    expect_ids(widget, whos)
    expect(widget.locator("li:not([data-presence-face])")).to_have_count(len(whos))
    assert [who for who, _ in widget.evaluate(SHOWN)] == whos
    assert all(name in (who, "Ada") for who, name in widget.evaluate(SHOWN))


@pytest.mark.parametrize("variant", ["list", "stack"])
def test_morph_to_an_older_version_changes_nothing(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage, variant: str
) -> None:
    crowd.fill(channel, ["u1", "u2"])
    tick()
    ada = visit("ada")
    page = ada.open(include(channel, variant))
    widget = live(page, channel)
    tick()
    expect_ids(widget, [ada.id, "u1", "u2"])
    page.evaluate(FETCH)
    crowd.leave("u1")
    crowd.fill(channel, ["u3"])
    tick()
    expect_shown(widget, [ada.id, "u2", "u3"])
    page.evaluate(MORPH)
    assert page.evaluate("document.querySelector('presence-roster') === globalThis.widget")
    live(page, channel)
    expect_shown(widget, [ada.id, "u2", "u3"])
    expect(widget).to_have_attribute("data-presence-total", "3")
    own = widget.locator(f'[data-presence-member="{ada.id}"]')
    expect(own).to_have_attribute("data-presence-self", "")
    expect(widget.locator("[data-presence-self]:not([data-presence-face])")).to_have_count(1)
    expect(own.locator("[data-presence-part=you]")).not_to_have_attribute("hidden", "")
    crowd.fill(channel, ["u4"])
    tick()
    expect_shown(widget, [ada.id, "u2", "u3", "u4"])
    assert stage.clients(channel) == 4


def test_morph_to_the_current_version_is_taken_over(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "u2", "u3"])
    tick()
    page = visit().open(include(channel))
    widget = live(page, channel)
    crowd.leave("u2")
    tick()
    page.evaluate(FETCH)
    page.evaluate(MORPH)
    live(page, channel)
    expect_shown(widget, ["u1", "u3"])
    crowd.fill(channel, ["u4"])
    tick()
    expect_shown(widget, ["u1", "u3", "u4"])


def test_open_list_stays_usable_through_a_morph(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "u2", "u3", "u4", "u5", "u6", "u7"])
    tick()
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    widget.get_by_role("button").click()
    expect(page.get_by_role("button", expanded=True)).to_have_count(1)
    page.evaluate(FETCH)
    page.evaluate(MORPH)
    expect(page.get_by_role("button", expanded=True)).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", expanded=False)).to_have_count(1)
    widget.get_by_role("button").click()
    expect(widget.locator("[data-presence-member=u7]")).to_be_visible()


def test_morph_to_another_room_follows_that_room(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    other = f"{channel}-other"
    crowd.fill(channel, ["u1", "u2"])
    crowd.fill(other, ["v1"])
    tick(channel, other)
    page = visit().open(include(channel))
    live(page, channel)
    page.evaluate(FETCH, stage.page(include(other)))
    page.evaluate(MORPH)
    expect_shown(live(page, other), ["v1"])
    wait_until(lambda: stage.clients(channel) == 2, "the room that was left is unsubscribed")
    crowd.fill(other, ["v2"])
    tick(other)
    expect_shown(live(page, other), ["v1", "v2"])


STREAM = """async (channel) => {
    const widget = document.querySelector("presence-roster");
    const html = widget.outerHTML.replace('state="live"', 'state="static"');
    const [start, middle] = [html.indexOf(">") + 1, html.indexOf("</li>") + 5];
    document.open();
    for (const part of [html.slice(0, start), html.slice(start, middle), html.slice(middle)]) {
        document.write(part);
        await new Promise((go) => setTimeout(go));
    }
    document.close();
}"""


def test_widget_still_being_parsed_waits_for_its_end(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1", "u2"])
    tick()
    page = visit().open(include(channel))
    live(page, channel)
    page.evaluate(STREAM, channel)
    expect_shown(live(page, channel), ["u1", "u2"])
    crowd.fill(channel, ["u3"])
    tick()
    expect_shown(live(page, channel), ["u1", "u2", "u3"])


@pytest.mark.parametrize("name", ["render.js", "roster.js"])
def test_module_that_fails_is_asked_for_again(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage, name: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    guest = visit()
    guest.expected = "Failed to load|not live"
    page = guest.new_page(clock=True)
    asked: list[str] = []

    def fail(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) < 3:
            route.abort()
        else:
            route.continue_()

    page.route(f"**/{name}", fail)
    with page.expect_request(f"**/{name}"):
        page.goto(stage.page(include(channel) + include(channel, "stack")))
    listed = roster(page, channel, "list")
    # Time stands still until both texts are seen: the module is asked for again ten seconds later.
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 2.6)
    expect(listed.get_by_role("status")).to_have_text("Not live.")
    age = listed.locator("[data-presence-part=status-age]")
    expect(age).to_have_text(TODAY)
    page.clock.resume()
    pass_time(page, 60)
    for variant in ("list", "stack"):
        widget = live(page, channel, variant)
        expect(widget.locator("[data-presence-part=status-text]")).to_be_empty()
    assert len(asked) == 3


def changed(page: Page, url: str, change: str) -> None:
    """Open a page and change its HTML before the scripts see it."""
    held: list[Route] = []
    page.route("**/roster.js", lambda route: held.append(route))
    with page.expect_request("**/roster.js"):
        page.goto(url)
    page.locator("presence-roster").evaluate(change)
    for route in held:
        route.continue_()
    page.unroute("**/roster.js")


WITHOUT = {
    "button": "root.querySelector('.presence-overflow').remove()",
    "panel": "root.querySelector('.presence-stack').outerHTML = "
    "root.querySelector('.presence-members').outerHTML",
    "summary": "root.querySelector('.presence-summary').remove()",
    "status": "root.querySelector('.presence-status').remove()",
    "announcement": "root.querySelector('[data-presence-part=announcement]').remove()",
    "news": "root.querySelectorAll('template[data-presence-part]').forEach((one) => one.remove())",
    "faces": "root.querySelector('.presence-faces').remove()",
    "face": "root.querySelector('[data-presence-template=face]').remove()",
    "empty": "root.querySelector('.presence-empty').remove()",
    "anonymous": "root.querySelectorAll('.presence-anonymous').forEach((one) => one.remove())",
}


@pytest.mark.parametrize("part", WITHOUT)
def test_widget_without_a_part_works(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage, part: str
) -> None:
    seven = ["u1", "u2", "u3", "u4", "u5", "u6", "u7"]
    crowd.fill(channel, seven)
    tick()
    guest = visit()
    page = guest.new_page(clock=True)
    url = stage.page(f'{{% presence_widget "{channel}" variant="stack" announce=True %}}')
    changed(page, url, f"(root) => {{ {WITHOUT[part]}; }}")
    widget = live(page, channel)
    crowd.leave("u1")
    crowd.fill(channel, ["u8"])
    tick()
    expect_ids(widget, [*seven[1:], "u8"])
    pass_time(page, 60)
    said = widget.locator("[data-presence-part=announcement]")
    expect(said).to_have_count(0 if part == "announcement" else 1)
    if part != "announcement":
        expect(said).to_have_text("" if part == "news" else "1 joined, 1 left")


FORMLESS = """(root) => {
    for (const words of root.querySelectorAll("[data-presence-part=anonymous-words]")) {
        const names = words.getAttributeNames().filter((name) => /-form/u.test(name));
        for (const name of names) words.removeAttribute(name);
        words.textContent = "passers-by";
    }
}"""
WITHOUT_MAIN = "(root) => root.querySelector(':scope > .presence-anonymous').remove()"


@pytest.mark.parametrize(
    ("change", "one", "two"),
    [
        (FORMLESS, "+ 1 passers-by", "+ 2 passers-by"),
        (WITHOUT_MAIN, "+ 1 anonymous visitor", "+ 2 anonymous visitors"),
    ],
)
def test_words_for_anonymous_visitors_of_the_site_are_kept(
    visit: Visit, tick: Tick, channel: str, stage: Stage, change: str, one: str, two: str
) -> None:
    guest = visit()
    page = guest.new_page()
    changed(page, stage.page(include(channel, "stack")), change)
    widget = live(page, channel)
    strangers = widget.locator(".presence-anonymous").last
    tick()
    expect(strangers).to_contain_text(re.compile(re.escape(one).replace(r"\ ", r"\s+")))
    live(visit().open(include(channel)), channel)
    tick()
    expect(strangers).to_contain_text(re.compile(re.escape(two).replace(r"\ ", r"\s+")))


def test_member_listed_without_a_name_is_marked_as_oneself_at_once(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    guest = visit()
    page = guest.new_page()
    own = "(root) => root.setAttribute('data-presence-self-id', 'anon_1')"
    changed(page, stage.page(include(channel)), own)
    widget = live(page, channel)
    crowd.join("anon_1", channel, name="Anonymous")
    crowd.join("anon_2", channel, name="Anonymous")
    tick()
    expect(widget.locator("[data-presence-member]")).to_have_count(2)
    expect(widget.get_by_text("(you)").and_(page.locator(":visible"))).to_have_count(1)
    expect(widget.locator("[data-presence-member=anon_1] .presence-you")).to_be_visible()


def test_age_counts_the_time_that_a_computer_slept(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    guest = visit()
    guest.expected = "Failed to load"
    page = guest.new_page(clock=True)
    guest.context.route("**/presence/tokens/", lambda route: route.abort())
    page.goto(stage.page(include(channel)))
    page.clock.run_for(3000)
    age = roster(page, channel).locator("[data-presence-part=status-age]")
    expect(age).to_have_text(TODAY)
    (hour, minute), before = TODAY.findall(age.inner_text())[0], page.evaluate("Date.now()")
    # One clock goes on, the other has stood still.
    page.evaluate(
        """() => {
            const now = Date.now.bind(Date);
            Date.now = () => now() + 3 * 3600_000;
        }"""
    )
    page.clock.run_for(11_000)
    assert page.evaluate("Date.now()") > before + 3 * 3600_000
    # The time did not go on: but for the date, where the sleep went over midnight.
    expect(age).to_have_text(re.compile(rf"^As of (.+, )?{hour}:{minute}\s[AP]M\.$"))
