"""presence.testing agrees with a real site."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import jwt
import msgspec
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.test import Client, RequestFactory, TestCase
from django.urls import reverse

from presence import pytest_plugin, services, signals
from presence.centrifugo.tokens import make_grant
from presence.cursors import CursorTracker
from presence.exceptions import CentrifugoUnreachable, InvalidChannel
from presence.manager import PresenceManager
from presence.snapshots import read_snapshot
from presence.testing import Connection, FakePresence, PresenceTestMixin
from presence.users import last_seen, refresh
from presence_devtools.servers import ROOT

pytest_plugins = ["pytester"]

KEY = "document:42"
ROOM = "presence:document:42"

GRACE = User(pk=17, username="grace", first_name="Grace", last_name="Hopper")


@pytest.fixture
def site() -> Iterator[FakePresence]:
    with FakePresence() as site:
        yield site


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a connection is opened."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def user_info(user: Any) -> dict[str, Any]:
    return {"name": user.first_name.upper(), "color": "#abcdef"}


def not_ada(user: Any) -> bool:
    return user.username != "ada"


def render(text: str) -> str:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    return Template("{% load presence_tags %}" + text).render(Context({"request": request}))


def claims(client: Client, user_id: str, channel: str = ROOM) -> dict[str, Any]:
    """Return the claims of the real subscription token of the user who is logged in."""
    grant = make_grant(channel, user_id, now=services.store().load_states([]).now)
    asked = {"grants": [grant]}
    answer = client.post(reverse("presence:tokens"), asked, content_type="application/json").json()
    token = answer["channels"][channel]["token"]
    return jwt.decode(token, options={"verify_signature": False})["info"]


class TestConnecting:
    def test_connect_and_tick_shows_user_everywhere(self, site: FakePresence) -> None:
        site.connect(ROOM, GRACE)
        site.assert_absent(ROOM, GRACE)
        site.tick()
        site.assert_present(ROOM, GRACE)
        site.assert_present(ROOM, 17)
        site.assert_present(ROOM, "17")
        assert [record["name"] for record in PresenceManager.list_presences(KEY)] == [
            "Grace Hopper"
        ]
        assert [member.id for member in read_snapshot(ROOM).members] == ["17"]
        assert render(f'{{% presence_count "{ROOM}" %}}').strip() == "1"
        widget = render(f'{{% include "presence/widget.html" with channel="{ROOM}" %}}')
        assert 'data-presence-member="17"' in widget
        assert "Grace Hopper" in widget

    @pytest.mark.parametrize(
        "settings_of_the_site",
        [
            {},
            {"PRESENCE_USER_INFO": user_info},
            {"PRESENCE_VISIBLE": not_ada},
        ],
        ids=["plain", "user info", "hidden"],
    )
    def test_connect_has_the_claims_of_the_sites_tokens(
        self,
        site: FakePresence,
        settings: Any,
        settings_of_the_site: dict[str, Any],
        ada: User,
        client: Client,
    ) -> None:
        settings.PRESENCE_USER_INFO = None
        for name, value in settings_of_the_site.items():
            setattr(settings, name, value)
        client.force_login(ada)
        site.connect(ROOM, ada)
        signed = msgspec.to_builtins(site.centrifugo.clients(ROOM)[0].signed)
        real = claims(client, str(ada.pk))
        assert signed.pop("iat") == pytest.approx(real.pop("iat"), abs=60)
        assert signed == real

    def test_connect_of_hidden_user_shows_nobody(
        self, site: FakePresence, settings: Any, ada: User
    ) -> None:
        settings.PRESENCE_VISIBLE = not_ada
        site.connect(ROOM, ada)
        site.connect(ROOM, GRACE)
        site.tick()
        site.assert_absent(ROOM, ada)
        site.assert_count(ROOM, 1, anonymous=0)

    @pytest.mark.parametrize("nobody", [None, "", AnonymousUser()], ids=str)
    def test_connect_of_anonymous_visitors_counts_them(
        self, site: FakePresence, nobody: Any
    ) -> None:
        site.connect(ROOM, nobody)
        site.connect(ROOM, nobody)
        for _ in range(2):
            site.connect(ROOM, nobody, session_key="abc")
        site.tick()
        site.assert_count(ROOM, 0, anonymous=3)
        site.disconnect(ROOM, nobody)
        site.settle()
        site.assert_count(ROOM, 0, anonymous=0)

    def test_connect_of_anonymous_visitors_in_list_mode_lists_them(
        self, site: FakePresence, settings: Any
    ) -> None:
        settings.PRESENCE_ANONYMOUS = "list"
        first = site.connect(ROOM, session_key="abc")
        second = site.connect(ROOM)
        site.tick()
        site.assert_present(ROOM, first)
        site.assert_present(ROOM, second)
        site.disconnect(ROOM, second)
        site.settle()
        site.assert_absent(ROOM, second)
        assert first.member_id.startswith("anon_")
        assert [record["name"] for record in site.present(ROOM)] == ["Anonymous"]

    def test_connect_of_several_tabs_shows_one_member_until_the_last_closes(
        self, site: FakePresence, ada: User
    ) -> None:
        first = site.connect(ROOM, ada)
        with site.connect(ROOM, ada.pk):
            site.tick()
            site.assert_count(ROOM, 1)
            first.close()
            first.close()
            site.settle()
            site.assert_present(ROOM, ada)
        site.settle()
        site.assert_absent(ROOM, ada)

    def test_connect_to_unpolled_channel_raises_invalid_channel(self, site: FakePresence) -> None:
        with pytest.raises(InvalidChannel, match="PRESENCE_CHANNELS"):
            site.connect("document:42", GRACE)

    @pytest.mark.parametrize("channel", ["document:42", "presence:a b", "cursors:document:42", 42])
    def test_assertion_about_unpolled_channel_raises_invalid_channel(
        self, site: FakePresence, channel: Any
    ) -> None:
        for call in (
            lambda: site.connect(channel, GRACE),
            lambda: site.present(channel),
            lambda: site.assert_absent(channel, GRACE),
            lambda: site.assert_count(channel, 0),
            lambda: site.assert_no_signal(signals.presence_left, channel),
        ):
            with pytest.raises(InvalidChannel):
                call()

    def test_assertion_about_member_from_python_in_unpolled_room_holds(
        self, site: FakePresence, settings: Any
    ) -> None:
        settings.PRESENCE_CHANNELS = ["chat:*"]
        PresenceManager.join_presence("document:42", "bot")
        site.assert_present(ROOM, "bot")

    def test_connect_of_impossible_user_raises_value_error(
        self, site: FakePresence, db: None
    ) -> None:
        for user in ("grace", object(), 1.5):
            with pytest.raises(ValueError, match="There is no user"):
                site.connect(ROOM, user)
        with pytest.raises(ValueError, match=r"no user 4711: create one, or .* User\(pk=4711"):
            site.connect(ROOM, 4711)
        with pytest.raises(ValueError, match="has no primary key"):
            site.connect(ROOM, User(username="nobody"))
        with pytest.raises(ValueError, match="has no primary key"):
            site.assert_absent(ROOM, User(username="nobody"))

    def test_disconnect_of_unconnected_user_raises_value_error(self, site: FakePresence) -> None:
        with pytest.raises(ValueError, match="Nobody is connected"):
            site.disconnect(ROOM, GRACE)

    def test_connect_with_registry_registers_the_channel(
        self, site: FakePresence, settings: Any
    ) -> None:
        settings.PRESENCE_DISCOVERY = "registry"
        site.connect(ROOM, GRACE)
        site.tick()
        site.assert_present(ROOM, GRACE)

    def test_connect_to_own_channel_of_an_app_publishes_on_its_feed(
        self, site: FakePresence, settings: Any
    ) -> None:
        settings.PRESENCE_CHANNELS = ["chat:*"]
        site.connect("chat:1", GRACE)
        site.tick()
        site.assert_present("chat:1", GRACE)
        assert site.published("chat:1")[0]["joins"][0]["id"] == "17"
        assert site.centrifugo.published("chat:1") == []


class TestTime:
    def test_tick_after_closed_connection_holds_the_leave_for_the_grace(
        self, site: FakePresence
    ) -> None:
        connection = site.connect(ROOM, GRACE)
        site.tick()
        connection.close()
        site.tick()
        site.assert_present(ROOM, GRACE)
        site.advance(5)
        site.tick()
        site.assert_present(ROOM, GRACE)
        site.tick(after=5)
        site.assert_absent(ROOM, GRACE)

    def test_tick_after_page_reload_shows_no_leave(self, site: FakePresence) -> None:
        site.connect(ROOM, GRACE)
        site.tick()
        site.disconnect(ROOM, GRACE)
        site.tick()
        site.connect(ROOM, GRACE)
        site.settle()
        site.tick(after=60)
        site.assert_no_signal(signals.presence_left, ROOM)
        assert read_snapshot(ROOM).version == 1

    def test_settle_lets_time_pass_only_with_missing_members(self, site: FakePresence) -> None:
        began = site.clock()
        site.connect(ROOM, GRACE)
        site.settle()
        assert site.clock() - began < 1
        site.disconnect(ROOM, GRACE)
        site.settle()
        assert 10 < site.clock() - began < 11

    def test_advance_expires_members_without_a_websocket(self, site: FakePresence) -> None:
        PresenceManager.join_presence(KEY, "bot", {"name": "Bot"})
        site.assert_present(ROOM, "bot")
        site.tick()
        assert [member.name for member in read_snapshot(ROOM).members] == ["Bot"]
        site.advance(50)
        assert PresenceManager.update_heartbeat(KEY, "bot")
        site.tick(after=50)
        site.assert_present(ROOM, "bot")
        site.advance(60)
        site.assert_absent(ROOM, "bot")
        assert not PresenceManager.update_heartbeat(KEY, "bot")
        site.tick()
        site.assert_signal(signals.presence_left, ROOM, "bot")

    def test_advance_expires_cursors(self, site: FakePresence) -> None:
        CursorTracker.update_cursor(KEY, "17", 0.5, 0.25)
        assert site.published("cursors:document:42") == [{"x": 0.5, "y": 0.25, "user": "17"}]
        site.advance(9)
        assert list(CursorTracker.get_cursors(KEY)) == ["17"]
        site.advance(2)
        assert CursorTracker.get_cursors(KEY) == {}

    def test_later_claims_about_a_user_replace_earlier_ones(
        self, site: FakePresence, ada: User
    ) -> None:
        site.connect(ROOM, ada)
        site.tick()
        ada.first_name = "Augusta"
        refresh(ada)
        site.tick()
        assert site.present(ROOM)[0]["name"] == "Augusta Lovelace"
        site.advance(1000)
        ada.first_name = "Byron"
        site.connect(ROOM, ada)
        site.tick()
        assert site.present(ROOM)[0]["name"] == "Byron Lovelace"
        ada.first_name = "Ada"
        refresh(ada)
        site.tick()
        assert site.present(ROOM)[0]["name"] == "Ada Lovelace"
        site.assert_signal(signals.presence_updated, ROOM, ada)

    def test_advance_ages_last_seen(self, site: FakePresence, ada: User) -> None:
        site.connect(ROOM, ada)
        site.tick()
        site.disconnect(ROOM, ada)
        site.settle()
        seen = last_seen([ada])[ada.pk]
        assert seen is not None
        assert seen.timestamp() == pytest.approx(site.clock(), abs=15)

    def test_advance_by_negative_seconds_raises_value_error(self, site: FakePresence) -> None:
        with pytest.raises(ValueError, match="-1"):
            site.advance(-1)


@pytest.mark.asyncio
async def test_async_code_is_tested_the_same_way(site: FakePresence) -> None:
    site.connect(ROOM, GRACE)
    await PresenceManager.ajoin_presence(KEY, "bot")
    site.tick()
    assert [record["id"] for record in await PresenceManager.alist_presences(KEY)] == ["17", "bot"]
    site.assert_count(ROOM, 2)


class TestWhatIsSent:
    def test_tick_with_changes_publishes_diffs_and_sends_signals(self, site: FakePresence) -> None:
        site.connect(ROOM, GRACE)
        site.tick()
        site.assert_signal(signals.channel_occupied, ROOM)
        site.assert_signal(signals.presence_joined, ROOM, GRACE)
        site.assert_no_signal(signals.presence_joined, "presence:other")
        (diff,) = site.published(ROOM)
        assert [join["id"] for join in diff["joins"]] == ["17"]
        names = ["channel_occupied", "presence_joined"]
        assert [signal.name for signal in site.signals(ROOM)] == names
        told = [(diff["version"], diff["epoch"], ["17"])] * 2
        assert [(signal.version, signal.epoch, signal.ids) for signal in site.signals()] == told
        site.clear()
        assert site.published(ROOM) == site.signals() == []
        site.disconnect(ROOM, GRACE)
        site.settle()
        assert [diff["leaves"] for diff in site.published(ROOM)] == [["17"]]
        site.assert_signal(signals.channel_vacated, ROOM)

    def test_published_has_events_of_views(self, site: FakePresence) -> None:
        from presence.mixins import PresenceMixin

        class View(PresenceMixin):
            presence_key = KEY

        View().broadcast_to_presence("saved", {"by": "Grace"})
        site.assert_published(ROOM, "saved")
        site.assert_published(ROOM, "saved", {"by": "Grace"})
        site.assert_not_published(ROOM, "saved", {"by": "Ada"})
        site.assert_not_published("presence:document:43", "saved")

    def test_tick_calls_hook_inside_the_transaction_of_the_test(
        self, site: FakePresence, settings: Any
    ) -> None:
        asked: list[list[str]] = []

        def fetch(ids: list[str]) -> dict[str, dict[str, Any]]:
            asked.append(ids)
            return {"17": {"team": "Navy"}}

        settings.PRESENCE_FETCH = fetch
        site.connect(ROOM, GRACE)
        site.tick()
        site.tick()
        assert asked == [["17"]]
        assert site.present(ROOM)[0]["team"] == "Navy"

    def test_tick_that_fails_raises_assertion_error(
        self, site: FakePresence, settings: Any
    ) -> None:
        settings.PRESENCE_FETCH = lambda ids: ids[1000]
        site.connect(ROOM, GRACE)
        with pytest.raises(AssertionError, match="PRESENCE_FETCH failed"):
            site.tick()
        assert site.tick(check=False).errors
        site.assert_present(ROOM, GRACE)

    def test_tick_with_centrifugo_down_fails(self, site: FakePresence) -> None:
        site.connect(ROOM, GRACE)
        site.tick()
        site.centrifugo.error = CentrifugoUnreachable("down")
        site.disconnect(ROOM, GRACE)
        assert site.tick(after=60, check=False).errors
        site.assert_present(ROOM, GRACE)
        site.centrifugo.error = None
        site.settle()
        site.assert_absent(ROOM, GRACE)

    def test_fake_centrifugo_with_unknown_command_raises_not_implemented_error(
        self, site: FakePresence
    ) -> None:
        with pytest.raises(NotImplementedError, match="'refresh'"):
            site.centrifugo.batch([("refresh", {})])


class TestFailures:
    """Messages of failed assertions: the members, and the likely cause."""

    def failure(self, claim: Any, *arguments: Any, **more: Any) -> str:
        with pytest.raises(AssertionError) as caught:
            claim(*arguments, **more)
        return str(caught.value)

    def test_failure_for_unconnected_user_says_so(self, site: FakePresence) -> None:
        assert self.failure(site.assert_present, ROOM, GRACE) == (
            "'17' is not in 'presence:document:42'. There: nobody. "
            "They are connected to no channel, and server code has joined them to none"
        )

    def test_failure_before_a_tick_says_so(self, site: FakePresence) -> None:
        site.connect(ROOM, GRACE)
        assert "has there been a tick() since?" in self.failure(site.assert_present, ROOM, GRACE)

    def test_failure_for_user_in_another_channel_names_it(self, site: FakePresence) -> None:
        site.connect("presence:hall", GRACE)
        site.connect("presence:hall", GRACE)
        PresenceManager.join_presence("kitchen", "17")
        told = self.failure(site.assert_present, ROOM, GRACE)
        assert told.endswith("They are in 'presence:hall', 'presence:kitchen'")

    def test_failure_for_hidden_user_names_the_setting(
        self, site: FakePresence, settings: Any, ada: User
    ) -> None:
        settings.PRESENCE_VISIBLE = not_ada
        site.connect(ROOM, ada)
        site.tick()
        told = self.failure(site.assert_present, ROOM, ada)
        assert told.endswith("PRESENCE_VISIBLE says that nobody may know")

    def test_failure_for_anonymous_visitor_names_the_setting(self, site: FakePresence) -> None:
        connection = site.connect(ROOM, session_key="abc")
        site.tick()
        told = self.failure(site.assert_present, ROOM, connection)
        assert told.endswith("They are anonymous, and PRESENCE_ANONYMOUS is 'count'")
        with pytest.raises(ValueError, match="assert_count"):
            site.assert_present(ROOM, AnonymousUser())

    def test_failure_for_connected_user_says_so(self, site: FakePresence) -> None:
        site.connect(ROOM, GRACE)
        site.tick()
        assert self.failure(site.assert_absent, ROOM, GRACE) == (
            "'17' is in 'presence:document:42'. There: Grace Hopper (17). "
            "They are connected: close() what connect() returned, or disconnect() them"
        )

    def test_failure_for_unseen_leave_asks_for_a_tick(self, site: FakePresence) -> None:
        site.connect(ROOM, GRACE).close()
        site.connect(ROOM, GRACE)
        site.tick()
        site.disconnect(ROOM, GRACE)
        assert "has there been a tick() since?" in self.failure(site.assert_absent, ROOM, GRACE)

    def test_failure_for_held_leave_names_the_grace(self, site: FakePresence) -> None:
        site.connect(ROOM, GRACE)
        site.tick()
        site.disconnect(ROOM, GRACE)
        site.tick()
        site.tick(after=4)
        told = self.failure(site.assert_absent, ROOM, GRACE)
        assert "missing for 4 s" in told
        assert "after 10 s (PRESENCE_LEAVE_GRACE), which settle() lets pass" in told
        told = self.failure(site.assert_count, ROOM, 0)
        assert told.startswith("'presence:document:42' has 1 member and 0 anonymous, not 0.")
        assert told.endswith("Once PRESENCE_LEAVE_GRACE has passed (see settle()) these leave: 17")

    def test_failure_for_member_from_python_names_the_source(self, site: FakePresence) -> None:
        PresenceManager.join_presence(KEY, "bot", source="cron")
        told = self.failure(site.assert_absent, ROOM, "bot")
        assert told.endswith(
            "Server code joined them (source 'cron'): they go when it has them leave, or 60 s "
            "(PRESENCE_TIMEOUT) after their last heartbeat"
        )

    def test_failure_of_count_shows_the_counts(self, site: FakePresence) -> None:
        site.connect(ROOM)
        told = self.failure(site.assert_count, ROOM, 0, anonymous=1)
        assert "has 0 members and 0 anonymous, not 0 and 1 anonymous" in told
        assert told.endswith("No tick() has looked at this channel")
        site.tick()
        told = self.failure(site.assert_count, ROOM, 1)
        assert told == (
            "'presence:document:42' has 0 members and 1 anonymous, not 1. There: nobody"
        )

    def test_failure_of_signal_lists_the_sent_ones(self, site: FakePresence) -> None:
        told = self.failure(site.assert_signal, signals.presence_joined, ROOM, GRACE)
        assert told == (
            "presence_joined of '17' was not sent about 'presence:document:42'. Sent: nothing"
        )
        site.connect(ROOM, GRACE)
        site.tick()
        told = self.failure(site.assert_no_signal, signals.presence_joined, ROOM)
        assert told.startswith("presence_joined was sent about 'presence:document:42'. Sent: ")
        assert "presence_joined about 'presence:document:42' of ['17']" in told
        with pytest.raises(ValueError, match="presence_joined, presence_left"):
            site.assert_signal(signals.Signal(), ROOM)

    def test_failure_of_event_lists_the_published_ones(self, site: FakePresence) -> None:
        told = self.failure(site.assert_published, ROOM, "saved")
        assert told == "'saved' was not published in 'presence:document:42'. Published: nothing"


class TestTheSeam:
    def test_block_when_left_restores_everything(self, settings: Any) -> None:
        settings.PRESENCE_BACKEND = "memory"
        before = services.store(), services.gateway()
        with FakePresence() as outer:
            with FakePresence() as inner:
                inner.connect(ROOM, GRACE)
                inner.tick()
                assert services.store() is services.tracker() is inner.store
            assert services.store() is outer.store
            assert services.gateway()._transport is outer.centrifugo
            outer.tick()
            outer.assert_count(ROOM, 0)
        assert services.store() not in (outer.store, inner.store)
        assert type(services.gateway()) is type(before[1])
        assert not signals.wanted()

    def test_block_that_fails_restores_everything(self, settings: Any) -> None:
        settings.CENTRIFUGO_TOKEN_SECRET = 7
        with pytest.raises(ImproperlyConfigured), FakePresence():
            pass
        assert services._instead is None

    def test_settings_changed_within_a_block_apply(self, site: FakePresence, settings: Any) -> None:
        site.connect(ROOM, GRACE)
        site.tick()
        settings.PRESENCE_LEAVE_GRACE = 100.0
        site.assert_present(ROOM, GRACE)
        site.disconnect(ROOM, GRACE)
        site.tick()
        site.tick(after=99)
        site.assert_present(ROOM, GRACE)
        site.settle()
        site.assert_absent(ROOM, GRACE)

    def test_block_without_token_secret_makes_tokens(
        self, settings: Any, ada: User, client: Client
    ) -> None:
        settings.CENTRIFUGO_TOKEN_SECRET = ""
        client.force_login(ada)
        with FakePresence():
            assert claims(client, str(ada.pk))["name"] == "Ada Lovelace"

    def test_package_without_pytest_can_be_imported(self) -> None:
        program = (
            "import sys; sys.modules['pytest'] = None; import django; django.setup(); "
            "from presence.testing import FakePresence; FakePresence().__enter__().tick()"
        )
        run(program, DJANGO_SETTINGS_MODULE="project.settings")


class TestThePlugin:
    def test_plugin_of_installed_package_is_found(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        found = project["entry-points"]["pytest11"]
        assert found == {pytest_plugin.__name__: pytest_plugin.__name__}

    def test_plugin_without_use_imports_nothing(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest('pytest_plugins = ["presence.pytest_plugin"]')
        pytester.makepyfile(
            """
            import sys

            def test_what_is_imported():
                assert "presence.pytest_plugin" in sys.modules
                assert not {"django", "msgspec", "redis", "cent"} & sys.modules.keys()
            """
        )
        plugins = ("-p", "no:django", "-p", "presence.pytest_plugin")
        pytester.runpytest_subprocess(*plugins).assert_outcomes(passed=1)


class TestInTestCases(PresenceTestMixin, TestCase):
    def test_mixin_of_each_test_has_its_own_presence(self) -> None:
        user = User.objects.create(username="ada")
        self.presence.connect(ROOM, user)
        self.presence.tick()
        self.presence.assert_count(ROOM, 1)

    def test_mixin_of_next_test_is_empty(self) -> None:
        self.presence.tick()
        self.presence.assert_count(ROOM, 0)
        assert isinstance(self.presence.connect(ROOM), Connection)


def run(program: str, **environment: str) -> None:
    """Run Python code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


