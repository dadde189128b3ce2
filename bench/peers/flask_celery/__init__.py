"""Flask and Celery by the book: one task per webhook."""

from __future__ import annotations
