"""What the door writes: alarms with their incident, actions on incidents, provider deliveries. One statement each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

# Panels count their alarms from 1, each for itself: what another site said under this reference is no repeat here.
# An operator's alarm may leave the site out; a panel's is of its own site only.
_SAME_SITE = """(CAST(:site_ref AS text) IS NULL OR n.site_ref = :site_ref
                 OR (n.site_ref IS NULL AND NOT CAST(:is_panel AS boolean)))"""

_SITUATION = text(f"""
    SELECT p.policies,
           s.id AS site_id, s.account_id AS site_account_id,
           i.id AS incident_id, i.kind, i.status, i.test, i.services,
           i.cancel IN ('requested', 'confirmed') AS cancelling,
           i.account_id AS incident_account_id,
           (SELECT coalesce(max(n.generation), 0) FROM incident n
            WHERE n.platform_id = p.id AND n.incident_ref = :incident_ref) AS generations,
           (SELECT jsonb_object_agg(k.key, jsonb_build_array(
                k.incident_id, extract(epoch FROM clock_timestamp() - k.seen_at), n.status))
            FROM repeat_key k LEFT JOIN incident n ON n.id = k.incident_id
            WHERE k.platform_id = p.id AND k.incident_ref = :incident_ref AND k.key = ANY(:keys)
              AND (n.id IS NULL OR {_SAME_SITE})) AS seen,
           (SELECT jsonb_agg(jsonb_build_object('id', a.id, 'provider', a.provider, 'environment', a.environment,
                'default', a.is_default) ORDER BY a.created_at, a.id)
            FROM provider_account a WHERE a.platform_id = p.id) AS accounts
    FROM platform p
    LEFT JOIN site s ON s.platform_id = p.id AND s.reference = :site_ref AND s.deleted_at IS NULL
    LEFT JOIN LATERAL (
        SELECT * FROM incident n WHERE n.platform_id = p.id AND n.incident_ref = :incident_ref AND {_SAME_SITE}
        ORDER BY n.generation DESC LIMIT 1) i ON true
    WHERE p.id = :platform_id
""")  # noqa: S608 - what is put in is our own clause above

# All three or none: the statement is the transaction, and its foreign keys are checked at its end.
_OPEN = text("""
    WITH opened AS (
        INSERT INTO incident (id, platform_id, incident_ref, generation, predecessor_id, account_id, site_id, site_ref,
            kind, services, origin, test, moving, details, status, occurred_at)
        VALUES (:id, :platform_id, :incident_ref, :generation, :predecessor_id, :account_id, :site_id, :site_ref,
            :kind, :services, :origin, :test, :moving, :details, 'received', coalesce(:occurred_at, now()))
    ), keyed AS (
        INSERT INTO repeat_key (platform_id, incident_ref, key, incident_id, seen_at)
        SELECT :platform_id, :incident_ref, key, :id, clock_timestamp() FROM unnest(CAST(:keys AS text[])) AS key
        ON CONFLICT (platform_id, incident_ref, key)
            DO UPDATE SET incident_id = excluded.incident_id, seen_at = excluded.seen_at
    )
    INSERT INTO inbox (source, platform_id, account_id, incident_id, api_key_id, event_id, digest, stream, priority,
        body)
    VALUES ('alarm', :platform_id, :account_id, :id, :api_key_id, NULL, :digest, :id, :priority, :body)
""")

_FOLD = text("""
    WITH keyed AS (
        INSERT INTO repeat_key (platform_id, incident_ref, key, incident_id, seen_at)
        SELECT :platform_id, :incident_ref, key, :id, clock_timestamp() FROM unnest(CAST(:keys AS text[])) AS key
        ON CONFLICT (platform_id, incident_ref, key)
            DO UPDATE SET incident_id = excluded.incident_id, seen_at = excluded.seen_at
            -- The bytes of an incident that is over are news to this one; an event id counts once per reference.
            WHERE repeat_key.key LIKE 'b:%' AND repeat_key.incident_id <> excluded.incident_id
               OR (SELECT o.site_ref FROM incident o WHERE o.id = repeat_key.incident_id)
                  IS DISTINCT FROM (SELECT n.site_ref FROM incident n WHERE n.id = excluded.incident_id)
        RETURNING key
    )
    INSERT INTO inbox (source, platform_id, account_id, incident_id, api_key_id, event_id, digest, stream, priority,
        body)
    SELECT 'event', :platform_id, :account_id, :id, :api_key_id, NULL, :digest, :id, :priority, :body
    WHERE EXISTS (SELECT 1 FROM keyed WHERE key = :leading)
    RETURNING id
""")

_ACT = text("""
    INSERT INTO inbox (source, platform_id, account_id, incident_id, api_key_id, event_id, digest, stream, priority,
        body)
    VALUES (:source, :platform_id, :account_id, :id, :api_key_id, NULL, :digest, :id, :priority, :body)
""")

# ON CONFLICT without a target covers both unique indexes: known event ids, and equal bodies still unworked.
_DELIVER = text("""
    INSERT INTO inbox (source, platform_id, account_id, event_id, digest, stream, subject, priority, body)
    SELECT 'webhook', e.platform_id, e.account_id, e.event_id, e.digest, e.stream, e.subject, :priority, e.body
    FROM unnest(CAST(:platform_ids AS text[]), CAST(:account_ids AS text[]), CAST(:event_ids AS text[]),
                CAST(:digests AS text[]), CAST(:streams AS text[]), CAST(:subjects AS text[]),
                CAST(:bodies AS bytea[]))
        WITH ORDINALITY AS e(platform_id, account_id, event_id, digest, stream, subject, body, place)
    ORDER BY e.place
    ON CONFLICT DO NOTHING
    RETURNING id
