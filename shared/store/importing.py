"""Rows of an import: the file on its way through, sites saved a part at a time, and what the upload holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, func, select, text, update
from sqlalchemy.orm import Session

from shared.crypto import hash_api_key
from shared.domain.alarm import Site as SiteValue
from shared.store.models import Site, SiteImport

LEASE_S = 180.0

# Also due: an awaiting one whose call back came, or whose comparison ended.
_STEP = """
    SELECT i.id FROM site_import i LEFT JOIN reconciliation_run r ON r.id = i.reconciliation_id
    WHERE i.ended_at IS NULL AND (i.lease_until IS NULL OR i.lease_until < now())
        AND (i.state IN ('wanted', 'saved') AND i.next_attempt_at <= now()
            OR i.state = 'awaiting' AND (i.callback_at IS NOT NULL OR i.wait_until <= now())
            OR i.state = 'reconciling' AND r.ended_at IS NOT NULL)
    ORDER BY i.id LIMIT 1
"""
_DUE = text(_STEP)
_LEASE = text(f"""
    UPDATE site_import SET lease_until = now() + make_interval(secs => :lease_s), token = token + 1
    WHERE id = ({_STEP} FOR UPDATE OF i SKIP LOCKED)
    RETURNING id, token
""")  # noqa: S608 - constants
_ELSEWHERE = text("""
    SELECT reference FROM site WHERE platform_id = :platform_id AND account_id <> :account_id
        AND sync_state <> 'deleted' AND reference = ANY(:references)
""")
_SAVE = text(
    """
    INSERT INTO site AS s (platform_id, account_id, reference, name, address, lat, lng, account_number,
        gate_instructions, notes, import_id)
    SELECT :platform_id, :account_id, u.*, :import_id FROM unnest(CAST(:references AS text[]), CAST(:names AS text[]),
        CAST(:addresses AS jsonb[]), CAST(:lats AS float8[]), CAST(:lngs AS float8[]), CAST(:numbers AS text[]),
        CAST(:gates AS text[]), CAST(:notes AS text[])) AS u
    ON CONFLICT (platform_id, reference) DO UPDATE SET
        account_id = excluded.account_id, name = excluded.name, address = excluded.address, lat = excluded.lat,
        lng = excluded.lng, account_number = excluded.account_number,
        gate_instructions = excluded.gate_instructions, notes = excluded.notes, import_id = excluded.import_id,
        sync_state = 'local', deleted_at = NULL,
        provider_site_id = CASE WHEN s.account_id = excluded.account_id THEN s.provider_site_id END,
        updated_at = CASE WHEN _CHANGED THEN now() ELSE s.updated_at END,
        version = s.version + (_CHANGED)::int
        WHERE s.account_id = excluded.account_id OR s.sync_state = 'deleted'
""".replace(
        "_CHANGED",
        """(s.deleted_at IS NOT NULL OR
            (s.name, s.address, s.lat, s.lng, s.account_number, s.gate_instructions, s.notes) IS DISTINCT FROM
            (excluded.name, excluded.address, excluded.lat, excluded.lng, excluded.account_number,
                excluded.gate_instructions, excluded.notes))""",
    )
)
# A site with a living incident stays, and so does one that was saved since the last upload.
_REMOVE = text("""
    UPDATE site SET sync_state = 'deleted', deleted_at = now(), updated_at = now(), version = version + 1,
        contacts = NULL, gate_instructions = '', notes = ''
    WHERE id IN (
        SELECT s.id FROM site s WHERE s.account_id = :account_id AND s.deleted_at IS NULL AND s.synced_version > 0
            AND s.import_id IS DISTINCT FROM :import_id
            AND NOT EXISTS (SELECT 1 FROM incident i WHERE i.site_id = s.id
                AND i.status NOT IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded'))
        LIMIT :size FOR UPDATE)
""")
_UPLOADED = text("""
    UPDATE site s SET synced_version = u.version, synced_at = now()
    FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS int[])) AS u(id, version)
    WHERE s.id = u.id AND s.account_id = :account_id
