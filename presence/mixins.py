"""Presence in views: class-based ones of Django, sync and async, consumers and live views.

Nothing here needs more than Django. In a class, put the mixin after those that deny access and
before all other bases.
"""

from __future__ import annotations

import logging
from secrets import token_hex
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync, iscoroutinefunction

from presence.conf import hooks
from presence.conf.upkeep import in_thread
from presence.cursors import CursorTracker
from presence.exceptions import CentrifugoError
from presence.manager import PresenceManager, broadcast
from presence.roster.channel_names import room
from presence.roster.people import passing_id
from presence.roster.validation import is_meta, member_meta
from presence.snapshots import Record
from presence.web.lifetime import Lifetime
from presence.web.viewing import has_come, key_of, meta_for, visitor_behind
from presence.web.visitors import Visitor
from presence.web.visits import is_visit

__all__ = ["LiveCursorMixin", "PresenceMixin"]

logger = logging.getLogger("presence.mixins")


class _Here(NamedTuple):
    """What a view said: that `user` is here, with `meta`."""

    key: str
    user: str
    meta: dict[str, Any]


class PresenceMixin(Lifetime):
    """Says that whom the view is for is here, and knows who else is.

    `presence_key` is "document:{doc_id}": variables come from attributes of the view, else from
    its URL. Without it, it is the whole name of the class. Every instance speaks for itself: what
    it says it can take back, whatever other tabs of the same person say.

    Methods that touch the store raise StoreError where it cannot be reached, those that need the
    key InvalidChannel (a ValueError) where it cannot be one. Those that begin with an `a` are for
    async code, which the others would block.
    """

    presence_key: str | None = None

    _presence: _Here | None = None
    _presence_anonymous: str = ""

    def get_presence_key(self) -> str:
        """The key, with its variables filled in. Raises InvalidChannel that names the variable
        where one is missing, None or empty."""
        return key_of(self, self.presence_key)

    def get_presence_user_id(self) -> str:
        """Return the primary key of the user as a string; of a visitor who is not signed in an id
        `anon_…` that lasts as long as their session, or this instance where they have none."""
        visitor = visitor_behind(self)
        if known := visitor.id or visitor.anonymous:
            return known
        return self._passing_id()

    def _passing_id(self) -> str:
        self._presence_anonymous = self._presence_anonymous or passing_id(token_hex(8))
        return self._presence_anonymous

    def track_presence(self, meta: dict[str, Any] | None = None) -> Record | None:
        """Say that whom the view is for is here, until `untrack_presence`, or until
        PRESENCE_TIMEOUT passes without a heartbeat.

        `meta` is a dict of JSON; of a user who is signed in it has a `name`, a `user_id` and what
        PRESENCE_USER_INFO gives as well. Beyond 4096 bytes, the largest parts of what that gives,
        then of `meta`, are left out, which is logged. Again, it replaces what was said.
        Returns the record (see PresenceManager); None, and nothing is said, for a user whom
        PRESENCE_VISIBLE hides. None as well where the request does not show that somebody came: it
        fetched the page ahead, or brought neither a user nor a session. Then it is the page's
        heartbeat that says so, once the page is open, and `handle_presence_join` is not called.
        Raises ValueError, and stores nothing, for another `meta`.
        """
        visitor = visitor_behind(self)
        if visitor.hidden:
            return None
        user, come = self._whom(visitor)
        here = _Here(self.get_presence_key(), user, meta_for(visitor, meta))
        before = self._presence
        if before and before[:2] != here[:2]:
            self.untrack_presence()
            before = None
        self._presence_source = self._presence_source or token_hex(8)
        said = (room(here.key), here.user, self._presence_source, member_meta(here.meta))
        if not come:
            self._keep(said, joins=True)
            return None
        record = PresenceManager.join_presence(*here, source=self._presence_source)
        self._presence = here
        self._keep(said)
        if before is None:
            self._tell("handle_presence_join", record)
        return record

    def untrack_presence(self) -> Record | None:
        """Take back what this instance said. Returns the record; None where it said nothing, or
        the time had passed. Consumers do it themselves when they are disconnected."""
        here, self._presence = self._presence, None
        if self._presence_source:
            self._keep(None)
        if here is None:
            return None
        record = PresenceManager.leave_presence(here.key, here.user, source=self._presence_source)
        if record is not None:
            self._tell("handle_presence_leave", record)
        return record

    def _whom(self, visitor: Visitor) -> tuple[str, bool]:
        """Return the id of the member who is the visitor, and whether the request shows that they
        came."""
        user, request = self.get_presence_user_id(), getattr(self, "request", None)
        if user not in (visitor.id, visitor.anonymous, self._presence_anonymous):
            return user, is_visit(request)  # an id of the site's own
        if has_come(self, visitor):
            return user, True
        # A session that this request made tells nothing: the heartbeat brings it along, or not.
        return (user if visitor.id or visitor.returning else self._passing_id()), False

    def list_presences(self) -> list[Record]:
        """Everybody who is here, as PresenceManager.list_presences gives them."""
        return PresenceManager.list_presences(self.get_presence_key())

    def presence_count(self) -> int:
        """How many records `list_presences` gives."""
        return PresenceManager.presence_count(self.get_presence_key())

    def update_presence_heartbeat(self) -> bool:
        """Stay for another PRESENCE_TIMEOUT seconds. False, and nothing else, where this instance
        said nothing, or the time had passed."""
        if self._presence is None:
            return False
        key, user, _ = self._presence
        return PresenceManager.update_heartbeat(key, user, source=self._presence_source)

    def broadcast_to_presence(self, event: str, payload: dict[str, Any] | None = None) -> None:
        """Send an event to every page that shows the room, where it becomes a `presence:event` of
        the DOM. `event` is a text of 1 to 100 characters; with `payload`, a dict of JSON, it has at
        most 8 KiB. Raises ValueError for what is not that, CentrifugoError where Centrifugo did
        not take it. Nobody gets it later."""
        broadcast(room(self.get_presence_key()), event, payload)

    def push_event(self, event: str, payload: dict[str, Any] | None = None) -> Any:
        """What another base of the view does by that name; where there is none,
        `broadcast_to_presence`, but for a Centrifugo that is down: that is logged."""
        if pushes := getattr(super(), "push_event", None):
            return pushes(event, payload)
        try:
            return self.broadcast_to_presence(event, payload)
        except CentrifugoError as error:
            logger.error("event=not-sent event=%s error=%s", event, error)

    def handle_presence_join(self, presence: Record) -> Any:
        """Called with the record by `track_presence`, in this view alone: receivers of the signal
        presence_joined are called for everybody. May be async, as the next one."""

    def handle_presence_leave(self, presence: Record) -> Any:
        """Called with the record by `untrack_presence`, in this view alone."""

    def _tell(self, name: str, record: Record) -> None:
        """Call a handler of the view. One that fails is logged, and nothing else fails."""
        handler = getattr(self, name)
        if iscoroutinefunction(handler):
            handler = async_to_sync(handler)
        about = f"view={type(self).__qualname__} user={record['id']}"
        hooks.call(name, handler, record, read=lambda _: None, fallback=None, about=about)

    async def atrack_presence(self, meta: dict[str, Any] | None = None) -> Record | None:
        """As `track_presence`."""
        return await in_thread(self.track_presence)(meta)

    async def auntrack_presence(self) -> Record | None:
        """As `untrack_presence`."""
        return await in_thread(self.untrack_presence)()

    async def alist_presences(self) -> list[Record]:
        """As `list_presences`."""
        return await in_thread(self.list_presences)()

    async def apresence_count(self) -> int:
        """As `presence_count`."""
        return await in_thread(self.presence_count)()

    async def aupdate_presence_heartbeat(self) -> bool:
        """As `update_presence_heartbeat`."""
        return await in_thread(self.update_presence_heartbeat)()

    async def abroadcast_to_presence(
        self, event: str, payload: dict[str, Any] | None = None
    ) -> None:
        """As `broadcast_to_presence`."""
        await in_thread(self.broadcast_to_presence)(event, payload)


