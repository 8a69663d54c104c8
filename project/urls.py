"""URLs of the demo site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from project import views

urlpatterns = [
    path("", views.front, name="front"),
    path("rooms/<slug:slug>/", views.room, name="room"),
    path("variants/", TemplateView.as_view(template_name="demo/variants.html"), name="variants"),
    path(
        "whiteboard/", TemplateView.as_view(template_name="demo/whiteboard.html"), name="whiteboard"
    ),
    path("", include("project.documents.urls")),
    path("sign-in/<slug:username>/", views.sign_in, name="sign-in"),
    path("sign-out/", views.sign_out, name="sign-out"),
    path("favicon.ico", views.favicon),
    path("presence/", include("presence.urls")),
    path("admin/", admin.site.urls),
]
