"""The pages of the demo: the front page, a room per slug, signing in and out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login, logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from project.people import PEOPLE, user_of

# The rooms that the pages link to; any other slug is a room as well.
ROOMS = {
    "design-review": _("Design review"),
    "launch-plan": _("Launch plan"),
    "quiet-corner": _("Quiet corner"),
}
BACKEND = "django.contrib.auth.backends.ModelBackend"


def site(request: HttpRequest) -> dict[str, Any]:
    """Context of every page: the people to sign in as, and the rooms."""
    return {"people": PEOPLE.values(), "rooms": ROOMS}


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """The page with the site-wide widget."""
    return render(request, "demo/front.html")


@require_safe
def room(request: HttpRequest, slug: str) -> HttpResponse:
    """The page of one room, with the widget of the channel `presence:room:<slug>`."""
    name = ROOMS.get(slug) or slug.replace("-", " ").replace("_", " ").strip().capitalize()
    context = {"slug": slug, "name": name or slug, "room_channel": f"presence:room:{slug}"}
    return render(request, "demo/room.html", context)


@require_POST
def sign_in(request: HttpRequest, username: str) -> HttpResponse:
    """Sign in as a sample person and go back to the page that asked. 404 for anybody else."""
    if username not in PEOPLE:
        raise Http404(f"No sample person is called {username!r}.")
    login(request, user_of(PEOPLE[username]), backend=BACKEND)
    return back(request)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Sign out and go back to the page that asked."""
    logout(request)
    return back(request)


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the icon. Browsers ask for it on pages that name none, such as the admin's."""
    return redirect(static("demo/logo.svg"), permanent=True)


def back(request: HttpRequest) -> HttpResponse:
    """A redirect to the path in `next` where that is on this site, else to the front page."""
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, request.get_host(), request.is_secure()):
        target = reverse("front")
    return redirect(target)
