"""Tasks of the lane `outgoing`."""

from __future__ import annotations

from shared.domain.lanes import Lane
from workers.app import app
from workers.process import engine


@app.task(name="outgoing.drain")
def drain() -> None:
    """Work what must go out until nothing is due."""
    engine(Lane.OUTGOING).answer_bell()