""")


@dataclass(frozen=True)
class Held:
    """An import that is ours as long as its token is the newest."""

    id: int
    token: int


class ImportLost(Exception):
    """Somebody else has taken the import up."""


def lease(session: Session) -> Held | None:
    """Take up an import that has a step to do."""
    row = session.execute(_LEASE, {"lease_s": LEASE_S}).first()
    return None if row is None else Held(*row)


def own(session: Session, held: Held) -> SiteImport:
    """Its row, locked and its lease renewed. Raises ImportLost."""
    row = session.scalar(
        select(SiteImport)
        .where(SiteImport.id == held.id, SiteImport.token == held.token, SiteImport.ended_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise ImportLost
    row.lease_until = func.now() + timedelta(seconds=LEASE_S)
    return row


def file(session: Session, import_id: int) -> bytes | None:
    """The sealed file."""
    return session.scalar(select(SiteImport.content).where(SiteImport.id == import_id))


def is_under_way(session: Session, account_id: str) -> bool:
    """Whether an upload was or is about to be taken by the provider, and its effect is not known yet."""
    query = select(SiteImport.id).where(
        SiteImport.account_id == account_id, SiteImport.ended_at.is_(None), SiteImport.state.in_(("saved", "awaiting"))
    )
    return session.scalar(query) is not None


def elsewhere(session: Session, row: SiteImport, references: Sequence[str]) -> set[str]:
    """Those of the references that another account of the platform keeps."""
    values = {"platform_id": row.platform_id, "account_id": row.account_id, "references": list(references)}
    return set(session.scalars(_ELSEWHERE, values))


def save(session: Session, row: SiteImport, sites: Sequence[SiteValue]) -> int:
    """Create or change sites; what the provider knows of them stays. How many were taken."""
    places = [(site.coordinates.lat, site.coordinates.lng) if site.coordinates else (None, None) for site in sites]
    values = {
        "platform_id": row.platform_id,
        "account_id": row.account_id,
        "import_id": row.id,
        "references": [site.reference for site in sites],
        "names": [site.name for site in sites],
        "addresses": [json.dumps(asdict(site.address)) if site.address else None for site in sites],
        "lats": [lat for lat, _ in places],
        "lngs": [lng for _, lng in places],
        "numbers": [site.account_number for site in sites],
        "gates": [site.gate_instructions for site in sites],
        "notes": [site.notes for site in sites],
    }
    done: CursorResult[Any] = session.execute(_SAVE, values)  # type: ignore[assignment]
    return done.rowcount


def remove_absent(session: Session, row: SiteImport, size: int) -> int:
    """Delete a part of the sites that the file does not hold; how many."""
    values = {"account_id": row.account_id, "import_id": row.id, "size": size}
    done: CursorResult[Any] = session.execute(_REMOVE, values)  # type: ignore[assignment]
    return done.rowcount


def uploadable(session: Session, account_id: str, after: str, size: int) -> Sequence[Any]:
    """The next sites of the account by reference, deleted ones included (as they are told of by their absence)."""
    query = (
        select(
            Site.id, Site.version, Site.reference, Site.name, Site.address, Site.lat, Site.lng, Site.account_number,
            Site.gate_instructions, Site.notes, Site.deleted_at,
        )
        .where(Site.account_id == account_id, Site.reference > after)
        .order_by(Site.reference)
        .limit(size)
    )  # fmt: skip
    return session.execute(query).all()


def mark_uploaded(session: Session, account_id: str, versions: Sequence[tuple[int, int]]) -> None:
    """Note which version of each site the provider has taken."""
    values = {"ids": [site_id for site_id, _ in versions], "versions": [version for _, version in versions]}
    session.execute(_UPLOADED, values | {"account_id": account_id})


def living(session: Session, account_id: str) -> int:
    """How many sites the account has."""
    query = select(func.count()).where(Site.account_id == account_id, Site.deleted_at.is_(None))
    return session.execute(query).scalar_one()


def last_upload(session: Session, account_id: str) -> int | None:
    """How many sites the last upload held; None before the first one."""
    return session.scalar(
        select(SiteImport.uploaded)
        .where(SiteImport.account_id == account_id, SiteImport.uploaded > 0)
        .order_by(SiteImport.id.desc())
        .limit(1)
    )


def call_back(session: Session, secret: str, sealed: bytes) -> bool:
    """Keep what the provider called back with; False when no import has this secret."""
    known = session.execute(
        update(SiteImport)
        .where(SiteImport.secret_hash == hash_api_key(secret))
        .values(callback=sealed, callback_at=func.coalesce(SiteImport.callback_at, func.now()))
        .returning(SiteImport.id)
    )
    return known.first() is not None


def has_work(session: Session) -> bool:
    """Whether some import has a step to do."""
    return session.execute(_DUE).first() is not None


def imports(session: Session, platform_id: str, *, before: int | None, limit: int) -> Sequence[SiteImport]:
    """Imports, newest first; one more than `limit` when there are more."""
    query = (
        select(SiteImport).where(SiteImport.platform_id == platform_id).order_by(SiteImport.id.desc()).limit(limit + 1)
    )
    return session.scalars(query if before is None else query.where(SiteImport.id < before)).all()
