"""Periodic duties as rows: leased and fenced, so that two beats do each once and none is noticed (design section 3)."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from shared.store.models import Job
from workers.deps import Deps
from workers.services import attending, hooking, polling, probing, tending_sites, watching

log = structlog.get_logger(__name__)

# A duty whose worker was killed is taken up again after this long; a duty that takes longer is done twice, harmlessly.
LEASE_S = 10.0
JOBS: dict[str, tuple[float, Callable[[Deps], None]]] = {
    "attend": (1.0, attending.attend),
    "accounts.probe": (5.0, probing.begin),
    "location.poll": (2.0, polling.begin),
    "status.poll": (2.0, watching.begin),
    "webhooks.check": (86_400.0, hooking.begin),
    "sites.reconcile": (5.0, tending_sites.tend),
}

_LEASE = text("""
    UPDATE job SET lease_until = now() + make_interval(secs => :lease_s), token = token + 1
    WHERE name = (
        SELECT name FROM job WHERE next_run_at <= now() AND (lease_until IS NULL OR lease_until < now())
          AND name = ANY(:known)
        ORDER BY next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING name, token
""")
_DONE = text("""
    UPDATE job SET lease_until = NULL, next_run_at = now() + make_interval(secs => every_s),
        last_error = CAST(:error AS text),
        last_done_at = CASE WHEN CAST(:error AS text) = '' THEN now() ELSE last_done_at END
    WHERE name = :name AND token = :token
""")


def ensure_jobs(deps: Deps) -> None:
    """Make the rows of all duties, with today's intervals."""
    with deps.sessions.begin() as session:
        for name, (every_s, _) in JOBS.items():
            made = insert(Job).values(name=name, every_s=every_s)
            session.execute(made.on_conflict_do_update(index_elements=["name"], set_={"every_s": every_s}))


def work_due(deps: Deps, *, only: str | None = None) -> int:
    """Lease and run one duty that is due (optionally this one only); 0 when none is."""
    known = list(JOBS) if only is None else [only]
    with deps.sessions.begin() as session:
        row = session.execute(_LEASE, {"lease_s": LEASE_S, "known": known}).first()
    if row is None:
        return 0
    error = ""
    try:
        JOBS[row.name][1](deps)
    except Exception as raised:
        error = type(raised).__name__
        log.exception("job.failed", job=row.name)
    done = {"name": row.name, "token": row.token, "error": error}
    deps.record(lambda session: session.execute(_DONE, done), patience_s=LEASE_S)
    return 1
