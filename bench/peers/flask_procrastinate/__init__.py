"""Flask and procrastinate: the job is a row, of the same transaction as the event."""

from __future__ import annotations