class LiveCursorMixin(PresenceMixin):
    """A PresenceMixin that moves cursors, too: see presence.cursors for what positions are."""

    _presence_pointed: tuple[str, str] | None = None

    def update_cursor_position(self, x: float, y: float) -> None:
        """Move the cursor of whom the view is for, and have it published with the meta that was
        tracked, here or for another request, which takes a read. Nothing for whom
        PRESENCE_VISIBLE hides. Raises as CursorTracker does."""
        visitor = visitor_behind(self)
        if visitor.hidden:
            return
        here = self._presence or self._here(visitor)
        CursorTracker.update_cursor(here.key, here.user, x, y, here.meta)
        self._presence_pointed = (here.key, here.user)

    def get_cursors(self) -> dict[str, dict[str, Any]]:
        """Every cursor here, as CursorTracker.get_cursors gives them: {user id: {x, y, …}}."""
        return CursorTracker.get_cursors(self.get_presence_key())

    def handle_cursor_move(self, x: float, y: float) -> Any:
        """To be called with what a page sends; moves the cursor unless you override it."""
        self.update_cursor_position(x, y)

    def untrack_presence(self) -> Record | None:
        """As PresenceMixin does; takes the cursor away as well."""
        tracked, pointed = self._presence, self._presence_pointed
        self._presence_pointed = None
        record = super().untrack_presence()
        for key, user in {one[:2] for one in (tracked, pointed) if one}:
            CursorTracker.remove_cursor(key, user)
        return record

    def _here(self, visitor: Visitor) -> _Here:
        key, user = self.get_presence_key(), self.get_presence_user_id()
        known = [one["meta"] for one in self.list_presences() if one["id"] == user]
        if not known or not is_meta(known[0]):
            known = [meta_for(visitor, None)]
        return _Here(key, user, known[0])

    async def aupdate_cursor_position(self, x: float, y: float) -> None:
        """As `update_cursor_position`."""
        await in_thread(self.update_cursor_position)(x, y)

    async def aget_cursors(self) -> dict[str, dict[str, Any]]:
        """As `get_cursors`."""
        return await in_thread(self.get_cursors)()
