"""Pages that hear no pulse, as the worker has stopped, and those that hear it again."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, expect

from presence.roster.channel_names import PULSE
from tests.browser.conftest import Site, Visitor
from tests.browser.one_page_site import Crowd, Guest, Stage, Tick, Visit, include, live
from tests.browser.test_checks import USE_CONNECTION
from tests.browser.test_swaps import changed

INTERVAL = 2
ENVIRONMENT = {"PRESENCE_INTERVAL": str(INTERVAL)}
SILENCE = 2.5  # seconds, after a pulse of the stage
NOTE = """(widget) => {
    globalThis.said = [];
    globalThis.stale = [];
    globalThis.states = [];
    const status = widget.querySelector("[data-presence-part=status-text]");
    const note = () => globalThis.said.push(status.textContent);
    new MutationObserver(note).observe(status, { childList: true });
    const enter = () => {
        const { presenceState } = widget.dataset;
        const { states } = globalThis;
        if (presenceState !== (states.at(-1) ?? "live")) states.push(presenceState);
    };
    new MutationObserver(enter).observe(widget, { attributeFilter: ["data-presence-state"] });
    widget.addEventListener("presence:stale", ({ detail }) => globalThis.stale.push(detail));
}"""
TURN = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
}"""
# The time `seconds` ago, as a page in English shows it today.
AGO = """(seconds) =>
  new Date(Date.now() - 1000 * seconds).toLocaleTimeString('en', { timeStyle: 'short' })"""


def status(widget: Locator) -> Locator:
    return widget.locator("[data-presence-part=status]")


def expect_stale(widget: Locator, *, seconds: float) -> None:
    """Wait until the widget says that it shows what was true so many seconds ago."""
    expect(widget).to_have_attribute("data-presence-state", "stale")
    around = [widget.page.evaluate(AGO, seconds + slip) for slip in (3, 0, -3)]
    times = "|".join(re.sub(r"\s", r"\\s", time) for time in around)
    expect(status(widget)).to_have_text(re.compile(rf"^Not live\. As of ({times})\.$"))


def expect_live(widget: Locator) -> None:
    expect(widget).to_have_attribute("data-presence-state", "live")
    expect(status(widget)).to_have_text("")


@pytest.fixture
def pulse(stage: Stage) -> Callable[[], None]:
    """Publish a pulse of ticks that come each second."""
    return lambda: stage.publish(PULSE, {"type": "presence.tick", "every": 1})


Pulse = Callable[[], None]


def test_page_whose_worker_stops_is_stale_with_the_time_and_live_when_it_runs(
    site: Site, visitor: Callable[..., Visitor]
) -> None:
    ada = visitor()
    ada.sign_in("ada")
    page = ada.context.new_page()
    with page.expect_websocket() as opened:
        page.goto(site.room("worker"))
    opened.value.wait_for_event("framereceived", lambda frame: '"every"' in str(frame))
    widget = live(page, "presence:room:worker")
    widget.evaluate(NOTE)
    page.wait_for_timeout(1000 * (2.5 * INTERVAL + 1))
    assert page.evaluate("globalThis.states") == [], "pulses come"
    site.worker.stop()
    try:
        expect_stale(widget, seconds=2.5 * INTERVAL)
        (stale,) = page.evaluate("globalThis.stale")
        assert stale["age"] == pytest.approx(2.5 * INTERVAL, abs=0.5)
        expect(widget.locator("[data-presence-member]")).to_have_count(1)
    finally:
        site.worker.start()
    expect_live(widget)
    assert page.evaluate("globalThis.said") == ["Not live.", ""], "screen readers read it once"
    assert page.evaluate("globalThis.states") == ["stale", "live"]


