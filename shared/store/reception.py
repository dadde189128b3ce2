"""What the door writes: alarms with their incident, actions on incidents, provider deliveries. One statement each.

Alarms and deliveries come in groups that share a commit; `place` is a row's place in its group. An alarm that opens a
reference is held against the unique index of its generation; whoever brings a known one holds its lock
(`hold_reference`) from the moment in which it is judged until it is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session


def _of_its_site(site_ref: str) -> str:
    """Panels count their alarms from 1, each for itself: what another site said under this reference is no repeat here.

    An operator's alarm may leave the site out; a panel's is of its own site only. `site_ref`: SQL that is '' for none.
    """
    return f"(a.site_ref IS NULL OR {site_ref} = a.site_ref OR ({site_ref} = '' AND NOT a.is_panel))"


_SAME_SITE = _of_its_site("coalesce(n.site_ref, '')")
_KEYS_SITE = _of_its_site("k.site_ref")

# The limit lets each alarm find its site by the index; joined freely, a group would read all sites.
_SITUATIONS = text(f"""
    SELECT p.policies,
           s.id AS site_id, s.account_id AS site_account_id,
           i.id AS incident_id, i.kind, i.status, i.test, i.services,
           i.cancel IN ('requested', 'confirmed') AS cancelling,
           i.account_id AS incident_account_id,
           (SELECT coalesce(max(n.generation), 0) FROM incident n
            WHERE n.platform_id = p.id AND n.incident_ref = a.incident_ref) AS generations,
           (SELECT jsonb_object_agg(k.key, jsonb_build_array(
                k.incident_id, extract(epoch FROM clock_timestamp() - k.seen_at), n.status) ORDER BY k.seen_at)
            FROM repeat_key k LEFT JOIN incident n ON n.id = k.incident_id
            WHERE k.platform_id = p.id AND k.incident_ref = a.incident_ref AND k.key = ANY(a.keys)
              AND {_KEYS_SITE}) AS seen,
           (SELECT jsonb_agg(jsonb_build_object('id', c.id, 'provider', c.provider, 'environment', c.environment,
                'default', c.is_default) ORDER BY c.created_at, c.id)
            FROM provider_account c WHERE c.platform_id = p.id) AS accounts
    FROM jsonb_to_recordset(CAST(:asked AS jsonb))
        AS a(place int, platform_id text, incident_ref text, site_ref text, keys text[], is_panel boolean)
    JOIN platform p ON p.id = a.platform_id
    LEFT JOIN LATERAL (
        SELECT * FROM site n WHERE n.platform_id = p.id AND n.reference = a.site_ref AND n.deleted_at IS NULL
        LIMIT 1) s ON true
    LEFT JOIN LATERAL (
        SELECT * FROM incident n WHERE n.platform_id = p.id AND n.incident_ref = a.incident_ref AND {_SAME_SITE}
        ORDER BY n.generation DESC LIMIT 1) i ON true
    ORDER BY a.place
""")  # noqa: S608 - what is put in is our own clause above

# All three of each alarm, and all alarms, or none: the statement's foreign keys are checked at its end.
_OPEN = text("""
    WITH patience AS (
        SELECT set_config('lock_timeout', :lock_timeout, true)
    ), given AS (
        SELECT g.*, d.details, d.body
        FROM patience, jsonb_to_recordset(CAST(:rows AS jsonb))
            AS g(place int, id text, platform_id text, incident_ref text, generation int, predecessor_id text,
                 account_id text, api_key_id bigint, site_id bigint, site_ref text, kind text, services text[],
                 origin text, test boolean, moving boolean, occurred_at timestamptz, digest text, priority int,
                 keys text[])
        JOIN unnest(CAST(:details AS bytea[]), CAST(:bodies AS bytea[])) WITH ORDINALITY AS d(details, body, place)
            ON d.place = g.place
    ), opened AS (
        INSERT INTO incident (id, platform_id, incident_ref, generation, predecessor_id, account_id, site_id, site_ref,
            kind, services, origin, test, moving, details, status, occurred_at)
        SELECT id, platform_id, incident_ref, generation, predecessor_id, account_id, site_id, site_ref,
            kind, services, origin, test, moving, details, 'received', coalesce(occurred_at, now())
        FROM given
    ), keyed AS (
        INSERT INTO repeat_key (platform_id, incident_ref, site_ref, key, incident_id, seen_at)
        SELECT platform_id, incident_ref, coalesce(site_ref, ''), key, id, clock_timestamp()
        FROM given, unnest(keys) AS key
        ON CONFLICT (platform_id, incident_ref, site_ref, key)
            DO UPDATE SET incident_id = excluded.incident_id, seen_at = excluded.seen_at
    )
    INSERT INTO inbox (source, platform_id, account_id, incident_id, api_key_id, event_id, digest, stream, priority,
        body)
    SELECT 'alarm', platform_id, account_id, id, api_key_id, NULL, digest, id, priority, body FROM given ORDER BY place
""")
_SEALED = ("details", "body")

_FOLD = text("""
    WITH keyed AS (
        INSERT INTO repeat_key (platform_id, incident_ref, site_ref, key, incident_id, seen_at)
        SELECT i.platform_id, i.incident_ref, coalesce(i.site_ref, ''), key, i.id, clock_timestamp()
        FROM incident i, unnest(CAST(:keys AS text[])) AS key WHERE i.id = :id
        ON CONFLICT (platform_id, incident_ref, site_ref, key)
            DO UPDATE SET incident_id = excluded.incident_id, seen_at = excluded.seen_at
            -- The bytes of an incident that is over are news to this one; an event id counts once.
            WHERE repeat_key.key LIKE 'b:%' AND repeat_key.incident_id <> excluded.incident_id
        RETURNING key
    )
    INSERT INTO inbox (source, platform_id, account_id, incident_id, api_key_id, event_id, digest, stream, priority,
        body)
    SELECT 'event', :platform_id, :account_id, :id, :api_key_id, NULL, :digest, :id, :priority, :body
    WHERE CAST(:leading AS text) IS NULL OR EXISTS (SELECT 1 FROM keyed WHERE key = :leading)
    RETURNING id
