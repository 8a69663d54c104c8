"""Presence in querysets: those of a table who are here, and who is at each of its objects.

These are for code that has decided that it may know: PRESENCE_AUTHORIZE is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, QuerySet
from django.db.models.query import ModelIterable

from presence.conf import conf
from presence.roster.channel_names import room
from presence.roster.keys import fill_in
from presence.snapshots import read_channel, read_records
from presence.web.access import polled_channel

__all__ = ["online", "with_presence"]

M = TypeVar("M", bound=Model)


def online(queryset: QuerySet[M], channel: str | None = None) -> QuerySet[M]:
    """Those of `queryset`, whose primary keys are user ids, who are in `channel` now.

    `channel` is a whole name such as "presence:document:42", by default PRESENCE_CHANNEL. Reads
    the store at once, in one round trip; the queryset is as lazy as any. Raises InvalidChannel (a
    ValueError) for what cannot be a channel or is not polled, StoreError when the store cannot be
    read.
    """
    name = polled_channel(conf.PRESENCE_CHANNEL if channel is None else channel)
    ids = (record["id"] for record in read_channel(name))
    field = _plain(queryset.model._meta.pk)
    keys = [key for one in ids if (key := _key_of(one, field)) is not None]
    return queryset.filter(pk__in=keys)


def with_presence(queryset: QuerySet[M], key: str = "document:{pk}") -> QuerySet[M]:
    """The same objects, each with who is at it: `presences`, as PresenceManager.list_presences
    gives them, and their number, `presence_count`.

    `key` is a presence key with attributes of the object: "document:{pk}", "wiki:{slug}",
    "desk:{owner.pk}". Whatever is fetched at once, a page for example, takes one round trip;
    filters, slices and paginators may come before and after. Iterating raises
    InvalidChannel (a ValueError) for what cannot be a key, and naming an attribute that is missing,
    None or empty; StoreError when the store cannot be read. Of a room that is damaged there, which
    is logged, nobody is known until the next tick. Raises TypeError for a queryset that gives no
    objects.
    """
    clone = queryset.all()
    made_by = clone._iterable_class
    if not issubclass(made_by, ModelIterable):
        raise TypeError("with_presence() needs a queryset of objects: call values() after it")

    # What a clone of the queryset keeps is its class of iterables.
    class WithPresence(made_by):  # type: ignore[misc, valid-type]
        def __iter__(self) -> Iterator[Model]:
            objects = super().__iter__()
            # All at once, but for iterator(), which is there to hold a chunk at a time.
            size = self.chunk_size if self.chunked_fetch else None
            while some := list(islice(objects, size)):
                _fill(some, key)
                yield from some

    clone._iterable_class = WithPresence
    return clone


def _fill(objects: list[Any], key: str) -> None:
    rooms = [_room_of(one, key) for one in objects]
    present = read_records(list(dict.fromkeys(rooms)))
    for one, name in zip(objects, rooms, strict=True):
        one.presences = present.get(name, [])
        one.presence_count = len(one.presences)


def _room_of(one: Model, key: str) -> str:
    return room(fill_in(key, lambda name: getattr(one, name, None), owner=f"{one!r:.80}"))


def _plain(field: Any) -> Field[Any, Any]:
    """The field that holds the values of `field`, which may be a relation."""
    while field.remote_field:
        field = field.target_field
    return field  # type: ignore[no-any-return]


def _key_of(id: str, field: Field[Any, Any]) -> object:  # noqa: A002
    """The value of `field` whose text is `id`; None where there is none, as for the id of a bot."""
    try:
        value = field.to_python(id)
        field.run_validators(value)
    except ValidationError:
        return None
    return value if str(value) == id else None
