"""One transaction's book: locked incidents, their history, and all that must go out because of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.event import listen
from sqlalchemy.orm import Session

from shared.accounts import account_value
from shared.crypto import Box
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status, ended
from shared.domain.words import word
from shared.doorbell import Row
from shared.providers.base import Account
from shared.store import moving, telling
from shared.store.among import among
from shared.store.models import Incident, IncidentLeg, Leg, Notice, Outbox, Platform, ProviderAccount, Site
from shared.store.telling import Entry, WriteBack
from workers.deps import Deps

# In these a person may be told of the incident itself.
_NOTICED = frozenset({"received", "holding", "requesting", "unconfirmed", "failed"})
_NOW = text("SELECT now()")
_NOW_AND_LOCK = text("SELECT now(), set_config('lock_timeout', CAST(:ms AS text), true)")
_LOCK = (
    select(Incident)
    .where(among(Incident.id, "ids"))
    .order_by(Incident.id)
    .with_for_update()
    .execution_options(populate_existing=True)
)
_MEET = (
    select(Platform, ProviderAccount)
    .outerjoin(ProviderAccount, (ProviderAccount.platform_id == Platform.id) & among(ProviderAccount.id, "accounts"))
    .where(among(Platform.id, "platforms"))
)
OPEN_FIRST = 20
ENDED_LATER = 40


@dataclass
class LockedLeg:
    """A leg under lock, and all links to it; `asked` are the reads of it that were asked for in this transaction."""

    leg: Leg
    links: list[IncidentLeg]
    asked: set[str] = field(default_factory=set)

    def incident_ids(self) -> list[str]:
        """The incidents that it answers and that have not left it."""
        return sorted(link.incident_id for link in self.links if link.left_at is None)


class Ledger:
    """Reads under locks, appends history, numbers write-backs, and remembers what to ring for after the commit."""

    def __init__(self, session: Session, deps: Deps, *, lock_ms: int | None = None) -> None:
        """Open the book on a session whose transaction has just begun; no lock is awaited for more than `lock_ms`."""
        self.session = session
        self.deps = deps
        self.box: Box = deps.box
        self.now: datetime = session.execute(_NOW if lock_ms is None else _NOW_AND_LOCK, {"ms": lock_ms}).scalar_one()
        self._seen: dict[str, set[str]] = {}
        self._rows: list[Outbox] = []
        self._asked: set[Lane | Row] = set()
        self._entries: list[Entry] = []
        self._write_backs: list[WriteBack] = []
        self._accounts: dict[str, Account] = {}
        # What is locked stays as it is here until the commit, so it is read once.
        self._locked: dict[str, Incident] = {}
        self._platforms: dict[str, Platform] = {}
        # Held, so that the session, which holds its rows weakly, does not read them twice.
        self._met: list[object] = []
        self.legs: dict[int, LockedLeg] = {}
        self.leg_by_provider_id: dict[tuple[str, str], Leg] = {}
        listen(session, "before_commit", lambda session: self.close())

    def close(self) -> None:
        """Write what was told, after the rows that it speaks of. The commit does it by itself."""
        moving.write(self.session)
        self.session.flush()
        if self._entries:
            telling.tell(self.session, self._entries, self._write_backs, self.now)
        self._entries, self._write_backs = [], []

    # -- reading ---------------------------------------------------------------------------------------------------

    def lock(self, incident_ids: Iterable[str]) -> list[Incident]:
        """The incidents, locked in the order of their ids (so that two transactions cannot wait for each other)."""
        wanted = sorted(set(incident_ids))
        unlocked = [incident_id for incident_id in wanted if incident_id not in self._locked]
        if unlocked:
            found = self.session.scalars(_LOCK, {"ids": unlocked})
            self._locked.update({incident.id: incident for incident in found})
            self._meet([self._locked[incident_id] for incident_id in unlocked if incident_id in self._locked])
        return [self._locked[incident_id] for incident_id in wanted if incident_id in self._locked]

    def _meet(self, incidents: Iterable[Incident]) -> None:
        """Read the platforms and accounts of these incidents at once."""
        platforms = {incident.platform_id for incident in incidents} - self._platforms.keys()
        if not platforms:
            return
        accounts = {incident.account_id for incident in incidents if incident.account_id is not None}
        rows = self.session.execute(_MEET, {"platforms": list(platforms), "accounts": list(accounts)})
        for row in rows:
            self._platforms[row[0].id] = row[0]
            self._met.append(row[1])

    def incident(self, incident_id: str) -> Incident:
        """One incident, locked."""
        return self.lock([incident_id])[0]

    def platform(self, platform_id: str) -> Platform:
        """The tenant (kept for the transaction)."""
        if platform_id not in self._platforms:
            self._platforms[platform_id] = self.session.get_one(Platform, platform_id)
        return self._platforms[platform_id]

    def account(self, account_id: str) -> Account:
        """The provider account with its credentials opened (kept for the transaction)."""
        if account_id not in self._accounts:
            row = self.session.get_one(ProviderAccount, account_id)
            self._accounts[account_id] = account_value(row, self.box)
        return self._accounts[account_id]

    def site(self, site_id: int | None) -> Site | None:
        """The site row, None for a site-less alarm."""
        return None if site_id is None else self.session.get(Site, site_id)

    def details(self, incident: Incident) -> dict[str, Any]:
        """The alarm as it was posted, opened."""
        found: dict[str, Any] = self.box.open(incident.details)
        return found

    # -- history ---------------------------------------------------------------------------------------------------

    def seen(self, incident: Incident, effect: str) -> bool:
        """True when this effect is on the incident's timeline already. Safe because the incident is locked."""
        return effect in self._effects(incident)

    def _effects(self, incident: Incident) -> set[str]:
        if incident.id not in self._seen:
            self.learn_effects([incident.id])
        return self._seen[incident.id]

    def learn_effects(self, incident_ids: Iterable[str]) -> None:
        """Read the effects of many incidents at once."""
        wanted = [incident_id for incident_id in incident_ids if incident_id not in self._seen]
        if not wanted:
            return
        self._seen |= {incident_id: set() for incident_id in wanted}
        for incident_id, effect in telling.effects(self.session, wanted):
            self._seen[incident_id].add(effect)

    def move(self, incident: Incident, status: Status, reason: str | None = None) -> None:
        """Set the badge, stamp the moment, and end the notices that it clears."""
        if incident.status in _NOTICED and status.value not in _NOTICED:
            self.end_notice(f"incident:{incident.id}")
        incident.status = status.value
        incident.moments = {**incident.moments, status.value: self.now.isoformat()}
        if reason is not None:
            incident.reason = reason
        incident.ended_at = self.now if ended(status) else None
        if ended(status) and incident.cancel is not None:
            self.end_notice(f"cancel:{incident.id}")
        if status is Status.CLOSED:
            self._wipe_pin(incident)

    def _wipe_pin(self, incident: Incident) -> None:
        """The PINs served to cancel; a closed incident needs them no more."""
        details = self.details(incident)
        holders = [*filter(None, [details.get("person")]), *(details.get("people") or [])]
        if any(holder.get("pin") for holder in holders):
            for holder in holders:
                holder["pin"] = None
            incident.details = self.box.seal(details)

    def tell(
        self,
        incident: Incident,
        event: str,
        entry: str,
        *,
        source: str = "tocsin",
        leg: Leg | None = None,
        occurred_at: datetime | None = None,
        effect: str | None = None,
        urgent: bool = False,
        worse: bool = False,
        detail: dict[str, Any] | None = None,
    ) -> bool:
        """Append one step to the timeline and write it back. False when the effect was told before.

        `urgent` write-backs wait for no predecessor; `worse` ones reach the escalation address when undelivered.
        """
        if effect is not None:
            if self.seen(incident, effect):
                return False
            self._effects(incident).add(effect)
        at = occurred_at or self.now
        report = self._report_url(incident, leg)
        if report is not None and event == Status.CLOSED.value:
            detail = {**(detail or {}), "report_url": report}
        self._entries.append(
            Entry(
                incident_id=incident.id,
                leg_id=None if leg is None else leg.id,
                event=event,
                source=source,
                status=incident.status,
                entry=entry,
                effect=effect,
                detail=detail,
                occurred_at=at.isoformat(),
            )
        )
        self._write_back(incident, event, entry, leg, at, report, urgent=urgent or worse, worse=worse)
        return True

    def _report_url(self, incident: Incident, leg: Leg | None) -> str | None:
        """Where the report was filed; else, of a closed incident, where the provider's own stands (`{id}`: its id)."""
        if incident.report_url is not None or incident.status != Status.CLOSED.value or incident.account_id is None:
            return incident.report_url
        template = self.account(incident.account_id).options.get("report_url_template")
        alarm_id = self._provider_alarm_id(incident, leg) if template else None
        return str(template).replace("{id}", quote(alarm_id, safe="")) if alarm_id else None

    def _write_back(
        self,
        incident: Incident,
        event: str,
        entry: str,
        leg: Leg | None,
        at: datetime,
        report: str | None,
        *,
        urgent: bool,
        worse: bool,
    ) -> None:
        platform = self.platform(incident.platform_id)
        if not platform.writeback_url:
            return
        incident.seq += 1
        status = Status(incident.status)
        body: dict[str, Any] = {
            "id": f"wb_{uuid.uuid4().hex}",
            "seq": incident.seq,
            "incident_ref": incident.incident_ref,
            "incident_id": incident.id,
            "provider": self.account(incident.account_id).provider if incident.account_id else None,
            "provider_alarm_id": self._provider_alarm_id(incident, leg),
            "event": event,
            "status": incident.status,
            "word": word(status, platform.words),
            "cancel": incident.cancel,
            "entry": entry,
            "occurred_at": at.isoformat(),
            "received_at": incident.received_at.isoformat(),
        }
        if incident.eta_at is not None and status is Status.ACKNOWLEDGED:
            body["eta"] = incident.eta_at.isoformat()
        if incident.after_authorities:
            body["after_authorities"] = True
        if report is not None:
            body["report_url"] = report
        self._write_backs.append(
            WriteBack(
                destination=f"platform:{platform.id}",
                platform_id=platform.id,
                incident_id=incident.id,
                priority=ENDED_LATER if ended(status) else OPEN_FIRST,
                seq=incident.seq,
                urgent=urgent,
                worse=worse,
                body=body,
            )
        )
        self.ring(Lane.OUTGOING)

    def _provider_alarm_id(self, incident: Incident, leg: Leg | None) -> str | None:
        """The id at the provider, from `requested` on also for a step that no leg is named for."""
        if leg is not None or Status.REQUESTED.value not in incident.moments:
            return leg.provider_alarm_id if leg is not None else None
        return self.session.scalar(
            select(Leg.provider_alarm_id)
            .join(IncidentLeg, IncidentLeg.leg_id == Leg.id)
            .where(IncidentLeg.incident_id == incident.id, Leg.provider_alarm_id.is_not(None))
            .order_by(Leg.id.desc())
            .limit(1)
        )

    # -- what goes out ---------------------------------------------------------------------------------------------

    def send(self, row: Outbox) -> Outbox:
        """Add an outbox row and ring for it once the transaction is committed."""
        row.next_attempt_at = self.now
        self.session.add(row)
        self._rows.append(row)
        return row

    def ring(self, what: Lane | Row) -> None:
        """Ring for a lane, or for one row of `dispatch`, after the commit."""
        self._asked.add(what)

    def ring_out(self) -> None:
        """Ring for all that was asked for, alarms first; call it after the commit, when the rows have their ids."""
        asked = set(self._asked)
        for row in self._rows:
            asked.add(Row(row.kind, row.id) if row.lane == Lane.DISPATCH.value else Lane(row.lane))
        for what in sorted(asked, key=lambda what: isinstance(what, Lane)):
            self.deps.ringer.ring(what)

    def wake_creates(self, site_id: int | None) -> None:
        """Make the creates that wait for this site due now, and ring for them."""
        if site_id is None:
            return
        woken = self.session.execute(
            update(Outbox)
            .where(
                Outbox.site_id == site_id,
                Outbox.kind == "create",
                Outbox.state == "pending",
                Outbox.lease_until.is_(None),
                Outbox.attempts == 0,
            )
            .values(next_attempt_at=self.now)
            .returning(Outbox.id)
            .execution_options(synchronize_session=False)
        )
        if woken.first() is not None:
            self.ring(Lane.DISPATCH)

    # -- people ----------------------------------------------------------------------------------------------------

    def notice(
        self,
        platform_id: str,
        subject: str,
        kind: str,
        words: str,
        *,
        incident_id: str | None = None,
        once: bool = False,
    ) -> None:
        """Tell a person, in both ways, until it is acknowledged or over (law 13); one open notice per subject."""
        self.session.execute(
            insert(Notice)
            .values(
                platform_id=platform_id,
                subject=subject,
                incident_id=incident_id,
                kind=kind,
                text=words,
                once=once,
                opened_at=self.now,
                next_at=self.now,
            )
            .on_conflict_do_update(
                index_elements=["subject"],
                index_where=Notice.ended_at.is_(None),
                # News is told again, also to those who have acknowledged what it was before.
                set_={
                    "kind": kind,
                    "text": words,
                    "once": once,
                    "acknowledged_at": None,
                    "acknowledged_by": None,
                    "next_at": self.now,
                },
                where=Notice.kind != kind,
            )
        )

    def end_notice(self, subject: str) -> None:
        """What it told of is over."""
        self.session.execute(
            update(Notice)
            .where(Notice.subject == subject, Notice.ended_at.is_(None))
            .values(ended_at=self.now)
            .execution_options(synchronize_session=False)
        )

    def in_seconds(self, seconds: float) -> datetime:
        """A moment from now, on the database's clock."""
        return self.now + timedelta(seconds=seconds)
