"""Two browsers, one site: what people see."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import redis
from playwright.sync_api import Locator, Page, expect

from tests.servers import manage, wait_until

if TYPE_CHECKING:
    from tests.browser.conftest import Site, Visitor

MakeVisitor = Callable[..., "Visitor"]

PATIENCE = 20_000  # ms
expect.set_options(timeout=PATIENCE)


def widget(page: Page, channel: str) -> Locator:
    return page.locator(f'presence-roster[data-presence-channel="{channel}"]')


def live(page: Page, channel: str) -> Locator:
    """The widget of the channel, once it is live."""
    found = widget(page, channel)
    expect(found).to_have_attribute("data-presence-state", "live")
    return found


def names(roster: Locator) -> list[str]:
    return roster.locator("[data-presence-part=name]").all_inner_texts()


def record_leaves(page: Page) -> None:
    """From here on, keep who the page saw leaving."""
    page.evaluate(
        """() => {
            window.left = [];
            const note = (event) => window.left.push(event.detail);
            document.addEventListener("presence:leave", note);
        }"""
    )


def leaves(page: Page, channel: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = page.evaluate("window.left")
    return [detail for detail in found if detail["channel"] == channel]


def test_two_people_see_each_other_come_and_go(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:meet"
    ada, grace = visitor(), visitor()
    hers = live(ada.open(site.room("meet"), who="ada"), channel)
    expect(hers.locator("[data-presence-self]")).to_have_count(1)

    page = grace.open(site.room("meet"), who="grace")
    expect(hers.get_by_text("Grace Hopper")).to_be_visible()
    expect(live(page, channel).get_by_text("Ada Lovelace")).to_be_visible()
    expect(hers).to_have_attribute("data-presence-total", "2")
    assert names(hers) == ["Ada Lovelace", "Grace Hopper"]

    page.close()
    expect(hers.get_by_text("Grace Hopper")).to_have_count(0)
    expect(hers).to_have_attribute("data-presence-total", "1")
    assert ada.complaints == []


def test_the_page_is_right_without_javascript(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:plain"
    live(visitor().open(site.room("plain"), who="ada"), channel)
    plain = visitor(java_script=False)
    page = plain.open(site.room("plain"))
    wait_until(
        lambda: page.reload() is not None and names(widget(page, channel)) == ["Ada Lovelace"],
        "the HTML has the member",
    )
    assert widget(page, channel).get_attribute("data-presence-state") == "static"
    assert widget(page, channel).get_attribute("data-presence-total") == "1"


def test_nobody_leaves_on_a_reload(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:reload"
    ada, grace = visitor(), visitor()
    watching = ada.open(site.room("reload"), who="ada")
    hers = live(watching, channel)
    page = grace.open(site.room("reload"), who="grace")
    expect(hers).to_have_attribute("data-presence-total", "2")
    record_leaves(watching)
    for _ in range(3):
        page.reload()
        live(page, channel)
    version = hers.get_attribute("data-presence-version")
    visitor().open(site.room("reload"), who="alan")
    expect(hers.get_by_text("Alan Turing")).to_be_visible()
    assert leaves(watching, channel) == []
    assert int(hers.get_attribute("data-presence-version") or 0) == int(version or 0) + 1


def test_several_tabs_are_one_person(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:tabs"
    ada = visitor()
    first = ada.open(site.room("tabs"), who="ada")
    second = ada.open(site.room("tabs"))
    live(second, channel)
    grace = visitor().open(site.room("tabs"), who="grace")
    hers = live(grace, channel)
    expect(hers).to_have_attribute("data-presence-total", "2")
    record_leaves(grace)
    second.close()
    visitor().open(site.room("tabs"), who="alan")
    expect(hers.get_by_text("Alan Turing")).to_be_visible()
    assert leaves(grace, channel) == []
    expect(live(first, channel).locator("[data-presence-self]")).to_have_count(1)


def test_anonymous_visitors_are_counted(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:masks"
    hers = live(visitor().open(site.room("masks"), who="ada"), channel)
    stranger = visitor().open(site.room("masks"))
    live(stranger, channel)
    expect(hers).to_have_attribute("data-presence-anonymous", "1")
    expect(hers.get_by_text("anonymous visitor")).to_be_visible()
    stranger.close()
    expect(hers).to_have_attribute("data-presence-anonymous", "0")


def test_a_restart_of_centrifugo_shows_nobody_leaving(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:restart"
    watching = visitor().open(site.room("restart"), who="ada")
    hers = live(watching, channel)
    other = visitor().open(site.room("restart"), who="grace")
    live(other, channel)
    expect(hers).to_have_attribute("data-presence-total", "2")
    record_leaves(watching)

    site.centrifugo.server.stop()
    expect(hers).to_have_attribute("data-presence-state", "stale")
    assert names(hers) == ["Ada Lovelace", "Grace Hopper"]
    site.centrifugo.server.start()
    live(watching, channel)
    live(other, channel)

    live(visitor().open(site.room("restart"), who="alan"), channel)
    expect(hers.get_by_text("Alan Turing")).to_be_visible()
    assert leaves(watching, channel) == []
    assert names(hers) == ["Ada Lovelace", "Grace Hopper", "Alan Turing"]


def test_a_flushed_redis_fills_again(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:flush"
    watching = visitor().open(site.room("flush"), who="ada")
    hers = live(watching, channel)
    live(visitor().open(site.room("flush"), who="grace"), channel)
    expect(hers).to_have_attribute("data-presence-total", "2")
    epoch = hers.get_attribute("data-presence-epoch")
    record_leaves(watching)
    with redis.Redis.from_url(site.redis_url) as client:
        client.flushdb()
    expect(hers).not_to_have_attribute("data-presence-epoch", epoch or "")
    live(visitor().open(site.room("flush"), who="alan"), channel)
    expect(hers.get_by_text("Alan Turing")).to_be_visible()
    assert set(names(hers)) == {"Ada Lovelace", "Grace Hopper", "Alan Turing"}
    assert leaves(watching, channel) == []


def test_without_redis_the_page_stands_and_fills_itself(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:redisless"
    site.redis.stop()
    try:
        page = visitor().open(site.room("redisless"))
        assert page.locator("h1").count() == 1
        expect(widget(page, channel)).to_have_attribute("data-presence-total", "0")
    finally:
        site.redis.start()
    live(page, channel)
    live(visitor().open(site.room("redisless"), who="grace"), channel)
    expect(widget(page, channel).get_by_text("Grace Hopper")).to_be_visible()


def test_two_widgets_share_one_connection(site: Site, visitor: MakeVisitor) -> None:
    page = visitor().context.new_page()
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(site.room("shared"))
    live(page, "presence:room:shared")
    page.evaluate(
        """() => {
            const copy = document.querySelector("presence-roster").cloneNode(true);
            copy.id = "second";
            document.body.append(copy);
        }"""
    )
    expect(page.locator("#second")).to_have_attribute("data-presence-state", "live")
    assert len(sockets) == 1


def test_a_name_of_markup_is_text(site: Site, visitor: MakeVisitor) -> None:
    channel = "presence:room:markup"
    hers = live(visitor().open(site.room("markup"), who="ada"), channel)
    name = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
    rename = (
        "from django.contrib.auth.models import User;"
        f"User.objects.filter(username='margaret').update(first_name={name!r}, last_name='')"
    )
    mallory = visitor()
    mallory.sign_in("margaret")
    subprocess.run(
        manage("shell", "-v", "0", "-c", rename), env=site.environment, check=True, timeout=60
    )
    page = mallory.open(site.room("markup"))
    expect(hers.get_by_text(name)).to_be_visible()
    live(page, channel)
    page.reload()
    expect(live(page, channel).get_by_text(name)).to_be_visible()
    assert hers.locator("script").count() == 0
    assert page.title() != "owned"
    assert not re.search("owned", hers.page.title())
    assert mallory.complaints == []
