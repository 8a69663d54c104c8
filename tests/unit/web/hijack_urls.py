"""URLs of a site whose staff may act as a user."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("hijack/", include("hijack.urls")),
    path("presence/", include("presence.urls")),
]
