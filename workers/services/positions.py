"""Where the person of a moving alarm was last seen, and where the provider believes that person to be."""

from __future__ import annotations

from sqlalchemy import select

from shared.domain.alarm import Coordinates
from shared.domain.throttle import Fix, Known, Rule, Throttle
from shared.store.models import Incident, Leg, LocationFix
from workers.services.ledger import Ledger

# What may stand in a create or be sent; a coarse or exchanged one may not.
USABLE = ("held", "superseded", "sent", "refused")


def throttle(book: Ledger, incident: Incident) -> Throttle:
    """The limits, read as the platform's policy says."""
    policy = book.platform(incident.platform_id).policies.get("location_throttle", Rule.STRICT.value)
    return Throttle(Rule(policy))


def latest(book: Ledger, incident_id: str, *, sendable: bool = False) -> LocationFix | None:
    """The newest usable fix by the device's time; with `sendable` only one that was not sent yet."""
    return book.session.scalar(
        select(LocationFix)
        .where(LocationFix.incident_id == incident_id, LocationFix.state.in_(("held",) if sendable else USABLE))
        .order_by(LocationFix.taken_at.desc(), LocationFix.id.desc())
        .limit(1)
    )


def point(book: Ledger, row: LocationFix) -> Coordinates:
    """The position of a row, opened."""
    kept = book.box.open(row.point)
    return Coordinates(kept["lat"], kept["lng"], kept.get("accuracy"))


def fix(book: Ledger, row: LocationFix) -> Fix:
    """A row as the domain sees it."""
    place = point(book, row)
    return Fix(place.lat, place.lng, row.taken_at, place.accuracy)


def place_to_send(book: Ledger, incident: Incident) -> Coordinates | None:
    """The newest position of a moving alarm, else the one that it was posted with; None for a static alarm."""
    row = latest(book, incident.id) if incident.moving else None
    if row is not None:
        return point(book, row)
    given = (book.details(incident).get("location") or {}).get("coordinates")
    return Coordinates(given["lat"], given["lng"], given.get("accuracy")) if given else None


def known(book: Ledger, incident: Incident, leg: Leg | None) -> Known | None:
    """What the provider was told last: by an update of this leg, else by its create."""
    sent = None if leg is None else _last_sent(book, incident, leg)
    if sent is not None and sent.sent_at is not None:
        place = point(book, sent)
        return Known(place.lat, place.lng, sent.sent_at)
    carried = book.session.scalar(
        select(LocationFix)
        .where(
            LocationFix.incident_id == incident.id,
            LocationFix.state.in_(USABLE),
            LocationFix.received_at <= ((leg.sending_at if leg is not None else None) or book.now),
        )
        .order_by(LocationFix.taken_at.desc(), LocationFix.id.desc())
        .limit(1)
    )
    given = (book.details(incident).get("location") or {}).get("coordinates")
    since = (leg.answered_at if leg is not None else None) or incident.received_at
    if carried is not None:
        place = point(book, carried)
        return Known(place.lat, place.lng, since)
    return Known(given["lat"], given["lng"], since) if given else None


def _last_sent(book: Ledger, incident: Incident, leg: Leg) -> LocationFix | None:
    return book.session.scalar(
        select(LocationFix)
        .where(LocationFix.incident_id == incident.id, LocationFix.leg_id == leg.id, LocationFix.state == "sent")
        .order_by(LocationFix.sent_at.desc())
        .limit(1)
    )
