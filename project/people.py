"""The sample people of the demo, whom anybody may sign in as with one click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.templatetags.static import static

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, User


@dataclass(frozen=True, slots=True)
class Person:
    """A sample user; `username` also names the portrait in static/demo/people/."""

    username: str
    first_name: str
    last_name: str
    color: str  # of the portrait's background and of the live cursor

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def avatar(self) -> str:
        """URL of the portrait."""
        return static(f"demo/people/{self.username}.svg")


PEOPLE = {
    person.username: person
    for person in (
        Person("ada", "Ada", "Lovelace", "#7c4dbe"),
        Person("alan", "Alan", "Turing", "#1f7a8c"),
        Person("grace", "Grace", "Hopper", "#b3402e"),
        Person("katherine", "Katherine", "Johnson", "#2b6cb0"),
        Person("edsger", "Edsger", "Dijkstra", "#4d7c3a"),
        Person("margaret", "Margaret", "Hamilton", "#a8621b"),
    )
}


def user_of(person: Person) -> User:
    """The user of a sample person, made at the first sign-in; nobody can sign in as one with a
    password.
    """
    from django.contrib.auth.models import User

    names = {"first_name": person.first_name, "last_name": person.last_name}
    user, created = User.objects.get_or_create(username=person.username, defaults=names)
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def user_info(user: AbstractBaseUser) -> dict[str, Any]:
    """PRESENCE_USER_INFO of the demo: avatar and colour of a sample person, nothing of others."""
    person = PEOPLE.get(user.get_username())
    return {"avatar": person.avatar, "color": person.color} if person else {}
