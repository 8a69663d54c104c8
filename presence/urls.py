"""`path("presence/", include("presence.urls"))` in the site's own urls.py."""

from __future__ import annotations

from django.urls import path

from presence.web import publish_proxy, views
from presence.web.heartbeat import heartbeat

app_name = "presence"
urlpatterns = [
    path("tokens/", views.tokens, name="tokens"),
    path("snapshot/", views.snapshot, name="snapshot"),
    path("check/", views.check, name="check"),
    path("heartbeat/", heartbeat, name="heartbeat"),
    path("publish/", publish_proxy.publish, name="publish"),
]
