"""Presence keys with variables: `document:{doc_id}`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from string import Formatter
from typing import Any

from presence.exceptions import InvalidChannel

__all__ = ["fill_in"]


def fill_in(key: str, find: Callable[[str], object], *, owner: str) -> str:
    """`key` with its variables filled in, as str.format does: "document:{doc.pk}".

    `find` gives the value of a name, None where there is none. `owner` says in errors where was
    looked. Raises InvalidChannel (a ValueError) for what is no such key, and naming the variable
    where one is missing, None or empty: the room would be one that others are in as well.
    """
    try:
        return _Filling(key, owner).vformat(key, (), _Values(find))
    except InvalidChannel:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidChannel(
            f"Presence key {key!r} cannot be filled in ({error}): write it like 'doc:{{pk}}'"
        ) from error


class _Values(dict[str, Any]):
    def __init__(self, find: Callable[[str], object]) -> None:
        self._find = find

    def __missing__(self, name: str) -> object:
        return self._find(name)


class _Filling(Formatter):
    def __init__(self, key: str, owner: str) -> None:
        self._key = key
        self._owner = owner

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        try:
            value, used = super().get_field(field_name, args, kwargs)
        except (LookupError, AttributeError, TypeError):
            value, used = None, field_name
        if value is None or value == "":
            raise InvalidChannel(
                f"Presence key {self._key!r} needs {{{field_name}}}, which is missing or empty "
                f"in {self._owner}"
            )
        return value, used
