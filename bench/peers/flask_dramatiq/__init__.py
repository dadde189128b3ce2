"""Flask and dramatiq: one message per webhook."""

from __future__ import annotations
