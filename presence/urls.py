"""`path("presence/", include("presence.urls"))` in the site's own urls.py."""

from __future__ import annotations

from django.urls import path

from presence import proxy, views
from presence.heartbeat import heartbeat

app_name = "presence"
urlpatterns = [
    path("tokens/", views.tokens, name="tokens"),
    path("snapshot/", views.snapshot, name="snapshot"),
    path("beacon/", views.beacon, name="beacon"),
    path("heartbeat/", heartbeat, name="heartbeat"),
    path("publish/", proxy.publish, name="publish"),
]
