"""The sample people of the demo, whom anybody may sign in as with one click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
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
    runs_the_site: bool = False

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
        Person("grace", "Grace", "Hopper", "#b3402e", runs_the_site=True),
        Person("katherine", "Katherine", "Johnson", "#2b6cb0"),
        Person("edsger", "Edsger", "Dijkstra", "#4d7c3a"),
        Person("margaret", "Margaret", "Hamilton", "#a8621b"),
    )
}


def user_of(person: Person) -> User:
    """The user of a sample person, made at the first sign-in; there is no password to them.

    Who runs the site may use its admin, to tune the schedule, but only while DEBUG is on.
    """
    from django.contrib.auth.models import User

    user, created = User.objects.get_or_create(username=person.username)
    if created:
        user.set_unusable_password()
    user.first_name, user.last_name = person.first_name, person.last_name
    user.is_staff = user.is_superuser = person.runs_the_site and settings.DEBUG
    user.save()
    return user


def user_info(user: AbstractBaseUser) -> dict[str, Any]:
    """PRESENCE_USER_INFO of the demo: avatar and colour of a sample person, nothing of others."""
    person = PEOPLE.get(user.get_username())
    return {"avatar": person.avatar, "color": person.color} if person else {}