""")

# Skips a row that another delivery updates at this moment: a sign of life is not worth a wait.
_SEEN = text("""
    UPDATE provider_account SET webhook_seen_at = now()
    WHERE id IN (SELECT id FROM provider_account WHERE id = :account_id
                 AND (webhook_seen_at IS NULL OR webhook_seen_at < now() - interval '10 seconds')
                 FOR NO KEY UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True)
class Newest:
    """The newest incident of a reference at its site."""

    incident_id: str
    kind: str
    status: str
    test: bool
    services: frozenset[str]
    cancelling: bool
    account_id: str | None


@dataclass(frozen=True)
class Seen:
    """A key that was seen before: for which incident, how long ago (seconds), and how that incident stands.

    `status` is None when the incident is no longer kept.
    """

    incident_id: str
    age_s: float
    status: str | None


@dataclass(frozen=True)
class Situation:
    """All that is known when an alarm arrives, read in one statement."""

    policies: Mapping[str, Any]
    accounts: Sequence[Mapping[str, Any]]
    site_id: int | None
    site_account_id: str | None
    generations: int
    newest: Newest | None
    seen: Mapping[str, Seen]


@dataclass(frozen=True)
class Coming:
    """An alarm as it is stored. `details` and `body` are sealed; `keys` recognise its repeats."""

    incident_id: str
    platform_id: str
    incident_ref: str
    api_key_id: int
    account_id: str | None
    digest: str
    priority: int
    keys: Sequence[str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Opening:
    """What a new incident has beyond its alarm."""

    generation: int
    predecessor_id: str | None
    site_id: int | None
    site_ref: str | None
    kind: str
    services: Sequence[str]
    origin: str
    test: bool
    moving: bool
    occurred_at: datetime | None
    details: bytes = field(repr=False)


@dataclass(frozen=True)
class Delivery:
    """One event of a provider; `body` is sealed."""

    platform_id: str
    account_id: str
    event_id: str | None
    digest: str
    stream: str
    subject: str | None
    body: bytes = field(repr=False)


def situation(
    session: Session, platform_id: str, incident_ref: str, site_ref: str | None, keys: Sequence[str], *, is_panel: bool
) -> Situation:
    """Read what an alarm meets; `is_panel` for one that is of its site only."""
    row = session.execute(
        _SITUATION,
        {
            "platform_id": platform_id,
            "incident_ref": incident_ref,
            "site_ref": site_ref,
            "keys": list(keys),
            "is_panel": is_panel,
        },
    ).one()
    newest = None
    if row.incident_id is not None:
        newest = Newest(
            incident_id=row.incident_id,
            kind=row.kind,
            status=row.status,
            test=row.test,
            services=frozenset(row.services),
            cancelling=bool(row.cancelling),
            account_id=row.incident_account_id,
        )
    seen = {key: Seen(found[0], float(found[1]), found[2]) for key, found in (row.seen or {}).items()}
    return Situation(
        policies=row.policies,
        accounts=row.accounts or [],
        site_id=row.site_id,
        site_account_id=row.site_account_id,
        generations=row.generations,
        newest=newest,
        seen=seen,
    )


def open_incident(session: Session, coming: Coming, opening: Opening) -> None:
    """Insert incident, repeat keys and inbox row.

    Raises IntegrityError when another request opened the same generation.
    """
    session.execute(_OPEN, _columns(coming) | vars(opening) | {"services": list(opening.services)})


def fold(session: Session, coming: Coming, leading: str) -> bool:
    """Insert an event for a living incident; False when another request brought the same (key `leading`)."""
    return session.execute(_FOLD, _columns(coming) | {"leading": leading}).first() is not None


def act(session: Session, source: str, coming: Coming) -> None:
    """Insert an action on an incident."""
    session.execute(_ACT, _columns(coming) | {"source": source})


def deliver(session: Session, priority: int, events: Sequence[Delivery]) -> int:
    """Insert what is new among these events, of one delivery or of many, in their order; how many were."""
    columns = {
        "priority": priority,
        "platform_ids": [event.platform_id for event in events],
        "account_ids": [event.account_id for event in events],
        "event_ids": [event.event_id for event in events],
        "digests": [event.digest for event in events],
        "streams": [event.stream for event in events],
        "subjects": [event.subject for event in events],
        "bodies": [event.body for event in events],
    }
    return len(session.execute(_DELIVER, columns).all())


def webhook_seen(session: Session, account_id: str) -> None:
    """Note that the account's webhooks arrive, at most every ten seconds."""
    session.execute(_SEEN, {"account_id": account_id})


def _columns(coming: Coming) -> dict[str, Any]:
    return {
        "id": coming.incident_id,
        "platform_id": coming.platform_id,
        "incident_ref": coming.incident_ref,
        "account_id": coming.account_id,
        "api_key_id": coming.api_key_id,
        "digest": coming.digest,
        "priority": coming.priority,
        "keys": list(coming.keys),
        "body": coming.body,
    }
