"""Everything that can be included, under the policies that sites have."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.browser.cursor_surface import board, shared
from tests.browser.one_page_site import Stage, Visit, include, live


@pytest.mark.parametrize("policy", ["", "nonce", "dynamic", "trusted"])
def test_page_is_live_and_violates_nothing_under_a_policy(
    visit: Visit, stage: Stage, channel: str, policy: str
) -> None:
    room = channel.removeprefix("presence:")
    cursors = f"cursors:{room}"
    parts = [
        include(channel),
        include(channel, "none"),
        f'{{% presence_widget "{channel}" variant="count" announce=True %}}',
        board(cursors),
        f'{{% include "presence/admin/banner.html" with presence_channel="{channel}-admin" %}}',
        '{% include "presence/heartbeat.html" %}',
    ]
    guest = visit("ada")
    page = guest.new_page()
    query = urlencode({"body": "".join(parts), "policy": policy})
    answer = page.goto(f"{stage.url}/tracked/{room}/?{query}")
    assert answer is not None
    assert ("nonce-" in (answer.header_value("Content-Security-Policy") or "")) == bool(policy)
    live(page, channel, "list")
    live(page, channel, "count")
    live(page, f"{channel}-admin")
    shared(page, cursors)
    expect(page.locator("presence-heartbeat:defined")).to_have_count(1)
    # A style sheet that is blocked leaves what is for screen readers in sight.
    hidden = page.locator("presence-roster .presence-hidden").first
    expect(hidden).to_have_css("position", "absolute")
