"""What was agreed for the day after: reports, and whom to tell when something is missing, double or lost."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.cli.golive.ground import BY, Ground
from deploy.cli.golive.report import Line, judged, person
from shared.store.models import Platform

REPORTS = "where reports are linked"
MISSING = "handling of missing sites"
DUPLICATES = "handling of duplicate references"
DELIVERIES = "handling of failed deliveries"


def reports(ground: Ground) -> Iterator[Line]:
    """The link that a closed incident gets."""
    for account in ground.accounts:
        if account.options.get("report_url_template"):
            yield judged(REPORTS, account.id, [], "a closed incident links to the provider's portal")
        else:
            yield person(REPORTS, account.id, "no report_url_template: agree where its reports are filed")


def missing_sites(ground: Ground) -> Iterator[Line]:
    """An alarm of a site that nobody knows fails at once, and is told."""
    incident = ground.raise_alarm("nowhere", f"golive-{ground.run}-nobody-knows-it")
    faults = []
    if not ground.until(lambda: ground.incident(incident)["status"] == "failed"):
        faults.append(f"its alarm is {ground.incident(incident)['status']}, not failed")
    told = "SELECT 1 FROM notice WHERE incident_id = :i AND ended_at IS NULL"
    if not ground.until(lambda: bool(ground.rows(told, i=incident))):
        faults.append("nobody was told")
    ground.taken("POST", f"/v1/incidents/{incident}/drop", {"by": BY, "reason": "a rehearsal"})
    yield judged(MISSING, "", faults, "its alarm fails at once and a person is told")


def duplicate_references(ground: Ground) -> Iterator[Line]:
    """Sites whose reference is ambiguous at their provider: their alarms are told to a person and sent to no guess."""
    rows = ground.rows(
        """
        SELECT reference FROM site WHERE platform_id = :p AND deleted_at IS NULL
            AND (conflict <> '' OR sync_state = 'conflict') ORDER BY reference LIMIT 10
        """,
        p=ground.platform_id,
    )
    faults = [f"{row.reference} is ambiguous at its provider: remove the other record" for row in rows]
    yield judged(DUPLICATES, "", faults, "none is open; one would fail its alarm and be told, never guessed")


def failed_deliveries(ground: Ground) -> Iterator[Line]:
    """Write-backs are retried and told; a person must be reachable on a second way."""
    with ground.sessions() as session:
        platform = session.get_one(Platform, ground.platform_id)
        second_way = platform.escalation_url or ground.settings.escalation_url
        faults = [] if platform.writeback_url else ["the platform has no write-back address"]
    if not second_way:
        faults.append("there is no escalation address: with the platform away nobody is told")
    dead = ground.rows(
        "SELECT count(*) AS n FROM outbox WHERE platform_id = :p AND kind = 'writeback' AND state = 'dead'",
        p=ground.platform_id,
    )[0].n
    if dead:
        faults.append(f"{dead} write-backs were given up: tocsin outbox list, then replay")
    yield judged(DELIVERIES, "", faults, "write-backs are retried, and told at the escalation address after 30 s")
