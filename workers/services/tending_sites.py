"""The duty `sites.reconcile`: asks for the comparisons that are due; they and imports run in a thread of their own.

A comparison may take half an hour, and the other duties of its lane must not wait for it.
"""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.providers import registry
from shared.store import importing as importing_store
from shared.store import reconciling as store
from workers.deps import Deps
from workers.services import importing, reconciling

log = structlog.get_logger(__name__)

# A comparison that failed is tried again after this part of the interval.
AGAIN_SHARE = 12

_DUE = text("""
    SELECT a.id, a.platform_id, a.provider,
        CASE WHEN :every_s > 0 AND coalesce(r.asked_at, a.created_at)
                < now() - make_interval(secs => CASE WHEN r.state = 'failed' THEN :again_s ELSE :every_s END)
            THEN 'interval'
            WHEN (SELECT count(*) FROM (SELECT 1 FROM site s WHERE s.account_id = a.id
                AND s.updated_at > coalesce(r.asked_at, a.created_at) LIMIT :changes) AS changed) >= :changes
            THEN 'changes' END AS cause
    FROM provider_account a
    LEFT JOIN LATERAL (
        SELECT * FROM reconciliation_run l WHERE l.account_id = a.id ORDER BY l.id DESC LIMIT 1) r ON true
    WHERE coalesce(r.state, '') NOT IN ('wanted', 'running')
        AND EXISTS (SELECT 1 FROM site s WHERE s.account_id = a.id AND s.deleted_at IS NULL)
""")
_OPEN = text("""
    SELECT 1 FROM reconciliation_run
    WHERE state = 'wanted' OR (state = 'running' AND lease_until < now()) LIMIT 1
""")

_at_work: WeakKeyDictionary[object, threading.Thread] = WeakKeyDictionary()
_lock = threading.Lock()


def tend(deps: Deps) -> None:
    """Ask for what is due, and let one thread of this process work what is asked for."""
    with deps.sessions.begin() as session:
        ask_for_due(session, deps)
        waiting = importing_store.has_work(session) or session.execute(_OPEN).first() is not None
    if waiting:
        start(deps)


def ask_for_due(session: Session, deps: Deps) -> None:
    """A run for each account whose last one is too old, or since whose last one many sites have changed."""
    every_s = deps.settings.reconcile_every_s
    values = {"every_s": every_s, "again_s": every_s / AGAIN_SHARE, "changes": deps.settings.reconcile_after_changes}
    for row in session.execute(_DUE, values).all():
        if row.cause is not None and registry.get(row.provider).sites is not None:
            store.want(session, row.platform_id, row.id, row.cause)


def start(deps: Deps) -> threading.Thread:
    """The thread of this process that works imports and comparisons until none is wanted."""
    with _lock:
        thread = _at_work.get(deps.sessions)
        if thread is None or not thread.is_alive():
            thread = threading.Thread(target=_work, args=(deps,), name="sites", daemon=True)
            _at_work[deps.sessions] = thread
            thread.start()
        return thread


def _work(deps: Deps) -> None:
    try:
        while importing.work_due(deps) or reconciling.work_wanted(deps):
            pass
    except Exception as error:  # noqa: BLE001 - the duty comes again in a few seconds
        log.warning("sites.thread_ended", error=type(error).__name__)
