"""What a platform adds to an incident for its provider: positions, people, more about the person."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from shared import accounts
from shared.domain.alarm import Person
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status, ended
from shared.providers import registry
from shared.store import people, reception
from shared.store.reading import Target
from webhooks_app import door as doors
from webhooks_app.actions import accepted, coming, require_capability, target
from webhooks_app.bodies import FixBody, LocationsBody, PeopleBody, PersonBody, PersonChangeBody
from webhooks_app.errors import CONFLICT, INVALID, Problem
from webhooks_app.intake import json_body, parse

M = TypeVar("M", bound=BaseModel)

# A position goes before other machines' news, and after a person's word.
PRIORITY = 20


def add_locations(incident_id: str) -> Response:
    """Say where the person of a moving alarm is: one fix or several. 409 for an alarm at an address, and at its end.

    The throttle decides which are passed on: 10 m and 10 s from the last one, exact to 75 m, the newest first.
    """
    fixes = _one_or_many(FixBody, LocationsBody)
    found = target(incident_id)
    require_capability(found, "locations")
    if not found.moving:
        raise Problem(CONFLICT, "The alarm is at a fixed address; only one raised with coordinates moves.")
    _refuse_ended(found, "Positions stop at cancel and at the end.")
    body = {"fixes": [fix.model_dump(mode="json", exclude_none=True) for fix in fixes]}
    here = doors.door()
    row = coming(found, body, PRIORITY, [])
    here.database.run(lambda session: reception.act(session, "locations", row), again=False)
    here.ring(Lane.INTAKE)
    return accepted(found, {})


def add_people(incident_id: str) -> Response:
    """Add people whom the provider may call. It takes them once per alarm: 409 after that call left."""
    added = _one_or_many(PersonBody, PeopleBody)
    found = target(incident_id)
    require_capability(found, "people")
    _refuse_ended(found, "Nobody can be added any more.")
    _check_people(found, added)
    row = coming(found, {"people": [one.model_dump(mode="json", exclude_none=True) for one in added]}, PRIORITY, [])
    here = doors.door()

    def store(session: Session) -> bool:
        people.hold(session, found.id)
        if people.left_for(session, found.id):
            return False
        reception.act(session, "people", row)
        return True

    if not here.database.run(store, again=False):
        raise Problem(CONFLICT, "The provider takes people once per alarm, and that call has left.")
    here.ring(Lane.INTAKE)
    return accepted(found, {})


def update_person(incident_id: str) -> Response:
    """Tell more about the alarm's person. Values are passed on as they are: agree names and units with the provider."""
    here = doors.door()
    body = parse(PersonChangeBody, json_body(here.settings.max_body_bytes))
    profile = body.model_dump(mode="json", exclude_none=True, exclude={"more"}) | body.more
    if not profile:
        raise Problem(INVALID, "Nothing is said of the person.", [("", "needs at least one field")])
    found = target(incident_id)
    require_capability(found, "person")
    _refuse_ended(found, "The person cannot be updated any more.")
    row = coming(found, {"profile": profile}, PRIORITY, [])
    here.database.run(lambda session: reception.act(session, "person", row), again=False)
    here.ring(Lane.INTAKE)
    return accepted(found, {})


def _one_or_many(item: type[M], several: type[BaseModel]) -> list[M]:
    """One object or an array of them; a fault names the element."""
    value = json_body(doors.door().settings.max_body_bytes)
    if isinstance(value, dict):
        return [parse(item, value)]
    if not isinstance(value, list):
        raise Problem(INVALID, "The body must be an object or an array.", [("", "must be an object or an array")])
    found: Any = parse(several, value)
    listed: list[M] = found.root
    return listed


def _refuse_ended(found: Target, why: str) -> None:
    if ended(Status(found.status)) or found.cancel in ("requested", "confirmed", "too_late"):
        raise Problem(CONFLICT, why)


def _check_people(found: Target, added: list[PersonBody]) -> None:
    """Nothing burns for want of a further person, so a wrong phone is refused while the sender listens."""
    here, account_id = doors.door(), found.account_id
    if account_id is None:
        return
    account = here.database.run(lambda session: accounts.account(session, account_id, here.box))
    capability = registry.get(account.provider).people
    wrong = [
        (f"{place}.phone" if "phone" in reason else f"{place}.name", reason)
        for place, one in enumerate(added)
        for reason in (capability.check_person(account, Person(one.name, one.phone, one.pin)) if capability else ())
    ]
    if wrong:
        raise Problem(INVALID, "Some people cannot be added.", wrong)
