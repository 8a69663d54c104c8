"""Attacks that need a browser: the page of another site, and hostile members that scripts draw."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.one_page_site import Crowd, Stage, Tick, Visit, include, live, roster
from tests.browser.test_drawing import member

EVIL = "http://evil.example/"
ATTACK = """async ([tokens, websocket, grant]) => {
    const ask = async (mode) => {
        const body = JSON.stringify({ grants: [grant] });
        const options = { method: "POST", body, mode, credentials: "include" };
        return fetch(tokens, options).then((answer) => answer.text()).catch(() => "");
    };
    const connect = () => new Promise((resolve) => {
        const socket = new WebSocket(websocket);
        socket.onopen = () => resolve("open");
        socket.onclose = () => resolve("closed");
    });
    return [await ask("cors"), await ask("no-cors"), await connect()];
}"""
MEMBERS = {
    "script": {"avatar": "javascript:globalThis.owned=1", "color": "red;}"},
    "data": {"avatar": "data:image/svg+xml,<svg/onload=alert(1)>", "color": "#12"},
    "host": {"avatar": f"//{EVIL}a.png", "color": f"url({EVIL})"},
    "slash": {"avatar": "/\\evil.example/a.png", "color": f"#123;background:url({EVIL})"},
    "dict": {"avatar": {"toString": "x"}, "color": ["#123456"]},
    "__proto__": {"__proto__": {"avatar": EVIL}, "constructor": 1},
}


def test_page_of_another_site_reads_nothing_and_gets_no_connection(
    visit: Visit, stage: Stage, channel: str
) -> None:
    ada = visit("ada")
    page = ada.open(include(channel))
    widget = live(page, channel)
    path, grant = (widget.get_attribute(f"data-presence-{name}") for name in ("tokens", "grant"))
    attack = [f"{stage.url}{path}", stage.centrifugo.ws_url, grant]

    own, _, socket = page.evaluate(ATTACK, attack)
    assert '"connection"' in own
    assert socket == "open"

    ada.context.route(f"{EVIL}**", lambda route: route.fulfill(body="<!doctype html>"))
    evil = ada.context.new_page()
    evil.goto(EVIL)
    assert evil.evaluate(ATTACK, attack) == ["", "", "closed"]


def test_hostile_members_are_drawn_without_pictures_colours_or_requests(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    asked: list[str] = []
    early = visit().open(include(channel))
    early.on("request", lambda request: asked.append(request.url))
    live(early, channel)
    for who, info in MEMBERS.items():
        crowd.join(who, channel, name="</template><img src=x onerror=globalThis.owned=1>", **info)
    tick()
    expect(roster(early, channel)).to_have_attribute("data-presence-total", str(len(MEMBERS)))
    late = visit().open(include(channel))
    for page in (early, late):
        widget = live(page, channel)
        for who in MEMBERS:
            expect(member(widget, who)).to_have_count(1)
            assert member(widget, who).get_attribute("data-presence-colour") is None
        assert widget.locator("img, svg, script, style, iframe, [style]").count() == 0
        assert page.evaluate("[globalThis.owned, {}.avatar]") == [None, None]
    assert not [url for url in asked if "evil.example" in url]