@pytest.mark.parametrize("connection", ["own", "site"])
@pytest.mark.parametrize("who", ["ada", ""], ids=["signed in", "anonymous"])
def test_page_without_a_pulse_is_stale_and_live_at_the_next(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, pulse: Pulse, connection: str, who: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    guest = visit(who)
    page = guest.open(include(channel))
    widget = live(page, channel)
    if connection == "site":
        token = crowd.token(guest.id)
        page.evaluate(USE_CONNECTION, [guest.stage.centrifugo.ws_url, token])
        ready = "(pulse) => own.getSubscription(pulse)?.state === 'subscribed'"
        page.wait_for_function(ready, arg=PULSE)
        live(page, channel)
    pulse()
    expect_stale(widget, seconds=SILENCE)
    pulse()
    expect_live(widget)
    expect_stale(widget, seconds=SILENCE)
    pulse()
    expect_live(widget)


def test_time_shown_stays_right_over_midnight_and_when_the_clock_is_set(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, pulse: Pulse
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    page = visit().new_page()
    page.add_init_script(
        """globalThis.ahead = 0;
        const RealDate = Date;
        const noon = new RealDate(2026, 10, 28, 12).getTime() - RealDate.now();
        globalThis.Date = class extends RealDate {
            static now() { return RealDate.now() + noon + globalThis.ahead; }
            constructor(...given) { super(...(given.length ? given : [Date.now()])); }
        };"""
    )
    page.goto(visit().stage.page(include(channel)))
    widget = live(page, channel)
    pulse()
    expect(status(widget)).to_have_text(re.compile(r"^Not live\. As of 12:0\d\sPM\.$"))
    # Twelve hours of sleep: the page counts them.
    page.evaluate("globalThis.ahead = 12 * 3_600_000")
    expect(status(widget)).to_have_text(re.compile(r"As of Nov 28, 2026, 12:0\d\sPM\.$"))


def test_page_in_the_background_decides_when_it_is_shown(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str, pulse: Pulse
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    page = visit().open(include(channel))
    widget = live(page, channel)
    widget.evaluate(NOTE)
    page.evaluate(TURN, True)
    pulse()
    page.wait_for_timeout(1000 * (SILENCE + 1))
    assert page.evaluate("globalThis.states") == [], "it has not noticed"
    pulse()
    page.evaluate(TURN, False)
    page.evaluate(TURN, True)
    page.wait_for_timeout(1000 * (SILENCE + 1))
    page.evaluate(TURN, False)
    pulse()
    page.wait_for_timeout(1000)
    assert page.evaluate("globalThis.states") == [], "no flash of stale"
    page.evaluate(TURN, True)
    page.wait_for_timeout(1000 * (SILENCE + 1))
    page.evaluate(TURN, False)
    expect_stale(widget, seconds=SILENCE + 4)
    assert page.evaluate("globalThis.states") == ["stale"]


def test_page_that_the_browser_kept_is_live_without_a_word_and_hears_the_pulse(
    keeping: Browser, stage: Stage, crowd: Crowd, tick: Tick, channel: str, pulse: Pulse
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    guest = Guest(keeping.new_context(), stage)
    page = guest.open(include(channel))
    widget = live(page, channel)
    pulse()
    widget.evaluate(NOTE)
    page.goto(stage.page("elsewhere"))
    page.wait_for_timeout(1000 * (SILENCE + 1))
    page.go_back(wait_until="commit")  # It is not loaded again.
    expect_live(widget)
    assert page.evaluate("globalThis.said") == [], "it was connected again in time"
    pulse()
    expect_stale(widget, seconds=SILENCE)
    assert guest.complaints == []
    guest.context.close()


def test_page_without_worker_since_long_is_stale_soon_after_it_is_opened(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    guest = visit()
    page = guest.new_page()
    old = """(root) => {
        root.setAttribute("data-presence-age", "10800");
        root.replaceWith(root.cloneNode(true));  // It has read the other one.
    }"""
    changed(page, guest.stage.page(include(channel)), old)
    widget = live(page, channel)
    expect(widget).to_have_attribute("data-presence-state", "stale")
    three_hours = page.evaluate(AGO, 10_800)
    expect(status(widget)).to_contain_text(re.sub(r":\d+\s\w+$", ":", three_hours))
