"""The demo's Content-Security-Policy: nothing but what this site itself serves."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

# Django's own error pages of DEBUG need inline styles.
DEBUG_PAGES = {404, 500}


def policy(path: str) -> str:
    """Nothing from elsewhere but the websocket of Centrifugo, and no inline script or style.

    In the admin an inline script has to be allowed: django-celery-beat's form carries one.
    """
    websocket = urlsplit(settings.CENTRIFUGO_WS_URL)
    directives = [
        "default-src 'self'",
        f"connect-src 'self' {websocket.scheme}://{websocket.netloc}",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
    if path.startswith(reverse("admin:index")):
        directives.append("script-src 'self' 'unsafe-inline'")
    return "; ".join(directives)


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware that sends the policy with every page."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not (settings.DEBUG and response.status_code in DEBUG_PAGES):
            response.headers.setdefault("Content-Security-Policy", policy(request.path))
        return response

    return middleware
