"""The frame of every call: what may still be sent, what an attempt leaves behind, who may record it."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from shared.clock import boot_time
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary, Unknown
from shared.providers.base import Call
from shared.store.models import Attempt
from shared.store.outbox import Lease
from workers.deps import Deps

# What a database that went away raises; providers touch it before the first byte only (tokens, `before_send`).
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)


class LeaseLostError(Exception):
    """The lease, or the time for a whole exchange, ran out before the first byte: nothing was sent."""


def may_start(deps: Deps, lease: Lease) -> bool:
    """True when a whole exchange still fits into the lease (a stopped process wakes up late)."""
    return boot_time() + deps.settings.call_s <= lease.boot_until


def frame(deps: Deps, lease: Lease, before_send: Callable[[], None] | None = None) -> Call:
    """The call's deadline, anchored at the lease: token, DNS, connect, send and read end with it."""
    return Call(deadline=deadline(deps, lease), tokens=deps.tokens, before_send=before_send)


def deadline(deps: Deps, lease: Lease) -> float:
    """The boot-clock moment at which a call under this lease must be over."""
    return lease.boot_from + deps.settings.call_s


def require_time(deps: Deps, lease: Lease) -> None:
    """Raise LeaseLostError when what is left before the deadline is too short for an answer."""
    if boot_time() + deps.settings.least_exchange_s > deadline(deps, lease):
        raise LeaseLostError


def begin_attempt(session: Session, lease: Lease, leg_id: int | None = None) -> int:
    """Note that a call starts; a lost owner leaves the row without an outcome."""
    row = Attempt(outbox_id=lease.id, leg_id=leg_id, token=lease.token)
    session.add(row)
    session.flush()
    return row.id


def end_attempt(session: Session, attempt_id: int | None, outcome: Outcome, *, late: bool = False) -> None:
    """Note how the call came out: outcome, status code, reason; never a body."""
    if attempt_id is None:
        return
    session.execute(
        update(Attempt)
        .where(Attempt.id == attempt_id)
        .values(
            outcome=type(outcome).__name__.lower(),
            reason="" if isinstance(outcome, Accepted) else outcome.reason[:500],
            http_status=outcome.http_status or None,
            provider_id=outcome.provider_id if isinstance(outcome, Accepted) else None,
            late=late,
            ended_at=func.clock_timestamp(),
        )
    )


def retry_after(outcome: Temporary | Permanent | Unknown) -> float | None:
    """Seconds that the other side asked us to wait, if it did."""
    return outcome.retry_after if isinstance(outcome, Temporary) else None
