"""Presence in views: class-based views of Django, sync and async, consumers and live views.

Nothing here needs more than Django. In a class, put the mixin after those that deny access and
before all other bases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from inspect import isawaitable
from secrets import token_hex
from types import SimpleNamespace
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar, cast

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest

from presence.conf import hooks
from presence.conf.hooks import in_thread
from presence.cursors import CursorTracker
from presence.exceptions import CentrifugoError, InvalidChannel, StoreError
from presence.manager import PresenceManager, broadcast, forget_member
from presence.roster.channel_names import format_key, room
from presence.roster.people import sessionless_id
from presence.roster.validation import encode_member_meta, is_meta
from presence.snapshots import Record, record_of
from presence.transport.log_lines import line_logger
from presence.web.page import PageMember, page_state
from presence.web.process_heartbeat import process_heartbeat
from presence.web.visitors import Visitor, is_visit, meta_for, visitor_of

__all__ = ["LiveCursorMixin", "PresenceMixin", "is_visit"]

logger = line_logger("presence.mixins")

P = ParamSpec("P")
T = TypeVar("T")


def _twin(
    method: Callable[Concatenate[Any, P], T],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Return the async twin of a method, which calls that method of the view in a thread."""

    @wraps(method)
    async def twin(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        threaded = in_thread(getattr(self, method.__name__))
        return cast(T, await threaded(*args, **kwargs))

    return twin


class _Here(NamedTuple):
    """Claim of a view that `user` is here, with `meta`."""

    key: str
    user: str
    meta: dict[str, Any]


class _Tracking:
    """State of one instance of PresenceMixin: its source, and what it said last."""

    def __init__(self) -> None:
        self.source = token_hex(8)
        self.sessionless = sessionless_id(token_hex(8))
        self.here: _Here | None = None
        self.pointed: tuple[str, str] | None = None


class _UnfilledKey(str):
    """Key of a live view before its `mount`, as it is written. `error` says what is missing."""

    error: InvalidChannel


class ViewLifecycle:
    """Calls `mount(request, **kwargs)` of a view before its handler, and untracks a consumer that
    is disconnected.

    `mount` is called where it is a method of the site's own class: one that comes from a base
    without this mixin is left to that base, as live views have. Mixins that deny access come first,
    so visitors whom they turn away are never tracked.
    """

    # Handlers of the instance, as djust warns of classes that override `dispatch`: its sockets do
    # not call that.
    def _mount_before_handlers(self) -> None:
        """Let the first handler of a view call `mount`; not `options`, which has no page."""
        if hasattr(self, "mount") and not self._is_live_view():
            names = {n for n in getattr(self, "http_method_names", ()) if hasattr(self, n)}
            calls = {name: partial(self._mount_and_call, name) for name in names - {"options"}}
            vars(self).update(calls)

    def _mount_and_call(self, name: str, request: Any, /, *args: Any, **kwargs: Any) -> Any:
        for method in self.http_method_names:  # type: ignore[attr-defined]
            vars(self).pop(method, None)
        handler = getattr(self, name)
        if getattr(self, "view_is_async", False):
            return self._amount_and_call(handler, request, *args, **kwargs)
        self.mount(request, **kwargs)  # type: ignore[attr-defined]
        return handler(request, *args, **kwargs)

    async def _amount_and_call(
        self, handler: Any, request: Any, /, *args: Any, **kwargs: Any
    ) -> Any:
        mount = self.mount  # type: ignore[attr-defined]
        await (mount if iscoroutinefunction(mount) else in_thread(mount))(request, **kwargs)
        response = handler(request, *args, **kwargs)
        return await response if isawaitable(response) else response

    def _is_live_view(self) -> bool:
        """Return whether a base without this mixin has a `mount`: a framework of live views calls
        it, once for the page and once for the socket."""
        owners = [kind for kind in type(self).__mro__ if "mount" in vars(kind)]
        return not all(issubclass(kind, ViewLifecycle) for kind in owners)

    def websocket_disconnect(self, message: Any) -> Any:
        """Disconnect as a consumer of Channels does, sync or async."""
        return self._end_after(getattr(super(), "websocket_disconnect", None), message)

    def disconnect(self, *args: Any) -> Any:
        """Disconnect as a consumer of Channels does, sync or async."""
        return self._end_after(getattr(super(), "disconnect", None), *args)

    def _end_after(self, ends: Callable[..., Any] | None, *args: Any) -> Any:
        if iscoroutinefunction(ends):
            return self._aend_after(ends, *args)
        try:
            return ends(*args) if ends else None
        finally:
            self._end()

    async def _aend_after(self, ends: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        try:
            return await ends(*args)
        finally:
            await in_thread(self._end)()

    def _end(self) -> None:
        """Untrack. A member who cannot be taken back is gone after PRESENCE_TIMEOUT."""
        try:
            self.untrack_presence()  # type: ignore[attr-defined]
        except StoreError as error:
            logger.error("presence=not-taken-back view=%s error=%s", type(self).__name__, error)


class PresenceMixin(ViewLifecycle):
    """Tracks the visitor of the view in a room, and knows who else is there.

    `presence_key` is "document:{doc_id}": variables come from attributes of the view, else from
    its URL. Without it, the key is the full name of the class. Every instance is a source of its
    own: it takes back only what it said, whatever other tabs of the same person say.

    A view of Django that answers a request lives as long as that: the page's heartbeat keeps its
    visitor. An instance that lives on keeps its visitor itself, by the heartbeat of its process,
    until it untracks or is garbage-collected. That is one with a `scope`, as consumers have, or
    without a `request`; and a live view (its `mount` comes from a base without this mixin) that no
    URL led to: frameworks make a request without `resolver_match` for the socket. A live view that
    a URL led to only renders the page before its socket opens, and tracks nobody.

    Methods that touch the store raise StoreError where it cannot be reached, those that need the
    key InvalidChannel (a ValueError) where it cannot be one. Methods that begin with an `a` are for
    async code, which the others would block.
    """

    presence_key: str | None = None

    _presence: _Tracking

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Before __init__: djust takes private attributes that come later for the view's own state,
        # which it stores in the session.
        new = super().__new__
        view = new(cls) if new is object.__new__ else new(cls, *args, **kwargs)
        view._presence = _Tracking()
        view._mount_before_handlers()
        return view

    def get_presence_key(self) -> str:
        """Return the key with its variables filled in. Raises InvalidChannel that names the
        variable where one is missing, None or empty.

        A live view gets the key as it is written instead, since djust asks before `mount` sets the
        variables. All other methods of a live view raise the error.
        """
        kind = type(self)
        if self.presence_key is None:
            return f"{kind.__module__}.{kind.__qualname__}"
        owner = f"{kind.__qualname__}: set it before, as an attribute or in the URL"
        try:
            return format_key(self.presence_key, self._presence_variable, owner=owner)
        except InvalidChannel as error:
            if not self._is_live_view():
                raise
            key = _UnfilledKey(self.presence_key)
            key.error = error
            return key

    def get_presence_user_id(self) -> str:
        """Return the primary key of the user as a string; for a visitor who is not signed in an id
        `anon_…` that lasts as long as their session, or this instance where they have none."""
        visitor = _visitor_behind(self)
        return visitor.id or visitor.anonymous or self._presence.sessionless

    def track_presence(self, meta: dict[str, Any] | None = None) -> Record | None:
        """Track the visitor until `untrack_presence`, or until PRESENCE_TIMEOUT passes without a
        heartbeat, of the page or of the process (see the class).

        `meta` is a dict of JSON; for a signed-in user it gets a `name`, a `user_id` and the answer
        of PRESENCE_USER_INFO as well. Beyond 4096 bytes the largest parts are left out, first of
        that answer, then of `meta`, which is logged. A second call replaces what the first said.
        Returns the record (see PresenceManager); None, and tracks nobody, for a user whom
        PRESENCE_VISIBLE hides. None as well where the request does not show that somebody came: it
        fetched the page ahead, or brought neither a user nor a session. Then the page's heartbeat
        tracks the visitor once the page is open, and `handle_presence_join` is not called. None
        for a live view that renders a page: it tracks when its socket is open.
        Raises ValueError, and stores nothing, for another `meta`.
        """
        lives_on = self._lives_on()
        if not lives_on and self._is_live_view():
            self._presence_meta = meta or {}
            return None
        visitor = _visitor_behind(self)
        if visitor.hidden:
            return None
        user, came = self._presence_member(visitor)
        here = _Here(self._filled_key(), user, meta_for(visitor, meta))
        before = self._presence.here
        if before and before[:2] != here[:2]:
            self.untrack_presence()
            before = None
        member = (room(here.key), here.user, self._presence.source, encode_member_meta(here.meta))
        if not came:
            self._keep_by_heartbeat(member, joins=True)
            return None
        record = PresenceManager.join_presence(*here, source=self._presence.source)
        self._presence.here = here
        if lives_on:
            self._presence_meta = meta or {}
            process_heartbeat.keep(self, member[:3], member[3])
        else:
            self._keep_by_heartbeat(member)
        if before is None:
            self._call_handler("handle_presence_join", record)
        return record

    def untrack_presence(self) -> Record | None:
        """Take back what this instance said. Returns the record; None where it said nothing, or
        the time had passed. Consumers do this themselves when they are disconnected."""
        here, self._presence.here = self._presence.here, None
        vars(self).pop("_presence_meta", None)
        process_heartbeat.drop(self._presence.source)
        self._keep_by_heartbeat(None)
        if here is None:
            return None
        source = self._presence.source
        if self._lives_on() or not page_state(getattr(self, "request", None)).beats:
            # No page has a lifeline of this source. A note of the leave, which is kept for an hour,
            # would let a visitor fill Redis by connecting or asking again and again.
            member = forget_member(room(here.key), here.user, source)
            record = record_of(member) if member else None
        else:
            record = PresenceManager.leave_presence(here.key, here.user, source=source)
        if record is not None:
            self._call_handler("handle_presence_leave", record)
        return record

    def list_presences(self) -> list[Record]:
        """Return the records of everybody here, as PresenceManager.list_presences does."""
        return PresenceManager.list_presences(self._filled_key())

    def presence_count(self) -> int:
        """Return the number of records of `list_presences`."""
        return PresenceManager.presence_count(self._filled_key())

    def update_presence_heartbeat(self) -> bool:
        """Stay for another PRESENCE_TIMEOUT seconds. Returns False, and does nothing, where this
        instance tracks nobody, or the time had passed."""
        if self._presence.here is None:
            return False
        key, user, _ = self._presence.here
        return PresenceManager.update_heartbeat(key, user, source=self._presence.source)

    def broadcast_to_presence(self, event: str, payload: dict[str, Any] | None = None) -> None:
        """Send an event to every page that shows the room, where it becomes a `presence:event` of
        the DOM. `event` is a string of 1 to 100 characters; with `payload`, a dict of JSON, it has
        at most 8 KiB. Raises ValueError for anything else, CentrifugoError where Centrifugo did not
        take it. Nobody gets it later."""
        broadcast(room(self._filled_key()), event, payload)

    def push_event(self, event: str, payload: dict[str, Any] | None = None) -> Any:
        """Call `push_event` of another base of the view; where there is none, do
        `broadcast_to_presence`, but log a Centrifugo that is down."""
        if pushes := getattr(super(), "push_event", None):
            return pushes(event, payload)
        try:
            return self.broadcast_to_presence(event, payload)
        except CentrifugoError as error:
            logger.error("event=not-sent event=%s error=%s", event, error)

    def handle_presence_join(self, presence: Record) -> Any:
        """Override to act on the record of `track_presence`, in this view alone: receivers of the
        signal presence_joined are called for everybody. May be async, as the next one."""

    def handle_presence_leave(self, presence: Record) -> Any:
        """Override to act on the record of `untrack_presence`, in this view alone."""

    def _cleanup_uploads(self) -> None:
        """Have the member deleted. djust calls this in its event loop when a view leaves its
        socket, and calls nothing else of a view that another replaces (`live_redirect`)."""
        process_heartbeat.end(self._presence.source)
        if cleans := getattr(super(), "_cleanup_uploads", None):
            cleans()

    def _restore_presence(self) -> None:
        """Track as `mount` did. djust calls this where it restores a view in place of `mount`, with
        the private attributes that `mount` made."""
        if (meta := vars(self).get("_presence_meta")) is not None:
            try:
                self.track_presence(meta)
            except StoreError as error:
                logger.error("presence=not-restored view=%s error=%s", type(self).__name__, error)

    atrack_presence = _twin(track_presence)
    auntrack_presence = _twin(untrack_presence)
    alist_presences = _twin(list_presences)
    apresence_count = _twin(presence_count)
    aupdate_presence_heartbeat = _twin(update_presence_heartbeat)
    abroadcast_to_presence = _twin(broadcast_to_presence)

    def _presence_member(self, visitor: Visitor) -> tuple[str, bool]:
        """Return the id of the member who is the visitor, and whether the request shows that they
        came.

        A request that fetches a page ahead, or one that brings neither a user nor a session, does
        not: then the page itself says so when it is open. A websocket is open.
        """
        user, lives_on = self.get_presence_user_id(), self._lives_on()
        came = lives_on or is_visit(getattr(self, "request", None))
        if user not in (visitor.id, visitor.anonymous, self._presence.sessionless):
            return user, came  # an id of the site's own
        if came and (lives_on or visitor.id or visitor.returning):
            return user, True
        # A session that this request made shows nothing: the heartbeat brings it along, or not.
        return (user if visitor.id or visitor.returning else self._presence.sessionless), False

    def _lives_on(self) -> bool:
        """Return whether the instance holds a connection: see the class."""
        request = getattr(self, "request", None)
        if request is None or _scope(self):
            return True
        return self._is_live_view() and getattr(request, "resolver_match", None) is None

    def _filled_key(self) -> str:
        key = self.get_presence_key()
        if isinstance(key, _UnfilledKey):
            raise key.error
        return key

    def _presence_variable(self, name: str) -> object:
        value = getattr(self, name, None)
        if value is not None and value != "" and not callable(value):
            return value
        # Views have methods of many names.
        arguments = getattr(self, "kwargs", None)
        if arguments is None:
            arguments = _scope(self).get("url_route", {}).get("kwargs")
        return (arguments or {}).get(name)

    def _keep_by_heartbeat(self, member: PageMember | None, *, joins: bool = False) -> None:
        """Let the page's heartbeat keep `member`, and no member that the view tracked before.

        `joins`: the heartbeat makes the member join.
        """
        if (request := getattr(self, "request", None)) is not None:
            state = page_state(request)
            others = [kept for kept in state.members if kept[2] != self._presence.source]
            state.members = [*others, member] if member else others
            state.joins = state.joins or joins

    def _call_handler(self, name: str, record: Record) -> None:
        """Call a handler of the view. One that fails is logged, and nothing else fails."""
        handler = getattr(self, name)
        if iscoroutinefunction(handler):
            handler = async_to_sync(handler)
        about = f"view={type(self).__qualname__} user={record['id']}"
        hooks.call(name, handler, record, read=lambda _: None, fallback=None, about=about)


class LiveCursorMixin(PresenceMixin):
    """A PresenceMixin that moves cursors as well: see presence.cursors for positions."""

    def update_cursor_position(self, x: float, y: float) -> None:
        """Move the cursor of the visitor, and have it published with the meta that was tracked.

        Does nothing for a user whom PRESENCE_VISIBLE hides. Reads the meta from the store where
        another request tracked the visitor. Raises as CursorTracker does.
        """
        visitor = _visitor_behind(self)
        if visitor.hidden:
            return
        here = self._presence.here or self._find_presence(visitor)
        CursorTracker.update_cursor(here.key, here.user, x, y, here.meta)
        self._presence.pointed = (here.key, here.user)

    def get_cursors(self) -> dict[str, dict[str, Any]]:
        """Return every cursor here by user id, as CursorTracker.get_cursors does."""
        return CursorTracker.get_cursors(self._filled_key())

    def handle_cursor_move(self, x: float, y: float) -> Any:
        """Move the cursor; the site calls this with what a page sends, and may override it."""
        self.update_cursor_position(x, y)

    def untrack_presence(self) -> Record | None:
        """Untrack as PresenceMixin does, and remove the cursor."""
        tracked, pointed = self._presence.here, self._presence.pointed
        self._presence.pointed = None
        record = super().untrack_presence()
        for key, user in {cursor[:2] for cursor in (tracked, pointed) if cursor}:
            CursorTracker.remove_cursor(key, user)
        return record

    aupdate_cursor_position = _twin(update_cursor_position)
    aget_cursors = _twin(get_cursors)

    def _find_presence(self, visitor: Visitor) -> _Here:
        key, user = self._filled_key(), self.get_presence_user_id()
        metas = [record["meta"] for record in self.list_presences() if record["id"] == user]
        if not metas or not is_meta(metas[0]):
            metas = [meta_for(visitor, None)]
        return _Here(key, user, metas[0])


def _visitor_behind(view: object) -> Visitor:
    """Return the visitor who sent the `request` of `view`, or whose `scope` it has, as Channels
    makes it. Raises as `visitor_of` does."""
    request = getattr(view, "request", None)
    if request is None:
        scope = _scope(view)
        request = SimpleNamespace(user=scope.get("user"), session=scope.get("session"))
    return visitor_of(cast(HttpRequest, request))


def _scope(view: object) -> dict[str, Any]:
    return getattr(view, "scope", None) or {}
