"""`POST /v1/alarms`: the alarm is an incident and a row of the inbox before the sender is told "accepted"."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from flask import Response, jsonify
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.crypto import digest
from shared.domain.kinds import RULES, Kind, services_for
from shared.domain.lanes import Lane
from shared.domain.lifecycle import Status, ended
from shared.domain.repeats import SAME_BYTES_WINDOW_S, Known, Posted, Repeat, judge
from shared.providers import registry
from shared.store import reception
from shared.store.reception import Coming, Newest, Opening, Seen, Situation
from webhooks_app import door as doors
from webhooks_app.auth import principal
from webhooks_app.bodies import AlarmBody
from webhooks_app.database import DatabaseAway
from webhooks_app.errors import FORBIDDEN, INVALID, Problem
from webhooks_app.intake import json_body, parse
from webhooks_app.principal import Principal

log = structlog.get_logger(__name__)

# Requests that race for one reference judge again; each round one of them wins.
ROUNDS = 5


@dataclass(frozen=True)
class Alarm:
    """An alarm as it was posted, with the keys that recognise its repeats."""

    body: AlarmBody = field(repr=False)
    who: Principal
    digest: str

    @property
    def keys(self) -> list[str]:
        """Its bytes first, then what the sender named."""
        found = [self.bytes_key]
        if self.event_key:
            found.append(self.event_key)
        if self.moment_key:
            found.append(self.moment_key)
        return found

    @property
    def bytes_key(self) -> str:
        """The content, without the event id."""
        return f"b:{self.digest}"

    @property
    def event_key(self) -> str | None:
        """The sender's own id of this signal."""
        return f"e:{self.body.event_id}" if self.body.event_id else None

    @property
    def moment_key(self) -> str | None:
        """The same kind at the same moment: a trouble and a panic of one second are two things."""
        return f"t:{self.body.kind}:{self.body.occurred_at.isoformat()}" if self.body.occurred_at else None


@dataclass(frozen=True)
class Taken:
    """What became of an alarm."""

    incident_id: str
    status: str
    repeat: Repeat | None


def raise_alarm() -> Response:
    """Take an alarm: commit, answer, ring."""
    here = doors.door()
    alarm = _posted(json_body(here.settings.max_body_bytes), principal())
    taken = _take_in_turn(alarm)
    if taken.repeat is not Repeat.SAME:
        here.ring(Lane.INTAKE)
    here.figures.alarms.labels(taken.repeat or "new").inc()
    log.info("alarm.taken", incident_id=taken.incident_id, repeat=taken.repeat, kind=alarm.body.kind)
    answer = jsonify(
        incident_id=taken.incident_id,
        status=taken.status,
        repeat=taken.repeat,
        links=links(taken.incident_id, panel=alarm.who.is_panel),
    )
    answer.status_code = 202
    return answer


def links(incident_id: str, *, panel: bool = False) -> dict[str, str]:
    """Where an incident is read and acted upon; a panel may only add events and cancel."""
    own = f"/v1/incidents/{incident_id}"
    shared = {"cancel": f"{own}/cancel", "events": f"{own}/events"}
    return shared if panel else {"self": own, **shared, "notes": f"{own}/notes"}


def choose_account(
    accounts: Sequence[Mapping[str, Any]], provider: str | None, *, test: bool
) -> Mapping[str, Any] | None:
    """The account of a site-less alarm: of the named provider, or of the only one; tests prefer staging."""
    if provider is None and len({account["provider"] for account in accounts}) != 1:
        return None
    fitting = [account for account in accounts if provider in (None, account["provider"])]
    environment = "staging" if test else "production"
    fitting.sort(key=lambda account: (account["environment"] != environment, not account["default"]))
    return fitting[0] if fitting else None


def _posted(value: Any, who: Principal) -> Alarm:
    """The alarm of a request body; a panel's key speaks for its own site only, and sends nobody elsewhere."""
    if not isinstance(value, dict):
        raise Problem(INVALID, "The body must be a JSON object.", [("", "must be an object")])
    if who.is_panel and value.setdefault("site_ref", who.site_ref) != who.site_ref:
        raise Problem(FORBIDDEN, "A panel's key raises alarms of its own site only.")
    if who.is_panel:
        value.pop("location", None)  # the site's holds; refusing an alarm for it would be worse
    body = parse(AlarmBody, value)
    return Alarm(body, who, digest(_content(value)))


def _content(value: dict[str, Any]) -> bytes:
    """What makes two alarms the same: all but the event id, and the PINs, which could be guessed from a digest."""
    content = {key: item for key, item in value.items() if key != "event_id"}
    if content.get("person"):
        content["person"] = _without_pin(content["person"])
    if content.get("people"):
        content["people"] = [_without_pin(one) for one in content["people"]]
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _without_pin(person: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in person.items() if key != "pin"}


def _take_in_turn(alarm: Alarm) -> Taken:
    for _ in range(ROUNDS):
        try:
            taken = doors.door().database.run(lambda session: _take(session, alarm))
        except IntegrityError:
            continue  # another request opened this generation; now it is a repeat
        if taken is not None:
            return taken
    raise DatabaseAway


