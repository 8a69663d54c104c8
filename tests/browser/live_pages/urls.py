"""URLs of the site of live views."""

from django.urls import include, path
from djust.sse import sse_urlpatterns

from tests.browser.live_pages import views

urlpatterns = [
    path("board/<slug:room>/", views.WhiteboardView.as_view()),
    path("restored/<slug:room>/", views.RestoredView.as_view()),
    path("djust/", include(sse_urlpatterns)),
    path("joined/", views.joined),
    path("enter/", views.enter),
    path("presence/", include("presence.urls")),
]
