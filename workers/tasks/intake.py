"""Tasks of the lane `intake`."""

from __future__ import annotations

from shared.domain.lanes import Lane
from workers.app import app
from workers.process import engine


@app.task(name="intake.drain")
def drain() -> None:
    """Work the inbox until it is empty."""
    engine(Lane.INTAKE).answer_bell()
