"""Pages that the roster lacks, on a stage whose looks are the test's to run."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from presence import services
from presence.backends.base import LookState, Writes
from presence_devtools.servers import wait_until
from tests.browser.one_page_site import Crowd, Stage, Tick, Visit, include, live, roster

CHECK = "**/presence/check/"
USE_CONNECTION = """async ([url, token]) => {
    const { presence } = await import("/static/presence/js/widget.js");
    globalThis.own = new Centrifuge(url, { token });
    own.connect();
    presence.useConnection(own);
}"""

COPY = """async () => {
    const widget = document.querySelector("presence-roster");
    const [parent, copy] = [widget.parentNode, widget.cloneNode(true)];
    widget.remove();
    await new Promise((resolve) => { setTimeout(resolve); });
    parent.append(copy);
}"""


def counted(page: Page) -> list[str]:
    """Return the bodies of the checks that the page sends from now on."""
    found: list[str] = []

    def note(path: str, body: str | None) -> None:
        if path.endswith("/presence/check/"):
            found.append(body or "")

    page.on("request", lambda request: note(request.url, request.post_data))
    return found


def due() -> list[str]:
    """Return the channels that the next look would poll."""
    store = services.store()
    look = store.begin_look("test", lease=5.0, limit=1000)
    assert look is not None
    store.write(Writes(look=LookState("test", rest=0.0)))
    return list(look.due)


def test_page_that_the_roster_lacks_sends_one_check(
    visit: Visit, stage: Stage, tick: Tick, channel: str
) -> None:
    tick()
    ada = visit("ada")
    page = ada.new_page()
    sent = counted(page)
    with page.expect_response(CHECK) as response:
        page.goto(stage.page(include(channel)))
        widget = live(page, channel)
    assert response.value.status == 204
    assert channel in due()
    tick()
    mine = widget.locator(f'[data-presence-member="{ada.id}"]')
    expect(mine).to_be_visible()
    expect(mine).not_to_have_attribute("data-presence-provisional", "")
    page.wait_for_timeout(3000)
    assert len(sent) == 1


def test_copy_of_a_widget_lacks_the_member_who_was_ahead_of_the_roster(
    visit: Visit, crowd: Crowd, stage: Stage, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    ada = visit("ada")
    page = ada.new_page()
    with page.expect_response(CHECK):
        page.goto(stage.page(include(channel)))
    ahead = roster(page, channel).locator("[data-presence-provisional]")
    expect(ahead).to_have_attribute("data-presence-member", ada.id)
    with page.expect_response(CHECK):
        page.evaluate(COPY)
    expect(ahead).to_have_attribute("data-presence-member", ada.id)
    expect(roster(page, channel)).to_have_attribute("data-presence-total", "2")


def test_page_on_a_connection_of_the_site_sends_a_check(
    visit: Visit, crowd: Crowd, stage: Stage, tick: Tick, channel: str
) -> None:
    tick()
    ada = visit("ada")
    page = ada.new_page()
    page.goto(stage.page(include(channel)))
    live(page, channel)
    page.evaluate(USE_CONNECTION, [stage.centrifugo.ws_url, crowd.token(ada.id)])
    page.wait_for_function("(channel) => own.getSubscription(channel) !== null", arg=channel)
    sent = counted(page)
    with page.expect_response(CHECK) as response:
        live(page, channel)
    assert response.value.status == 204
    page.wait_for_timeout(3000)
    assert len(sent) == 1


def test_page_that_the_roster_has_in_time_sends_no_check(
    visit: Visit, stage: Stage, tick: Tick, channel: str
) -> None:
    tick()
    page = visit("ada").new_page()
    sent = counted(page)
    page.goto(stage.page(include(channel)))
    live(page, channel)
    tick()
    page.wait_for_timeout(3000)
    assert sent == []


def test_pages_that_join_as_usual_send_no_check(visit: Visit, stage: Stage, tick: Tick) -> None:
    """Looks come when they should, however busy the machine is that runs the test."""
    tick()
    sent: list[list[str]] = []
    pages: list[Page] = []

    def join(page: Page, room: str) -> None:
        page.goto(stage.page(include(room)))
        live(page, room)
        wait_until(lambda: services.sync().look() is not None, "a look")

    for who in ("ada", "grace", "alan"):
        guest = visit(who)
        for room in ("presence:usual", "presence:quiet"):
            pages.append(guest.new_page())
            sent.append(counted(pages[-1]))
            join(pages[-1], room)
    join(pages[0], "presence:usual")  # Somebody who is there already comes again.
    pages[0].wait_for_timeout(3000)
    assert sent == [[] for _ in pages]


def test_page_of_a_visitor_who_is_counted_sends_no_check(
    visit: Visit, stage: Stage, tick: Tick, channel: str
) -> None:
    tick()
    page = visit().new_page()
    sent = counted(page)
    page.goto(stage.page(include(channel)))
    live(page, channel)
    page.wait_for_timeout(3000)
    assert sent == []


def test_page_with_a_feed_of_its_own_sends_no_check(
    visit: Visit, stage: Stage, channel: str
) -> None:
    room = channel.replace("presence:", "chat:")
    page = visit("ada").new_page()
    sent = counted(page)
    page.goto(stage.page(include(room)))
    live(page, room)
    page.wait_for_timeout(3000)
    assert sent == []
