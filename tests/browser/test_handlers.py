"""Events for scripts of the site: handlers.js, DOM events, and `presence`."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from presence.manager import broadcast
from tests.browser.one_page_site import Crowd, Stage, Tick, Visit, include, live, sockets

LISTEN = """() => {
    globalThis.events = [];
    for (const name of ["join", "leave", "update", "sync", "stale", "event"]) {
        document.body.addEventListener(`presence:${name}`, ({ target, detail }) => {
            globalThis.events.push({ name, tag: target.localName, detail });
        });
    }
}"""


def events(page: Page, *names: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("globalThis.events")
    return [event for event in found if event["name"] in names]


def test_join_leave_and_update_events_bubble_with_the_member(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.join("u1", channel, name="Ada")
    crowd.join("u2", channel, name="Bob")
    tick()
    page = visit().open(include(channel, "stack"))
    widget = live(page, channel)
    page.evaluate(LISTEN)
    crowd.join("u3", channel, name="Cem", color="#123456")
    crowd.join("u4", channel, name="Dee")
    crowd.join("u2", channel, name="Robert")
    crowd.leave("u1")
    tick()
    # In the panel, on the face, and in the words for the faces.
    expect(widget.get_by_text("Robert")).to_have_count(3)

    joined = events(page, "join")
    assert [event["detail"]["member"]["id"] for event in joined] == ["u3", "u4"]
    assert joined[0] == {
        "name": "join",
        "tag": "presence-roster",
        "detail": {
            "channel": channel,
            "version": 2,
            "member": {"id": "u3", "name": "Cem", "info": {"color": "#123456"}},
        },
    }
    (left,) = events(page, "leave")
    assert left["detail"]["member"] == {"id": "u1", "name": "Ada", "info": {}}
    (updated,) = events(page, "update")
    assert updated["detail"]["member"] == {"id": "u2", "name": "Robert", "info": {}}
    assert events(page, "sync", "stale") == []


def test_sync_and_stale_events_say_what_is_shown(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.join("u1", channel, name="Ada")
    tick()
    guest = visit("zoe")
    guest.context.add_init_script(f"addEventListener('DOMContentLoaded', {LISTEN})")
    page = guest.open(include(channel))
    live(page, channel)
    first = events(page, "sync")[-1]["detail"]
    assert first["channel"] == channel
    assert [member["id"] for member in first["members"]] == ["u1", guest.id]
    assert (first["total"], first["anonymous"], first["version"]) == (2, 0, 1)
    guest.stage.disconnect(guest.id)
    page.wait_for_function("() => globalThis.events.some(({ name }) => name === 'stale')")
    (stale,) = events(page, "stale")
    assert stale["detail"]["channel"] == channel
    assert stale["detail"]["state"] == "stale"
    assert stale["detail"]["age"] >= 0
    live(page, channel)
    assert len(events(page, "sync")) >= 2


def test_handlers_of_the_site_are_called(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.join("u0", channel)
    tick()
    page = visit().open(include(channel, "none"))
    widget = live(page, channel)
    crowd.fill(channel, ["u1", "u2"])
    tick()
    expect(widget).to_have_attribute("data-presence-total", "3")
    crowd.leave("u1")
    tick()
    expect(widget).to_have_attribute("data-presence-total", "2")
    told = [(note["name"], note.get("id")) for note in page.evaluate("globalThis.handled")]
    moves = [note for note in told if note[0] != "sync"]
    assert moves == [("join", "u1"), ("join", "u2"), ("leave", "u1")]
    assert {note["channel"] for note in page.evaluate("globalThis.handled")} == {channel}
    assert {note["tag"] for note in page.evaluate("globalThis.handled")} == {"presence-roster"}


def test_broadcast_reaches_every_page_of_the_room(
    visit: Visit, tick: Tick, channel: str, stage: Stage
) -> None:
    tick()
    other = f"{channel}-other"
    ada, grace = (visit(who) for who in ("ada", "grace"))
    pages = [
        ada.open(include(channel) + include(channel, "count") + include(other, "none")),
        grace.open(include(channel, "none")),
    ]
    live(pages[0], channel, "list")
    live(pages[0], channel, "count")
    live(pages[0], other)
    live(pages[1], channel)
    for page in pages:
        page.evaluate(LISTEN)
    payload = {"by": ada.id, "text": "<b>saved</b>", "of": [1, {"two": None}]}
    malformed = [
        {"type": "presence.event"},
        {"type": "presence.event", "event": "", "payload": {}},
        {"type": "presence.event", "event": 7, "payload": {}},
        {"type": "presence.event", "event": "bad", "payload": "text"},
        {"type": "presence.event", "event": "bad", "payload": ["list"]},
        {"type": "presence.events", "event": "bad", "payload": {}},
    ]
    for nonsense in malformed:
        stage.publish(channel, nonsense)
    broadcast(channel, "document.saved", payload)
    broadcast(channel, "bare")

    detail = {"channel": channel, "event": "document.saved", "payload": payload}
    bare = {"channel": channel, "event": "bare", "payload": {}}
    for page, widgets in zip(pages, (2, 1), strict=True):
        page.wait_for_function(
            "() => globalThis.events.some(({ detail }) => detail.event === 'bare')"
        )
        told = [(told["tag"], told["detail"]) for told in events(page, "event")]
        expected = [widgets * [("presence-roster", event)] for event in (detail, bare)]
        assert told == [*expected[0], *expected[1]]
        assert page.evaluate("handled.filter(({ name }) => name === 'event').length") == len(told)
        expect(page.locator(f'[data-presence-channel="{channel}"]').first).to_have_attribute(
            "data-presence-state", "live"
        )


def test_broadcast_is_told_once_and_kept_for_nobody(visit: Visit, tick: Tick, channel: str) -> None:
    tick()
    page = visit().open(include(channel, "none"))
    widget = live(page, channel)
    page.evaluate(ROOM, channel)
    page.evaluate("() => { globalThis.off = room.on('event', (detail) => told.push(detail)); }")
    before = widget.get_attribute("data-presence-version")
    for name in ("first", "second"):
        broadcast(channel, name, {"name": name})
    page.wait_for_function("() => told.some(({ event }) => event === 'second')")
    said = [event["event"] for event in page.evaluate("told") if isinstance(event, dict)]
    assert said == ["first", "second"]
    assert widget.get_attribute("data-presence-version") == before

    late = visit()
    late.context.add_init_script(f"addEventListener('DOMContentLoaded', {LISTEN})")
    newcomer = late.open(include(channel))
    live(newcomer, channel)
    broadcast(channel, "third")
    newcomer.wait_for_function("() => globalThis.events.some(({ name }) => name === 'event')")
    assert [event["detail"]["event"] for event in events(newcomer, "event")] == ["third"]


ROOM = """async (channel) => {
    const { presence } = await import("/static/presence/js/widget.js");
    globalThis.room = await presence.subscribe(channel);
    globalThis.told = [];
    globalThis.offs = ["join", "leave", "update"].map((name) =>
        room.on(name, ({ member, version }) => told.push([name, member.id, version])));
    room.on("sync", () => told.push(["sync"]));
    room.on("stale", () => told.push(["stale"]));
    return [room.channel, room.members.map(({ id }) => id)];
}"""
SAW = (
    "() => [room.members.map(({ id }) => id), room.total, room.anonymous, room.version, room.state]"
)


def test_subscribe_follows_a_channel_for_a_script(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    crowd.fill(channel, ["u1"])
    tick()
    page = visit().open(include(channel, "none"))
    widget = live(page, channel)
    assert page.evaluate(ROOM, channel) == [channel, ["u1"]]
    crowd.fill(channel, ["u2"])
    tick()
    expect(widget).to_have_attribute("data-presence-total", "2")
    assert page.evaluate(SAW) == [["u1", "u2"], 2, 1, 2, "live"]
    assert ["join", "u2", 2] in page.evaluate("told")
    page.evaluate("offs[0]()")
    crowd.fill(channel, ["u3"])
    crowd.leave("u1")
    tick()
    expect(widget).to_have_attribute("data-presence-version", "3")
    told = page.evaluate("told")
    assert ["leave", "u1", 3] in told
    assert ["join", "u3", 3] not in told

    widget.evaluate("(widget) => widget.remove()")
    crowd.fill(channel, ["u4"])
    tick()
    page.wait_for_function("() => room.members.some(({ id }) => id === 'u4')")
    page.evaluate("room.close()")
    tick()
    page.wait_for_function(
        """async () => {
            const { presence } = await import("/static/presence/js/widget.js");
            try { await presence.subscribe("presence:nowhere"); } catch (error) {
                return error instanceof Error && error.message.includes("presence:nowhere");
            }
        }"""
    )


def test_use_connection_follows_over_the_connection_of_the_site(
    visit: Visit, crowd: Crowd, tick: Tick, channel: str
) -> None:
    guest = visit("ada")
    page = guest.new_page()
    opened = sockets(page)
    page.goto(guest.stage.page(include(channel)))
    live(page, channel)
    page.evaluate(
        """async ([url, token]) => {
            const { presence } = await import("/static/presence/js/widget.js");
            globalThis.own = new Centrifuge(url, { token });
            presence.useConnection(own);
            own.connect();
        }""",
        [guest.stage.centrifugo.ws_url, crowd.token(guest.id)],
    )
    page.wait_for_function("() => own.state === 'connected'")
    page.wait_for_function("(channel) => own.getSubscription(channel) !== null", arg=channel)
    widget = live(page, channel)
    crowd.fill(channel, ["u1"])
    tick()
    expect(widget.locator("[data-presence-member=u1]")).to_be_visible()
    assert [socket.is_closed() for socket in opened] == [True, False]
