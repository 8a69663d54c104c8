"""URLs of the documents."""

from django.urls import path

from project.documents import views

urlpatterns = [
    path("documents/", views.DocumentList.as_view(), name="documents"),
    path("documents/<int:pk>/", views.DocumentPage.as_view(), name="document"),
    path("reading-room/", views.ReadingRoom.as_view(), name="reading-room"),
]
