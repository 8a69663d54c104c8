"""Members without a websocket: their pages keep them, and let go of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, expect

from presence import services
from presence.manager import PresenceManager
from presence.roster.people import ServerMember
from presence_devtools.servers import wait_until
from tests.browser.one_page_site import Guest, Stage, Tick, Visit, expect_ids, include, live

HEARTBEAT = "{% presence_heartbeat %}"
EVERY = 30.0  # PRESENCE_HEARTBEAT
TIMEOUT = 60.0  # PRESENCE_TIMEOUT


def visit_tracked(guest: Guest, channel: str, body: str = HEARTBEAT) -> Page:
    """A page whose view tracks the guest, and whose clock is the test's to turn."""
    page = guest.new_page(clock=True)
    page.goto(address(guest.stage, channel, body))
    return page


def address(stage: Stage, channel: str, body: str = HEARTBEAT) -> str:
    return f"{stage.url}/tracked/{channel.removeprefix('presence:')}/?{urlencode({'body': body})}"


def here(channel: str) -> list[ServerMember]:
    return services.tracker().load_members([channel], timeout=TIMEOUT)[channel].members


def answered(page: Page, **said: bool) -> Any:
    """Waits for the answer to a heartbeat that says so."""
    return page.expect_response(
        lambda response: (
            response.url.endswith("/presence/heartbeat/")
            and said.items() <= response.request.post_data_json.items()
        )
    )


def beats_within(page: Page, seconds: float) -> bool:
    """Turn the clock of the page on; return whether it sends a heartbeat."""
    with answered(page, back=False) as answer:
        page.clock.run_for(round(seconds * 1000))
    return answer.value.status == 200


def test_page_keeps_its_member_and_lets_go_when_it_closes(
    visit: Visit, tick: Tick, channel: str
) -> None:
    watcher = visit()
    widget = live(watcher.open(include(channel)), channel)
    ada = visit("ada")
    page = visit_tracked(ada, channel)
    (first,) = here(channel)
    assert (first.user, bool(first.source)) == (ada.id, True)
    tick()
    expect_ids(widget, [ada.id])
    expect(page.locator("presence-heartbeat")).to_be_hidden()
    for _ in range(3):
        (before,) = here(channel)
        assert beats_within(page, EVERY)
        (after,) = here(channel)
        assert (after.joined, after.source) == (first.joined, first.source)
        assert after.beat > before.beat

    page.close(run_before_unload=True)
    wait_until(lambda: here(channel) == [], "the page that was closed has left")
    tick()
    expect_ids(widget, [])


def test_page_that_slept_is_back_at_once(visit: Visit, tick: Tick, channel: str) -> None:
    ada = visit("ada")
    tick()
    page = visit_tracked(ada, channel)
    (first,) = here(channel)
    services.tracker().delete_member(channel, ada.id, source=first.source, timeout=TIMEOUT)
    awake = page.evaluate("Date.now() + 3_600_000")
    with answered(page, back=False):  # by a timer that is long due, or as it is looked at
        page.clock.pause_at(awake)
        page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    (again,) = here(channel)
    assert (again.user, again.source, again.meta) == (first.user, first.source, first.meta)


def test_member_with_two_pages_stays_until_the_last_closes(
    visit: Visit, tick: Tick, channel: str
) -> None:
    watcher = visit()
    widget = live(watcher.open(include(channel)), channel)
    ada = visit("ada")
    first, second = visit_tracked(ada, channel), visit_tracked(ada, channel)
    tick()
    expect_ids(widget, [ada.id])
    assert len(here(channel)) == 2
    first.close(run_before_unload=True)
    wait_until(lambda: len(here(channel)) == 1, "one of the pages has left")
    tick()
    expect_ids(widget, [ada.id])
    second.close(run_before_unload=True)
    wait_until(lambda: here(channel) == [], "the other has left")
    tick()
    expect_ids(widget, [])