def _take(session: Session, alarm: Alarm) -> Taken | None:
    """Judge and store in one transaction; None when another request was faster with the same event."""
    body = alarm.body
    now = reception.situation(
        session,
        alarm.who.platform_id,
        body.incident_ref,
        body.site_ref,
        alarm.keys,
        is_panel=alarm.who.is_panel,
    )
    account = _account(now, body)
    _refuse_misdirected(now, body, account)
    services = services_for(body.kind, now.policies.get("dispatch_kinds", {}))
    repeat = _repeat(now, alarm, services)
    if repeat is Repeat.SAME:
        return _same(now, alarm)
    if repeat is Repeat.FOLD and now.newest is not None:
        coming = _coming(alarm, now.newest.incident_id, now.newest.account_id, {"folded": True})
        if not reception.fold(session, coming, alarm.bytes_key):
            return None
        return Taken(now.newest.incident_id, now.newest.status, Repeat.FOLD)
    coming = _coming(alarm, new_incident_id(), account["id"] if account else None, None)
    reception.open_incident(session, coming, _opening(now, alarm, services))
    return Taken(coming.incident_id, Status.RECEIVED, repeat)


def new_incident_id() -> str:
    """An id that sorts by time, so that new rows stay together in the index."""
    return f"inc_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def _account(now: Situation, body: AlarmBody) -> Mapping[str, Any] | None:
    """A site decides by its account; an unknown site has none, and the work tells a person so."""
    if body.site_ref is not None:
        own = [account for account in now.accounts if account["id"] == now.site_account_id]
        return own[0] if own else None
    return choose_account(now.accounts, body.provider or now.policies.get("default_provider"), test=body.test)


def _refuse_misdirected(now: Situation, body: AlarmBody, account: Mapping[str, Any] | None) -> None:
    """What can never be dispatched as it was asked is refused while the sender still listens."""
    if account is None:
        return  # taken all the same: the work fails it at once, and a person is told
    if body.test and account["environment"] == "production" and not now.policies.get("allow_test_in_production"):
        reason = "a test leaves only through a staging account, unless the platform allows it"
        raise Problem(INVALID, "The alarm is a test and its account is a production one.", [("test", reason)])
    try:
        provider = registry.get(account["provider"])
    except registry.UnknownProvider:
        return
    if provider.needs_site and body.site_ref is None:
        reason = provider.cannot.get("person") or "this provider answers alarms of registered sites only"
        raise Problem(INVALID, "The provider needs a site.", [("site_ref", reason)])


def _repeat(now: Situation, alarm: Alarm, services: frozenset[str]) -> Repeat | None:
    """How the alarm stands to what is known of its reference; None when that is nothing."""
    if now.newest is None and not now.seen:
        return None
    body = alarm.body
    if now.newest is not None:
        newest = now.newest
        known = Known(Kind(newest.kind), Status(newest.status), newest.test, newest.services, _hopeless(newest))
    else:  # the incident is no longer kept, its keys still are
        known = Known(body.kind, Status.CLOSED, body.test, services)
    same_bytes = _same_bytes(now, alarm)
    posted = Posted(
        kind=body.kind,
        test=body.test,
        services=services,
        event_id_seen=alarm.event_key in now.seen,
        occurred_at_seen=alarm.moment_key in now.seen,
        seen_age_s=same_bytes.age_s if same_bytes else None,
    )
    return judge(known, posted)


def _same_bytes(now: Situation, alarm: Alarm) -> Seen | None:
    """The same content, unless what it once said is over and another incident of the reference lives by now."""
    found = now.seen.get(alarm.bytes_key)
    if found is None or now.newest is None or found.incident_id == now.newest.incident_id:
        return found
    over = found.status is None or ended(Status(found.status))
    return None if over and found.age_s > SAME_BYTES_WINDOW_S else found


def _same(now: Situation, alarm: Alarm) -> Taken:
    """The answer that the first of these alarms got, with the status of today."""
    found: Seen | None = now.seen.get(alarm.event_key or "")
    same_bytes = _same_bytes(now, alarm)
    if found is None and same_bytes is not None and (_alive(now) or same_bytes.age_s <= SAME_BYTES_WINDOW_S):
        found = same_bytes
    found = found or now.seen.get(alarm.moment_key or "")
    assert found is not None
    return Taken(found.incident_id, found.status or Status.CLOSED, Repeat.SAME)


def _hopeless(newest: Newest) -> bool:
    """A valid cancel was asked, or no account serves it: nobody comes for this incident."""
    return newest.cancelling or (newest.account_id is None and newest.status == Status.FAILED)


def _alive(now: Situation) -> bool:
    return now.newest is not None and not ended(Status(now.newest.status)) and not _hopeless(now.newest)


def _opening(now: Situation, alarm: Alarm, services: frozenset[str]) -> Opening:
    body = alarm.body
    return Opening(
        generation=now.generations + 1,
        predecessor_id=now.newest.incident_id if now.newest else None,
        site_id=now.site_id,
        site_ref=body.site_ref,
        kind=body.kind,
        services=sorted(services),
        origin=alarm.who.origin,
        test=body.test,
        moving=body.site_ref is None and body.location is not None and body.location.coordinates is not None,
        occurred_at=body.occurred_at,
        details=doors.door().box.seal(_details(body)),
    )


def _coming(alarm: Alarm, incident_id: str, account_id: str | None, folded: dict[str, Any] | None) -> Coming:
    sealed = {} if folded is None else _details(alarm.body) | {"origin": alarm.who.origin} | folded
    return Coming(
        incident_id=incident_id,
        platform_id=alarm.who.platform_id,
        incident_ref=alarm.body.incident_ref,
        api_key_id=alarm.who.key_id,
        account_id=account_id,
        digest=alarm.digest,
        priority=100 - RULES[alarm.body.kind].severity,
        keys=alarm.keys,
        body=doors.door().box.seal(sealed),
    )


def _details(body: AlarmBody) -> dict[str, Any]:
    """What is sealed of an alarm: all of it but its reference."""
    return body.model_dump(mode="json", exclude_none=True, exclude={"incident_ref"})
