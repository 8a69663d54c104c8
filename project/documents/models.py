"""Documents that the people of the demo write together."""

from __future__ import annotations

from django.db import models
from django.urls import reverse


class Document(models.Model):
    """A page of text."""

    title = models.CharField(max_length=100)
    text = models.TextField(blank=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("document", kwargs={"pk": self.pk})