def test_anonymous_visitor_is_kept_without_a_session(
    visit: Visit, tick: Tick, channel: str
) -> None:
    tick()
    guest = visit()
    page = visit_tracked(guest, channel)
    assert beats_within(page, EVERY)
    (member,) = here(channel)
    assert member.user.startswith("anon_")
    assert guest.context.cookies() == []
    page.close(run_before_unload=True)
    wait_until(lambda: here(channel) == [], "the page that was closed has left")


def test_page_goes_on_without_a_member_that_the_site_took_out(
    visit: Visit, tick: Tick, channel: str
) -> None:
    tick()
    ada = visit("ada")
    page = visit_tracked(ada, channel)
    (member,) = here(channel)
    key = channel.removeprefix("presence:")
    assert PresenceManager.leave_presence(key, ada.id, source=member.source) is not None
    assert beats_within(page, EVERY)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(10 * round(EVERY * 1000))
    assert asked == []
    assert here(channel) == []


def test_heartbeat_after_signing_out_elsewhere_stops(
    visit: Visit, tick: Tick, channel: str
) -> None:
    tick()
    ada = visit("ada")
    page = visit_tracked(ada, channel)
    ada.exit()
    ada.expected = "403"
    assert not beats_within(page, EVERY)
    wait_until(lambda: here(channel) == [], "the page that was refused has left")


def test_heartbeat_element_that_goes_leaves_and_one_that_moves_stays(
    visit: Visit, tick: Tick, channel: str
) -> None:
    tick()
    ada = visit("ada")
    page = visit_tracked(ada, channel)
    sent: list[object] = []
    page.on("request", lambda request: sent.append(request.post_data_json))
    page.evaluate(
        """() => {
            globalThis.heart = document.querySelector("presence-heartbeat");
            document.body.prepend(heart);
        }"""
    )
    page.clock.run_for(1000)
    assert len(here(channel)) == 1
    assert sent == []
    page.evaluate("() => heart.remove()")
    page.clock.run_for(1000)
    wait_until(lambda: here(channel) == [], "the element that was removed has left")
    with answered(page, back=True):
        page.evaluate("() => document.body.append(heart)")
    assert len(here(channel)) == 1


def test_heartbeat_element_that_is_morphed_swaps_its_members(
    visit: Visit, tick: Tick, channel: str
) -> None:
    tick()
    ada = visit("ada")
    page = visit_tracked(ada, channel)
    (old,) = here(channel)
    page.evaluate(
        """async () => {
            const answer = await fetch(location.href);
            const next = new DOMParser().parseFromString(await answer.text(), "text/html");
            const lifelines = next.querySelector("presence-heartbeat").dataset.presenceLifelines;
            document.querySelector("presence-heartbeat").dataset.presenceLifelines = lifelines;
        }"""
    )
    wait_until(
        lambda: old.source not in [member.source for member in here(channel)], "the old has left"
    )
    assert len(here(channel)) == 1
    assert beats_within(page, EVERY)


STRICT = """
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, sample }) => {
        globalThis.violations.push(`${violatedDirective} ${sample}`);
    });
"""


def test_heartbeat_violates_no_strict_policy(visit: Visit, tick: Tick, channel: str) -> None:
    tick()
    ada = visit("ada")
    ada.context.add_init_script(STRICT)
    page = visit_tracked(ada, channel)
    assert beats_within(page, EVERY)
    assert page.evaluate("globalThis.violations") == []


def test_page_in_the_bfcache_leaves_and_is_back(
    keeping: Browser, stage: Stage, tick: Tick, channel: str
) -> None:
    tick()
    ada = Guest(keeping.new_context(), stage).enter("ada")
    page = ada.new_page()
    page.add_init_script(
        "addEventListener('pageshow', ({ persisted }) => { globalThis.kept = persisted; });"
    )
    page.goto(address(stage, channel))
    (first,) = here(channel)
    page.goto(stage.page("elsewhere"))
    wait_until(lambda: here(channel) == [], "the page that was left has left")
    page.go_back(wait_until="commit")  # It is not loaded again.
    wait_until(lambda: here(channel) != [], "the page is back")
    (again,) = here(channel)
    assert (again.source, again.meta) == (first.source, first.meta)
    assert page.evaluate("globalThis.kept")
    assert ada.complaints == []
    ada.context.close()
