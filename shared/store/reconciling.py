"""Rows of a reconciliation: runs, the staged listing, both sides page by page, and drift. None of these commits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, Row, Select, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.domain.drift import NAMED, Finding, Listed
from shared.store.models import Drift, ReconciliationRun, Site

# The periodic duty that works runs, and its Celery task.
DUTY = "sites.reconcile"
# A run is renewed with each batch; a run whose worker was killed is taken up again, from its beginning.
LEASE_S = 90.0
# A run that killed its workers so often is given up.
TRIES = 3

_LEASE = text("""
    UPDATE reconciliation_run SET state = 'running', started_at = now(), token = token + 1,
        lease_until = now() + make_interval(secs => :lease_s), listed = 0, compared = 0,
        sites = (SELECT count(*) FROM site s WHERE s.account_id = reconciliation_run.account_id
                 AND s.deleted_at IS NULL)
    WHERE id = (
        SELECT id FROM reconciliation_run r
        WHERE (state = 'running' AND lease_until < now()) OR (state = 'wanted' AND NOT EXISTS (
            SELECT 1 FROM reconciliation_run o WHERE o.account_id = r.account_id AND o.state = 'running'))
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, platform_id, account_id, started_at, token
""")
_STAGE = text("""
    INSERT INTO listed_site
        (run_id, reference, provider_site_id, name, address, lat, lng, deleted, in_coverage, coverage)
    SELECT :run_id, u.* FROM unnest(CAST(:references AS text[]), CAST(:ids AS text[]), CAST(:names AS text[]),
        CAST(:addresses AS text[]), CAST(:lats AS float8[]), CAST(:lngs AS float8[]), CAST(:deleted AS bool[]),
        CAST(:in_coverage AS bool[]), CAST(:coverages AS jsonb[])) AS u
    ON CONFLICT DO NOTHING
""")
# Both sides in the order of their references, by two index scans; of one reference a few records tell all.
_PAGE = text("""
    WITH keys AS (
        (SELECT reference FROM site WHERE account_id = :account_id AND reference > :after
            ORDER BY reference LIMIT :size)
        UNION
        (SELECT DISTINCT reference FROM (SELECT reference FROM listed_site WHERE run_id = :run_id
            AND reference > :after ORDER BY reference LIMIT :size) AS listed)
        ORDER BY reference LIMIT :size)
    SELECT k.reference, s.id, s.version, s.synced_version, s.sync_state, s.conflict, s.deleted_at, s.updated_at,
        s.synced_at, s.name, s.address, s.lat, s.lng, s.provider_site_id, s.coverage,
        (SELECT jsonb_agg(to_jsonb(l)) FROM (
            SELECT provider_site_id, name, address, lat, lng, deleted, in_coverage, coverage FROM listed_site
            WHERE run_id = :run_id AND reference = k.reference ORDER BY deleted, provider_site_id LIMIT :few) AS l
        ) AS theirs
    FROM keys k LEFT JOIN site s ON s.account_id = :account_id AND s.reference = k.reference
    ORDER BY k.reference
""")
# Records without a reference are nobody's; each is an extra one.
_NAMELESS = text("""
    SELECT provider_site_id, name, address, lat, lng, deleted, in_coverage, coverage FROM listed_site
    WHERE run_id = :run_id AND reference = '' AND provider_site_id > :after ORDER BY provider_site_id LIMIT :size
""")
_FORGET = text("""
    DELETE FROM listed_site WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM listed_site WHERE run_id = :run_id LIMIT :size))
""")
_RECORD = text("""
    INSERT INTO drift (platform_id, account_id, site_id, reference, provider_site_id, kind, subject, entry, detail,
        first_run_id, last_run_id)
    SELECT :platform_id, :account_id, u.site_id, u.reference, u.provider_site_id, u.kind, u.subject, u.entry,
        u.detail, :run_id, :run_id
    FROM unnest(CAST(:site_ids AS bigint[]), CAST(:references AS text[]), CAST(:ids AS text[]),
        CAST(:kinds AS text[]), CAST(:subjects AS text[]), CAST(:entries AS text[]), CAST(:details AS jsonb[]))
        AS u(site_id, reference, provider_site_id, kind, subject, entry, detail)
    ON CONFLICT (account_id, kind, subject) WHERE cleared_at IS NULL DO UPDATE SET
        last_run_id = excluded.last_run_id, entry = excluded.entry, detail = excluded.detail,
        site_id = excluded.site_id, provider_site_id = excluded.provider_site_id
    RETURNING id, kind, subject, xmax = 0 AS fresh
""")
# An id is taken from a listing only where we have none, and never one that another site of ours has.
_LEARN = text("""
    UPDATE site s SET conflict = u.conflict, coverage = u.coverage,
        provider_site_id = CASE WHEN s.provider_site_id IS NULL AND u.id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM site o WHERE o.account_id = :account_id AND o.provider_site_id = u.id)
            THEN u.id ELSE s.provider_site_id END
    FROM unnest(CAST(:site_ids AS bigint[]), CAST(:ids AS text[]), CAST(:conflicts AS text[]),
        CAST(:coverages AS jsonb[])) AS u(site_id, id, conflict, coverage)
    WHERE s.id = u.site_id
