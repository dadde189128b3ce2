"""`GET /metrics`: what the door counted, and what the database says at the moment of the scrape."""

from __future__ import annotations

from typing import Any

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.store import upkeep_reading
from webhooks_app import door as doors
from webhooks_app.database import DatabaseAway
from webhooks_app.door import Door

SCRAPE_HOLD_S = 1.0


def show_metrics() -> Response:
    """The door's own counters are shown even while the database is away."""
    here = doors.door()
    here.figures.show(here.gauges.get(lambda: _gauges(here)))
    return Response(generate_latest(here.figures.registry), content_type=CONTENT_TYPE_LATEST)


def _gauges(here: Door) -> dict[str, Any]:
    try:
        return here.database.run(upkeep_reading.gauges, hold_s=SCRAPE_HOLD_S) | {"database_up": 1}
    except DatabaseAway:
        return {"database_up": 0}
