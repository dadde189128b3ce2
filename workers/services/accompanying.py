"""What goes along with an accepted alarm beside its trigger: people, more about the person, the newest position."""

from __future__ import annotations

from shared.domain.lanes import Lane
from shared.providers import registry
from shared.providers.base import Provider
from shared.store.models import Incident, Leg
from shared.store.outbox import add_single
from workers.services.ledger import Ledger

# The capability that each kind of row needs.
_CAPABILITY = {"people": "people", "person": "person", "location": "locations"}


def accompany(book: Ledger, leg: Leg, incident: Incident) -> None:
    """Queue what the create could not carry. The rows look again at what there is when they are worked."""
    provider = registry.get(book.account(leg.account_id).provider)
    if not _can_more(provider):
        return
    details = book.details(incident)
    if details.get("people") or ("people" not in details and incident.site_id is not None):
        send_people(book, leg, incident)
    if details.get("profile"):
        send_person(book, leg, incident)
    if incident.moving:
        _send(book, "location", leg, incident, f"location:{incident.id}")


def send_people(book: Ledger, leg: Leg, incident: Incident) -> None:
    """One people call per leg."""
    _send(book, "people", leg, incident, f"people:{leg.id}")


def send_person(book: Ledger, leg: Leg, incident: Incident) -> None:
    """What is known of the person by now; asked for again while it is sent, it is sent again."""
    _send(book, "person", leg, incident, f"person:{leg.id}", again=True)


def _can_more(provider: Provider) -> bool:
    return not (provider.people is None and provider.person is None and provider.locations is None)


def _send(book: Ledger, kind: str, leg: Leg, incident: Incident, single: str, *, again: bool = False) -> None:
    if getattr(registry.get(book.account(leg.account_id).provider), _CAPABILITY[kind]) is None:
        return
    add_single(
        book.session,
        again=again,
        lane=Lane.OUTGOING.value,
        kind=kind,
        destination=f"account:{leg.account_id}",
        platform_id=incident.platform_id,
        account_id=leg.account_id,
        incident_id=incident.id,
        leg_id=leg.id,
        priority=11,
        single=single,
        next_attempt_at=book.now,
    )
    book.ring(Lane.OUTGOING)
