"""The demo's Celery application on a site that limits the time of its tasks."""

from project.celery import app

__all__ = ["app"]

app.conf.task_annotations = {"*": {"soft_time_limit": 1.0}}