""")

_REMEMBER = text("""
    INSERT INTO repeat_key (platform_id, incident_ref, site_ref, key, incident_id, seen_at)
    VALUES (:platform_id, :incident_ref,
        coalesce((SELECT i.site_ref FROM incident i WHERE i.id = :incident_id), :site_ref, ''),
        :key, :incident_id, clock_timestamp())
    ON CONFLICT DO NOTHING
""")

_HOLD_REFERENCE = text("""
    SELECT set_config('lock_timeout', :lock_timeout, true),
        pg_advisory_xact_lock(hashtextextended('reference:' || :platform_id || ':' || :incident_ref, 0))
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
""")

# Skips a row that another delivery updates at this moment: a sign of life is not worth a wait.
_SEEN = text("""
    UPDATE provider_account SET webhook_seen_at = now()
    WHERE id IN (SELECT id FROM provider_account WHERE id = :account_id
                 AND (webhook_seen_at IS NULL OR webhook_seen_at < now() - interval '10 seconds')
                 FOR NO KEY UPDATE SKIP LOCKED)
""")


class RowsHeld(Exception):
    """Somebody holds a row that an alarm refers to."""


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
    """All that is known when an alarm arrives."""

    policies: Mapping[str, Any]
    accounts: Sequence[Mapping[str, Any]]
    site_id: int | None
    site_account_id: str | None
    generations: int
    newest: Newest | None
    seen: Mapping[str, Seen]


@dataclass(frozen=True)
class Asked:
    """Whose situation is read; `is_panel` for an alarm that is of its site only."""

    platform_id: str
    incident_ref: str
    site_ref: str | None
    keys: list[str]
    is_panel: bool


@dataclass(frozen=True)
class Coming:
    """An alarm as it is stored. `body` is sealed; `keys` recognise its repeats."""

    id: str
    platform_id: str
    incident_ref: str
    api_key_id: int
    account_id: str | None
    digest: str
    priority: int
    keys: list[str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Opening:
    """What a new incident has beyond its alarm; `details` are sealed."""

    generation: int
    predecessor_id: str | None
    site_id: int | None
    site_ref: str | None
    kind: str
    services: list[str]
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


def hold_reference(session: Session, platform_id: str, incident_ref: str, *, wait_s: float) -> None:
    """Let nobody else judge or store anything under this reference until the transaction ends.

    Raises OperationalError when somebody else holds it for longer than `wait_s` seconds.
    """
    values = {"platform_id": platform_id, "incident_ref": incident_ref}
    session.execute(_HOLD_REFERENCE, values | {"lock_timeout": f"{int(wait_s * 1_000)}ms"})


def situations(session: Session, asked: Sequence[Asked]) -> list[Situation]:
    """Read what each alarm meets."""
    rows = [vars(one) | {"place": place} for place, one in enumerate(asked)]
    return [_situation(row) for row in session.execute(_SITUATIONS, {"asked": json.dumps(rows)})]


def _situation(row: Any) -> Situation:
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


def open_incidents(session: Session, opened: Sequence[tuple[Coming, Opening]], *, wait_s: float) -> None:
    """Insert incident, repeat keys and inbox row of each; no two of them may have one reference.

    Inserts nothing and raises IntegrityError when another request opened one of these generations, RowsHeld when
    somebody holds a row that one of them refers to (a site that is being changed) for longer than `wait_s`.
    """
    rows = [vars(coming) | vars(opening) | {"place": place} for place, (coming, opening) in enumerate(opened, 1)]
    columns = {
        "lock_timeout": f"{int(wait_s * 1_000)}ms",
        "details": [row["details"] for row in rows],
        "bodies": [row["body"] for row in rows],
        "rows": json.dumps([{name: row[name] for name in row.keys() - set(_SEALED)} for row in rows], default=str),
    }
    try:
        session.execute(_OPEN, columns)
    except OperationalError as fault:
        if isinstance(fault.orig, LockNotAvailable):
            raise RowsHeld from None
        raise


def fold(session: Session, coming: Coming, leading: str | None = None) -> bool:
    """Insert an event for a living incident; False when it came before by its key `leading`, if there is one.

    The caller holds the reference.
    """
    return session.execute(_FOLD, vars(coming) | {"leading": leading}).first() is not None


def remember(session: Session, asked: Asked, key: str, incident_id: str) -> None:
    """Keep the key of a repeat that named itself anew, so that it is known when it comes again later."""
    values = {"platform_id": asked.platform_id, "incident_ref": asked.incident_ref, "site_ref": asked.site_ref}
    session.execute(_REMEMBER, values | {"key": key, "incident_id": incident_id})


def act(session: Session, source: str, coming: Coming) -> None:
    """Insert an action on an incident."""
    session.execute(_ACT, vars(coming) | {"source": source})


def deliver(session: Session, priority: int, events: Sequence[Delivery]) -> None:
    """Insert what is new among these events, of one delivery or of many, in their order."""
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
    session.execute(_DELIVER, columns)


def webhook_seen(session: Session, account_id: str) -> None:
    """Note that the account's webhooks arrive, at most every ten seconds."""
    session.execute(_SEEN, {"account_id": account_id})
