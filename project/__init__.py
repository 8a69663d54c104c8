"""The demo site. Importing the Celery application here is what lets tasks find their broker."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
