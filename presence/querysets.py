"""Presence in querysets: the users of a table who are here, the people at each of its objects.

These do not ask PRESENCE_AUTHORIZE: the calling code has decided that it may know.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, QuerySet
from django.db.models.query import ModelIterable

from presence.conf import conf
from presence.roster.channel_names import format_key, room
from presence.snapshots import read_channel, read_records
from presence.web.access import polled_channel

__all__ = ["online", "with_presence"]

M = TypeVar("M", bound=Model)


def online(queryset: QuerySet[M], channel: str | None = None) -> QuerySet[M]:
    """Return the users of `queryset` who are in `channel` now; its primary keys are user ids.

    `channel` is a full name such as "presence:document:42", by default PRESENCE_CHANNEL. Reads
    the store at once, in one round trip; the queryset is as lazy as any. Raises InvalidChannel (a
    ValueError) for a name that cannot be a channel or is not polled, StoreError when the store
    cannot be read.
    """
    name = polled_channel(conf.PRESENCE_CHANNEL if channel is None else channel)
    ids = (record["id"] for record in read_channel(name))
    field = _plain(queryset.model._meta.pk)
    keys = [key for user in ids if (key := _key_of(user, field)) is not None]
    return queryset.filter(pk__in=keys)


def with_presence(queryset: QuerySet[M], key: str = "document:{pk}") -> QuerySet[M]:
    """Return the same objects with two more attributes: `presences`, the records of the people at
    the object as of PresenceManager.list_presences, and their number, `presence_count`.

    `key` is a presence key with attributes of the object: "document:{pk}", "wiki:{slug}",
    "desk:{owner.pk}". Objects that are fetched at once, such as a page, take one round trip;
    filters, slices and paginators may come before and after. Iterating raises InvalidChannel (a
    ValueError) for an invalid key, or naming an attribute that is missing, None or empty;
    StoreError when the store cannot be read. A room that is damaged there, which is logged, has no
    people until the next tick. Raises TypeError for a queryset of anything but objects.
    """
    clone = queryset.all()
    made_by = clone._iterable_class
    if not issubclass(made_by, ModelIterable):
        raise TypeError("with_presence() needs a queryset of objects: call values() after it")

    # A clone of the queryset keeps its class of iterables.
    class WithPresence(made_by):  # type: ignore[misc, valid-type]
        def __iter__(self) -> Iterator[Model]:
            objects = super().__iter__()
            # All at once, but for iterator(), which is there to hold a chunk at a time.
            size = self.chunk_size if self.chunked_fetch else None
            while chunk := list(islice(objects, size)):
                rooms = [_room_of(obj, key) for obj in chunk]
                records = read_records(list(dict.fromkeys(rooms)))
                for obj, name in zip(chunk, rooms, strict=True):
                    obj.presences = records.get(name, [])
                    obj.presence_count = len(obj.presences)
                yield from chunk

    clone._iterable_class = WithPresence
    return clone


def _room_of(obj: Model, key: str) -> str:
    return room(format_key(key, lambda name: getattr(obj, name, None), owner=f"{obj!r:.80}"))


def _plain(field: Any) -> Field[Any, Any]:
    """Return the field that holds the values of `field`, which may be a relation."""
    while field.remote_field:
        field = field.target_field
    return field  # type: ignore[no-any-return]


def _key_of(id: str, field: Field[Any, Any]) -> object:  # noqa: A002
    """Return the value of `field` whose string is `id`; None for an id without one, as of a bot."""
    try:
        value = field.to_python(id)
        field.run_validators(value)
    except ValidationError:
        return None
    return value if str(value) == id else None
