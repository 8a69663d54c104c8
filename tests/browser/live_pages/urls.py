"""URLs of the site of live views."""

from django.urls import include, path

from tests.browser.live_pages import views

urlpatterns = [
    path("board/<slug:room>/", views.WhiteboardView.as_view()),
    path("restored/<slug:room>/", views.RestoredView.as_view()),
    path("overriding/<slug:room>/", views.OverridingView.as_view()),
    path("joined/", views.joined),
    path("enter/", views.enter),
    path("presence/", include("presence.urls")),
]