SITE = {
    "site_settings.py": """
        SECRET_KEY = "of a test"
        ROOT_URLCONF = "site_urls"
        USE_TZ = True
        CENTRIFUGO_API_KEY = CENTRIFUGO_TOKEN_SECRET = "no-server-knows-this-which-is-no-secret"
        STATIC_URL = "static/"
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        INSTALLED_APPS = [
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
            "presence", "documents",
        ]
        MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
        TEMPLATES = [{
            "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }]
    """,
    "site_urls.py": """
        from django.urls import include, path
        from documents.views import DocumentView

        urlpatterns = [
            path("documents/<int:pk>/", DocumentView.as_view()),
            path("presence/", include("presence.urls")),
        ]
    """,
}


@pytest.fixture
def documented(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return the site of docs/testing.md, with every file as on the page."""
    files = {name: dedent(text) for name, text in SITE.items()}
    text = (ROOT / "docs" / "testing.md").read_text()
    for path, code in re.findall(
        r"^```\w+\n(?:# |{# )(documents/\S+)(?: #})?\n(.*?)^```", text, re.M | re.S
    ):
        files[path] = code
    assert len(files) == len(SITE) + 4
    for name, text in files.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (pytester.path / "documents" / "__init__.py").touch()
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "site_settings")
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}:{ROOT}")
    return pytester


def test_example_of_the_documentation_passes_with_pytest(documented: pytest.Pytester) -> None:
    arguments = ("-p", "presence.pytest_plugin", "documents/test_views.py")
    documented.runpytest_subprocess(*arguments).assert_outcomes(passed=5)


def test_example_of_the_documentation_passes_with_djangos_test_runner(
    documented: pytest.Pytester,
) -> None:
    done = documented.run(sys.executable, "-m", "django", "test", "documents", "--pattern=tests.py")
    assert done.ret == 0, done.stderr.str()
    done.stderr.fnmatch_lines(["Ran 1 test in *"])


def test_documentation_names_every_method() -> None:
    text = (ROOT / "docs" / "testing.md").read_text()
    public = {name for name in dir(FakePresence()) if not name.startswith("_")}
    assert {name for name in public if name not in text} == set()