""")
_CLEAR = text("""
    UPDATE drift SET cleared_at = now() WHERE id IN (
        SELECT id FROM drift WHERE account_id = :account_id AND cleared_at IS NULL AND last_run_id <> :run_id
        ORDER BY id LIMIT :size FOR UPDATE)
    RETURNING id, reference, provider_site_id, kind, entry, detail
""")


@dataclass(frozen=True)
class Run:
    """A run that is ours as long as its token is the newest."""

    id: int
    platform_id: str
    account_id: str
    started_at: datetime
    token: int


@dataclass(frozen=True)
class Pair:
    """One reference with our row (None where we have none) and the provider's records of it."""

    reference: str
    site: Row[Any] | None
    theirs: Sequence[Listed] = field(repr=False)


@dataclass(frozen=True)
class Learnt:
    """What a listing says of one site of ours; `provider_site_id` where we had none."""

    site_id: int
    provider_site_id: str | None
    conflict: str
    coverage: Mapping[str, bool | None]


class RunLost(Exception):
    """Somebody else has taken the run up: what this owner knows is of no use any more."""


def want(session: Session, platform_id: str, account_id: str, cause: str) -> ReconciliationRun:
    """The account's run that has not begun yet; a new one unless there is one."""
    wish = insert(ReconciliationRun).values(platform_id=platform_id, account_id=account_id, cause=cause)
    session.execute(wish.on_conflict_do_nothing(index_elements=["account_id"], index_where=text("state = 'wanted'")))
    wanted = select(ReconciliationRun).where(
        ReconciliationRun.account_id == account_id, ReconciliationRun.state == "wanted"
    )
    found = session.scalar(wanted)
    if found is not None:
        return found
    # It began between the two statements: the newest one is the answer.
    return session.scalars(
        select(ReconciliationRun)
        .where(ReconciliationRun.account_id == account_id)
        .order_by(ReconciliationRun.id.desc())
        .limit(1)
    ).one()


def hurry(session: Session) -> None:
    """Let the duty that works comparisons be due now."""
    session.execute(text("UPDATE job SET next_run_at = now() WHERE name = :duty"), {"duty": DUTY})


def lease(session: Session) -> Run | None:
    """Take up the oldest run that is wanted, or whose owner vanished."""
    row = session.execute(_LEASE, {"lease_s": LEASE_S}).first()
    return None if row is None else Run(*row)


