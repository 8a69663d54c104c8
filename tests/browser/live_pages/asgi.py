"""The site of live views for ASGI servers."""

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.urls import path  # noqa: E402
from djust.websocket import LiveViewConsumer  # noqa: E402

from tests.browser.live_pages.views import DocumentConsumer  # noqa: E402

sockets = URLRouter(
    [
        path("ws/live/", LiveViewConsumer.as_asgi()),
        path("ws/document/<slug:room>/", DocumentConsumer.as_asgi()),
    ]
)
application = ProtocolTypeRouter(
    {
        "http": ASGIStaticFilesHandler(http),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(sockets)),
    }
)
