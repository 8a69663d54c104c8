"""A widget after a refusal, after a sign-in, and back in the page: as the SDK has it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.one_page_site import (
    Crowd,
    Guest,
    Stage,
    Tick,
    Visit,
    expect_ids,
    ids,
    include,
    live,
    roster,
)

NOTE_EVENTS = """() => {
    globalThis.events = [];
    for (const name of ["join", "leave", "stale"]) {
        document.addEventListener(`presence:${name}`, ({ detail }) => {
            events.push([name, detail.state ?? detail.member.id]);
        });
    }
}"""

# As htmx does with hx-swap="outerHTML": the new one is in before the old one goes.
SWAP = """async () => {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const old = document.querySelector("presence-roster");
    old.before(page.querySelector("presence-roster"));
    old.remove();
}"""


def events(page: Page) -> list[Any]:
    found: list[Any] = page.evaluate("events")
    return found


def sign_out_and_fetch(guest: Guest, stage: Stage, channel: str) -> None:
    """Sign out in another tab, and have the page fetch a snapshot as who it no longer is."""
    guest.expected = "not live|403"
    guest.exit()
    reload = {"type": "presence.reload", "epoch": "another", "version": 1, "within": 0}
    stage.publish(channel, reload)
    widget = roster(guest.context.pages[0], channel)
    expect(widget).to_have_attribute("data-presence-state", "static")


def test_refused_user_is_not_shown_to_others_and_sees_nothing_new(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, stage: Stage
) -> None:
    crowd.fill(channel, ["u1"])
    ada = visit("ada")
    page = ada.open(include(channel))
    widget = live(page, channel)
    tick()
    expect_ids(widget, [ada.id, "u1"])
    page.evaluate(NOTE_EVENTS)
    sign_out_and_fetch(ada, stage, channel)
    witness = live(visit().open(include(channel)), channel)
    tick()
    expect_ids(witness, ["u1"])
    crowd.fill(channel, ["u2"])
    tick()
    expect_ids(witness, ["u1", "u2"])
    assert ids(widget) == [ada.id, "u1"]
    assert events(page) == [["stale", "stale"], ["stale", "static"]]


def test_connection_that_ends_for_good_warns_with_that_reason_alone(
    visit: Visit, channel: str, stage: Stage
) -> None:
    ada = visit("ada")
    ada.expected = "not live"
    page = ada.open(include(channel))
    widget = live(page, channel)
    expect_ids(widget, [ada.id])
    page.evaluate(NOTE_EVENTS)
    stage._ask("disconnect", user=ada.id, disconnect={"code": 3500, "reason": "no more"})
    expect(widget).to_have_attribute("data-presence-state", "static")
    told = events(page)
    assert told[-1] == ["stale", "static"]
    assert {name for name, _ in told} == {"stale"}
    assert ids(widget) == [ada.id]


def test_fragment_with_a_new_grant_is_live_after_a_refusal(
    visit: Visit, channel: str, stage: Stage
) -> None:
    ada = visit("ada")
    page = ada.open(include(channel))
    live(page, channel)
    sign_out_and_fetch(ada, stage, channel)
    ada.enter("ada")
    page.evaluate(SWAP)
    expect_ids(live(page, channel), [ada.id])


def test_fragment_for_a_user_who_has_signed_in_makes_them_present(
    visit: Visit, channel: str
) -> None:
    guest = visit()
    page = guest.open(include(channel))
    live(page, channel)
    guest.enter("ada")
    page.evaluate(SWAP)
    expect_ids(live(page, channel), [guest.id])
    expect(roster(page, channel).locator("[data-presence-self]")).to_have_count(1)
    guest.enter("grace")
    page.evaluate(SWAP)
    expect_ids(live(page, channel), [guest.id])


def test_widget_that_is_put_back_is_not_live_while_it_cannot_be(visit: Visit, channel: str) -> None:
    guest = visit("ada")
    guest.expected = "Failed to load"
    page = guest.open(include(channel))
    widget = live(page, channel)
    page.evaluate("globalThis.kept = document.querySelector('presence-roster'); kept.remove()")
    page.route("**/tokens/*", lambda route: route.abort())
    page.evaluate("document.body.append(kept)")
    expect(widget).to_have_attribute("data-presence-state", "static")
    expect(widget.locator("[data-presence-part=status]")).to_contain_text("Not live.")
    page.unroute("**/tokens/*")
    live(page, channel)