def own(session: Session, run: Run) -> ReconciliationRun:
    """The run's row, locked and its lease renewed. Raises RunLost."""
    row = session.scalar(
        select(ReconciliationRun)
        .where(
            ReconciliationRun.id == run.id,
            ReconciliationRun.token == run.token,
            ReconciliationRun.state == "running",
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise RunLost
    row.lease_until = func.now() + timedelta(seconds=LEASE_S)
    return row


def stage(session: Session, run_id: int, records: Sequence[Listed]) -> int:
    """Keep records of the listing; how many of them were new."""
    kept: CursorResult[Any] = session.execute(  # type: ignore[assignment]
        _STAGE,
        {
            "run_id": run_id,
            "references": [record.reference for record in records],
            "ids": [record.provider_site_id for record in records],
            "names": [record.name for record in records],
            "addresses": [record.address for record in records],
            "lats": [record.place[0] if record.place else None for record in records],
            "lngs": [record.place[1] if record.place else None for record in records],
            "deleted": [record.deleted for record in records],
            "in_coverage": [record.in_coverage for record in records],
            "coverages": [json.dumps(dict(record.coverage)) for record in records],
        },
    )
    return kept.rowcount


def forget(session: Session, run_id: int, size: int) -> bool:
    """Delete a part of a staged listing; False when nothing was left."""
    gone: CursorResult[Any] = session.execute(_FORGET, {"run_id": run_id, "size": size})  # type: ignore[assignment]
    return gone.rowcount > 0


def pairs(session: Session, run: Run, after: str, size: int) -> list[Pair]:
    """The next references of both sides after `after`, "" to begin with."""
    rows = session.execute(
        _PAGE, {"run_id": run.id, "account_id": run.account_id, "after": after, "size": size, "few": NAMED + 1}
    )
    return [
        Pair(row.reference, row if row.id is not None else None, _listed(row.reference, row.theirs)) for row in rows
    ]


def nameless(session: Session, run: Run, after: str, size: int) -> list[Listed]:
    """The next records without a reference, by the provider's id."""
    rows = session.execute(_NAMELESS, {"run_id": run.id, "after": after, "size": size})
    return _listed("", [row._asdict() for row in rows])


def _listed(reference: str, records: Sequence[Mapping[str, Any]] | None) -> list[Listed]:
    return [
        Listed(
            reference=reference,
            provider_site_id=record["provider_site_id"],
            name=record["name"],
            address=record["address"],
            place=None if record["lat"] is None or record["lng"] is None else (record["lat"], record["lng"]),
            deleted=record["deleted"],
            in_coverage=record["in_coverage"],
            coverage=record["coverage"],
        )
        for record in records or ()
    ]


def record(session: Session, run: Run, found: Sequence[tuple[int | None, Finding]]) -> list[tuple[int, Finding]]:
    """Keep findings with the id of their site; the drift rows that are new, with their ids."""
    # A record that a listing names under two references is one difference.
    found = list({(finding.kind, finding.subject): (site_id, finding) for site_id, finding in found}.values())
    if not found:
        return []
    rows = session.execute(
        _RECORD,
        {
            "run_id": run.id,
            "platform_id": run.platform_id,
            "account_id": run.account_id,
            "site_ids": [site_id for site_id, _ in found],
            "references": [finding.reference for _, finding in found],
            "ids": [finding.provider_site_id for _, finding in found],
            "kinds": [finding.kind.value for _, finding in found],
            "subjects": [finding.subject for _, finding in found],
            "entries": [finding.entry for _, finding in found],
            "details": [json.dumps(dict(finding.detail)) for _, finding in found],
        },
    ).all()
    by_key = {(finding.kind.value, finding.subject): finding for _, finding in found}
    return [(row.id, by_key[row.kind, row.subject]) for row in rows if row.fresh]


def learn(session: Session, account_id: str, news: Sequence[Learnt]) -> None:
    """Keep what a listing says of our sites."""
    if not news:
        return
    session.execute(
        _LEARN,
        {
            "account_id": account_id,
            "site_ids": [one.site_id for one in news],
            "ids": [one.provider_site_id for one in news],
            "conflicts": [one.conflict for one in news],
            "coverages": [json.dumps(dict(one.coverage)) for one in news],
        },
    )


def touch(session: Session, run: Run, references: Sequence[str]) -> None:
    """Leave the drift of these references as it is: this run could not judge them."""
    if references:
        session.execute(
            update(Drift)
            .where(Drift.account_id == run.account_id, Drift.reference.in_(references), Drift.cleared_at.is_(None))
            .values(last_run_id=run.id)
            .execution_options(synchronize_session=False)
        )


def clear(session: Session, run: Run, size: int) -> Sequence[Row[Any]]:
    """End the drift that a complete run did not show any more, a part at a time."""
    return session.execute(_CLEAR, {"account_id": run.account_id, "run_id": run.id, "size": size}).all()


def standing(session: Session, account_id: str, kinds: Sequence[str]) -> int:
    """How many differences of these kinds are open."""
    query = select(func.count()).where(
        Drift.account_id == account_id, Drift.cleared_at.is_(None), Drift.kind.in_(kinds)
    )
    return session.execute(query).scalar_one()


def repairable(session: Session, run: Run, kinds: Sequence[str], after: int, size: int) -> Sequence[Drift]:
    """Open drift of this run that our version would put right, of sites of ours."""
    return session.scalars(
        select(Drift)
        .join(Site, Site.id == Drift.site_id)
        .where(
            Drift.account_id == run.account_id,
            Drift.last_run_id == run.id,
            Drift.cleared_at.is_(None),
            Drift.kind.in_(kinds),
            Drift.id > after,
            Site.deleted_at.is_(None),
            Site.conflict == "",
        )
        .order_by(Drift.id)
        .limit(size)
    ).all()


def runs(session: Session, platform_id: str, *, before: int | None, limit: int) -> Sequence[ReconciliationRun]:
    """Runs, newest first; one more than `limit` when there are more."""
    query = (
        select(ReconciliationRun)
        .where(ReconciliationRun.platform_id == platform_id)
        .order_by(ReconciliationRun.id.desc())
        .limit(limit + 1)
    )
    return session.scalars(query if before is None else query.where(ReconciliationRun.id < before)).all()


@dataclass(frozen=True)
class DriftFilter:
    """Which drift to list; `before` continues after the last one that was shown."""

    open_only: bool = True
    kinds: Sequence[str] = ()
    account_id: str | None = None
    site_ref: str | None = None
    before: int | None = None
    limit: int = 50


def drift(session: Session, platform_id: str, wanted: DriftFilter) -> Sequence[Drift]:
    """Drift, newest first; one more than `limit` when there are more."""
    query: Select[Drift] = select(Drift).where(Drift.platform_id == platform_id)
    if wanted.open_only:
        query = query.where(Drift.cleared_at.is_(None))
    if wanted.kinds:
        query = query.where(Drift.kind.in_(wanted.kinds))
    if wanted.account_id is not None:
        query = query.where(Drift.account_id == wanted.account_id)
    if wanted.site_ref is not None:
        query = query.where(Drift.reference == wanted.site_ref)
    if wanted.before is not None:
        query = query.where(Drift.id < wanted.before)
    return session.scalars(query.order_by(Drift.id.desc()).limit(wanted.limit + 1)).all()
