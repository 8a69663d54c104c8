"""URLs of the stage."""

from django.urls import include, path

from tests.browser.pages import views

urlpatterns = [
    path("", views.page, name="page"),
    path("tracked/<slug:room>/", views.Tracked.as_view()),
    path("enter/", views.enter),
    path("leave/", views.leave),
    path("favicon.ico", views.favicon),
    path("presence/", include("presence.urls")),
]
