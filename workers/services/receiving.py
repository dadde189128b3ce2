"""An alarm from the inbox: dispatch it, or say by which rule it is not (laws 10 and 11)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update

from shared.domain.kinds import RULES, Kind, services_for
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status, ended
from shared.domain.repeats import Known, Posted, Repeat, judge
from shared.doorbell import Row
from shared.providers import registry
from shared.store.models import Inbox, Incident, Outbox, Site
from shared.store.outbox import add_single
from workers.services import legs, locating, verifying
from workers.services.ledger import Ledger
from workers.services.requests import build, why_blocked


def alarm(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """Work a new incident, once."""
    assert row.incident_id is not None
    incident = book.incident(row.incident_id)
    if incident.status == Status.RECEIVED.value:
        decide(book, incident)


def decide(book: Ledger, incident: Incident) -> None:
    """Recorded, failed at once, or on its way."""
    book.tell(incident, "received", _received_words(incident), source=incident.origin)
    if incident.cancel in ("requested", "confirmed"):
        return
    if not incident.services:
        _record_only(book, incident)
        return
    reason = _why_not(book, incident)
    if reason is not None:
        legs.fail(book, incident, reason)
        return
    _register_first(book, incident)
    if not verifying.hold(book, incident):
        legs.open_leg(book, incident)
    _tell_doubts(book, incident)


def _tell_doubts(book: Ledger, incident: Incident) -> None:
    """A burning alarm whose place may not be covered is sent all the same, and a person decides who else to call."""
    assert incident.account_id is not None
    account = book.account(incident.account_id)
    request = build(book, incident, possible_double=False)
    found = registry.get(account.provider).dispatch.doubts(account, request)
    if not found:
        return
    words = f"Coverage is doubtful, the alarm is sent all the same: {'; '.join(found)}"
    book.tell(incident, "coverage_doubtful", words, worse=True)
    book.notice(
        incident.platform_id, f"coverage:{incident.id}", "coverage_doubtful", words, incident_id=incident.id, once=True
    )


def _received_words(incident: Incident) -> str:
    mark = "TEST: " if incident.test else ""
    after = " (follows an earlier incident of this reference)" if incident.predecessor_id else ""
    return f"{mark}Alarm received: {RULES[Kind(incident.kind)].words}{after}"


def _record_only(book: Ledger, incident: Incident) -> None:
    rule = RULES[Kind(incident.kind)]
    why = f"a {rule.words} is not dispatched by rule: {rule.why}"
    book.move(incident, Status.RECORDED, why)
    book.tell(incident, "recorded", f"Recorded, nobody is sent: {why}")


def _why_not(book: Ledger, incident: Incident) -> str | None:
    """What makes a dispatch impossible from the start; None when it can go."""
    if incident.site_ref is not None and incident.site_id is None:
        return f"the site {incident.site_ref} is not known here"
    if incident.account_id is None:
        return "no provider account serves this alarm"
    blocked = why_blocked(book.site(incident.site_id))
    if blocked is not None:
        return blocked
    account = book.account(incident.account_id)
    provider = registry.get(account.provider)
    allowed = book.platform(incident.platform_id).policies.get("allow_test_in_production", False)
    if incident.test and account.environment == "production" and not allowed:
        return "a test leaves only through a staging account"
    problems = provider.dispatch.check(account, build(book, incident, possible_double=False))
    return "; ".join(problems) or None


def _register_first(book: Ledger, incident: Incident) -> None:
    """A site that the provider does not know yet is registered in `dispatch`, ahead of the create."""
    if incident.site_id is None or incident.account_id is None:
        return
    account = book.account(incident.account_id)
    if registry.get(account.provider).sites is None or account.site_mode != "rest":
        return
    site = book.session.get_one(Site, incident.site_id)
    if site.provider_site_id is not None:
        return
    values: dict[str, Any] = {"lane": Lane.DISPATCH.value, "priority": 0}
    moved = book.session.execute(
        update(Outbox)
        .where(Outbox.single == f"site:{site.id}", Outbox.state == "pending")
        .values(next_attempt_at=text("least(next_attempt_at, now())"), **values)
        .returning(Outbox.id)
        .execution_options(synchronize_session=False)
    ).first()
    row_id = moved.id if moved is not None else None
    if row_id is None:
        site.sync_state = "pending"
        row_id = add_single(
            book.session,
            kind="site",
            destination=f"account:{account.id}",
            platform_id=incident.platform_id,
            account_id=account.id,
            site_id=site.id,
            single=f"site:{site.id}",
            **values,
        )
    if row_id is not None:
        book.ring(Row("site", row_id))


def further(book: Ledger, row: Inbox, body: dict[str, Any]) -> None:
    """News of a living incident: on its timeline, and on to whoever responds."""
    assert row.incident_id is not None
    incident = book.incident(row.incident_id)
    if (body.get("folded") or _asks_for_somebody(book, incident, body)) and _is_over(incident):
        incident = _newest(book, incident)
        if _is_over(incident) or _asks_for_more(book, incident, body):
            _successor(book, row, incident, body)
            return
    if incident.status == Status.HOLDING.value and _asks_for_somebody(book, incident, body):
        verifying.overtaken(book, incident)
    place = (body.get("location") or {}).get("coordinates")
    if incident.moving and place:
        locating.take(book, incident, [place], "push", row.received_at)
    kind = RULES[Kind(body.get("kind") or incident.kind)].words
    zone = f", zone {body['zone']}" if body.get("zone") else ""
    sent_on = send_on(book, incident, body)
    tail = "sent on to the responders" if sent_on is None else sent_on
    book.tell(incident, "event", f"Further signal: {kind}{zone}; {tail}", source=incident.origin)


def _is_over(incident: Incident) -> bool:
    return ended(Status(incident.status)) or incident.cancel in ("requested", "confirmed")


def _newest(book: Ledger, incident: Incident) -> Incident:
    """The last incident of the same reference and site, locked: other news may have opened a successor already."""
    newest = book.session.scalars(
        select(Incident.id)
        .where(
            Incident.platform_id == incident.platform_id,
            Incident.incident_ref == incident.incident_ref,
            Incident.site_ref.is_not_distinct_from(incident.site_ref),
        )
        .order_by(Incident.generation.desc())
        .limit(1)
    ).one()
    return book.incident(newest)


def _asks_for_more(book: Ledger, incident: Incident, body: dict[str, Any]) -> bool:
    """Judged again, since it met another incident than the door saw."""
    kind = Kind(body["kind"])
    known = Known(Kind(incident.kind), Status(incident.status), incident.test, frozenset(incident.services))
    posted = Posted(kind, bool(body.get("test")), _services(book, incident, kind), False, False, None)
    return judge(known, posted) is Repeat.SUCCESSOR


def _services(book: Ledger, incident: Incident, kind: Kind) -> frozenset[str]:
    return services_for(kind, book.platform(incident.platform_id).policies.get("dispatch_kinds", {}))


def _asks_for_somebody(book: Ledger, incident: Incident, body: dict[str, Any]) -> bool:
    """An event that names a kind for which somebody is sent."""
    return bool(body.get("kind")) and bool(_services(book, incident, Kind(body["kind"])))


def _successor(book: Ledger, row: Inbox, former: Incident, body: dict[str, Any]) -> None:
    """It was news of a living incident when it came, and that one ended meanwhile: a person comes all the same."""
    kind = Kind(body["kind"])
    details = {**book.details(former), **body}
    incident = Incident(
        id=f"inc_{uuid.uuid4().hex}",
        platform_id=former.platform_id,
        incident_ref=former.incident_ref,
        generation=_generations(book, former) + 1,
        predecessor_id=former.id,
        account_id=former.account_id,
        site_id=former.site_id,
        site_ref=former.site_ref,
        kind=kind.value,
        services=sorted(_services(book, former, kind)),
        origin=body.get("origin") or former.origin,
        test=bool(body.get("test") if body.get("folded") else former.test),
        moving=former.site_ref is None and bool((details.get("location") or {}).get("coordinates")),
        details=book.box.seal(details),
        status=Status.RECEIVED.value,
        moments={},
        seq=0,
        occurred_at=datetime.fromisoformat(body["occurred_at"]) if body.get("occurred_at") else row.received_at,
        received_at=row.received_at,
    )
    book.session.add(incident)
    book.session.flush()
    decide(book, incident)


def _generations(book: Ledger, incident: Incident) -> int:
    """How many incidents the reference has by now; of all sites that use it."""
    own = (Incident.platform_id == incident.platform_id, Incident.incident_ref == incident.incident_ref)
    newest = book.session.scalar(select(func.max(Incident.generation)).where(*own))
    return newest or 0


def send_on(book: Ledger, incident: Incident, body: dict[str, Any]) -> str | None:
    """Queue a further signal for the provider; else the reason why it stays here."""
    if incident.account_id is None or incident.ended_at is not None:
        return "nobody is responding, so it stays here"
    provider = registry.get(book.account(incident.account_id).provider)
    if provider.events is None and provider.notes is None:
        return "this provider takes neither notes nor events"
    book.send(
        Outbox(
            lane=Lane.OUTGOING.value,
            kind="event" if provider.events is not None else "note",
            destination=f"account:{incident.account_id}",
            platform_id=incident.platform_id,
            account_id=incident.account_id,
            incident_id=incident.id,
            priority=15,
            sealed=book.box.seal({"received_at": book.now.isoformat(), **body}),
            body={"trigger": False},
        )
    )
    return None
