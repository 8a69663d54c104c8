"""The demo site. Importing the Celery application here is what lets tasks find their broker."""

import os

__all__ = []

if os.environ.get("ASYNC_BACKEND") != "huey":
    from project.celery import app as celery_app

    __all__ += ["celery_app"]
