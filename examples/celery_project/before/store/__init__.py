"""The background work of a web shop, with Celery: `celery -A store worker -B`."""

from .celery import app

__all__ = ["app"]
