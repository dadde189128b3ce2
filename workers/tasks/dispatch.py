"""Tasks of the lane `dispatch`: a task per row, so that ops see each, and a drain for what no bell announced."""

from __future__ import annotations

from shared.domain.lanes import Lane
from workers.app import app
from workers.process import engine


@app.task(name="dispatch.create")
def create(row_id: int) -> None:
    """Work one create."""
    engine(Lane.DISPATCH).work_row(row_id)


@app.task(name="dispatch.cancel")
def cancel(row_id: int) -> None:
    """Work one cancel."""
    engine(Lane.DISPATCH).work_row(row_id)


@app.task(name="dispatch.register_site")
def register_site(row_id: int) -> None:
    """Register one site ahead of a create that waits for it."""
    engine(Lane.DISPATCH).work_row(row_id)


@app.task(name="dispatch.drain")
def drain() -> None:
    """Work whatever is due in the lane."""
    engine(Lane.DISPATCH).answer_bell()
