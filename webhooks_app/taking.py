"""How an alarm becomes an incident: what it means beside what is known of its reference, and the commit of both.

Alarms of new references that arrive while others are being stored share a commit; every other one is taken by itself.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.crypto import Box
from shared.domain.kinds import RULES, Kind, services_for
from shared.domain.lifecycle import Status, ended
from shared.domain.repeats import SAME_BYTES_WINDOW_S, Known, Posted, Repeat, judge
from shared.providers import registry
from shared.store import reception
from shared.store.engine import each_alone
from shared.store.reception import Asked, Coming, Newest, Opening, RowsHeld, Seen, Situation
from webhooks_app.bodies import AlarmBody
from webhooks_app.database import Database, DatabaseAway
from webhooks_app.errors import INVALID, Problem
from webhooks_app.gathering import Gathering
from webhooks_app.principal import Principal

log = structlog.get_logger(__name__)

# What a waiting alarm costs, in bytes, beside what it says.
ALARM_BYTES = 2_000
# How long a row that somebody holds is waited for: by a group, and by an alarm alone, which is held no longer anyway.
TOGETHER_WAIT_S = 0.1
ALONE_WAIT_S = 4.0
# Requests that race for one reference judge again; each round one of them wins.
ROUNDS = 5


@dataclass(frozen=True)
class Alarm:
    """An alarm as it was posted, with the keys that recognise its repeats; `size` is about what it takes, in bytes."""

    body: AlarmBody = field(repr=False)
    who: Principal
    digest: str
    size: int

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
    def asked(self) -> Asked:
        """Whose situation decides what it is."""
        body, who = self.body, self.who
        return Asked(who.platform_id, body.incident_ref, body.site_ref, self.keys, who.is_panel)

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


class Taker:
    """Takes the alarms of one door."""

    def __init__(self, database: Database, box: Box) -> None:
        """Nothing is begun before the first alarm."""
        self._database = database
        self._box = box
        # Who finds nobody at it waits for no other thread: an idle door answers sooner so.
        self._alone = threading.Lock()
        self._gathering: Gathering[Alarm, Taken | None] = Gathering(self._open_together)

    def take(self, alarm: Alarm) -> Taken:
        """Have the alarm on disk, or find that it is. Raises DatabaseAway, and a problem for what is misdirected."""
        if self._alone.acquire(blocking=False):
            try:
                return self._take_in_turn(alarm)
            finally:
                self._alone.release()
        promise: Future[Taken | None] = Future()
        self._gathering.put(alarm, alarm.size, self._database.left(), promise)
        return promise.result() or self._take_in_turn(alarm)

    def _open_together(self, alarms: Sequence[Alarm], hold_s: float) -> list[Taken | Exception | None]:
        """What each sender is told; None for those who take their turn alone.

        These are repeats; and all of them if the database refuses, or if somebody holds a row that one of them needs:
        no alarm waits, and none fails, for what is the matter with another.
        """
        try:
            return self._database.run(lambda session: self._open_new(session, alarms), hold_s=hold_s)
        except DatabaseAway:
            raise
        except Exception as fault:  # noqa: BLE001 - whosever it is, he meets it again alone
            log.warning("alarms.taken_apart", alarms=len(alarms), error=type(fault).__name__)
            return [None] * len(alarms)

    def _open_new(self, session: Session, alarms: Sequence[Alarm]) -> list[Taken | Exception | None]:
        known = reception.situations(each_alone(session), [alarm.asked for alarm in alarms])
        told: list[Taken | Exception | None] = []
        opened: list[tuple[Coming, Opening]] = []
        references: set[tuple[str, str]] = set()
        for alarm, now in zip(alarms, known, strict=True):
            reference = (alarm.who.platform_id, alarm.body.incident_ref)
            if now.newest or now.seen or reference in references:
                told.append(None)
                continue
            references.add(reference)
            try:
                _refuse_misdirected(now, alarm.body)
            except Problem as problem:
                told.append(problem)
                continue
            opened.append(self._new(now, alarm))
            told.append(Taken(opened[-1][0].id, Status.RECEIVED, None))
        if opened:
            reception.open_incidents(session, opened, wait_s=TOGETHER_WAIT_S)
        return told

    def _take_in_turn(self, alarm: Alarm) -> Taken:
        with contextlib.suppress(IntegrityError, RowsHeld):  # another request opened it, or is about to
            opened = self._database.run(lambda session: self._open_if_new(session, alarm))
            if opened is not None:
                return opened
        for _ in range(ROUNDS):
            with contextlib.suppress(IntegrityError, RowsHeld):  # and so may the work, without the lock
                return self._database.run(lambda session: self._take_known(session, alarm))
        raise DatabaseAway

    def _open_if_new(self, session: Session, alarm: Alarm) -> Taken | None:
        """None when the reference is known. It takes no lock: of two who open it the index lets one."""
        (now,) = reception.situations(each_alone(session), [alarm.asked])
        if now.newest or now.seen:
            return None
        _refuse_misdirected(now, alarm.body)
        return self._open(session, now, alarm, None)

    def _take_known(self, session: Session, alarm: Alarm) -> Taken:
        """Judge and store under the lock of the reference: else repeats that are judged at once would differ."""
        asked = alarm.asked
        reception.hold_reference(session, asked.platform_id, asked.incident_ref, wait_s=self._database.left())
        (now,) = reception.situations(session, [asked])
        _refuse_misdirected(now, alarm.body)
        repeat = _repeat(now, alarm)
        if repeat is Repeat.SAME:
            same = _same(now, alarm)
            if alarm.event_key is not None and alarm.event_key not in now.seen:
                reception.remember(session, alarm.asked, alarm.event_key, same.incident_id)
            return same
        if repeat is Repeat.FOLD and now.newest is not None:
            folded = _details(alarm.body) | {"origin": alarm.who.origin, "folded": True}
            coming = self._coming(alarm, now.newest.incident_id, now.newest.account_id, folded)
            reception.fold(session, coming)
            return Taken(now.newest.incident_id, now.newest.status, Repeat.FOLD)
        return self._open(session, now, alarm, repeat)

    def _open(self, session: Session, now: Situation, alarm: Alarm, repeat: Repeat | None) -> Taken:
        coming, opening = self._new(now, alarm)
        reception.open_incidents(session, [(coming, opening)], wait_s=ALONE_WAIT_S)
        return Taken(coming.id, Status.RECEIVED, repeat)

    def _new(self, now: Situation, alarm: Alarm) -> tuple[Coming, Opening]:
        """The rows of a new incident."""
        account = _account(now, alarm.body)
        coming = self._coming(alarm, new_incident_id(), account["id"] if account else None, {})
        return coming, self._opening(now, alarm)

    def _opening(self, now: Situation, alarm: Alarm) -> Opening:
        body = alarm.body
        return Opening(
            generation=now.generations + 1,
            predecessor_id=now.newest.incident_id if now.newest else None,
            site_id=now.site_id,
            site_ref=body.site_ref,
            kind=body.kind,
            services=sorted(_services(now, body)),
            origin=alarm.who.origin,
            test=body.test,
            moving=body.site_ref is None and body.location is not None and body.location.coordinates is not None,
            occurred_at=body.occurred_at,
            details=self._box.seal(_details(body)),
        )

    def _coming(self, alarm: Alarm, incident_id: str, account_id: str | None, told: dict[str, Any]) -> Coming:
        return Coming(
            id=incident_id,
            platform_id=alarm.who.platform_id,
            incident_ref=alarm.body.incident_ref,
            api_key_id=alarm.who.key_id,
            account_id=account_id,
            digest=alarm.digest,
            priority=100 - RULES[alarm.body.kind].severity,
            keys=alarm.keys,
            body=self._box.seal(told),
        )


def new_incident_id() -> str:
    """An id that sorts by time, so that new rows stay together in the index."""
    return f"inc_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


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


def _account(now: Situation, body: AlarmBody) -> Mapping[str, Any] | None:
    """A site decides by its account; an unknown site has none, and the work tells a person so."""
    if body.site_ref is not None:
        own = [account for account in now.accounts if account["id"] == now.site_account_id]
        return own[0] if own else None
    return choose_account(now.accounts, body.provider or now.policies.get("default_provider"), test=body.test)


def _refuse_misdirected(now: Situation, body: AlarmBody) -> None:
    """What can never be dispatched as it was asked is refused while the sender still listens."""
    account = _account(now, body)
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


def _services(now: Situation, body: AlarmBody) -> frozenset[str]:
    """What the kind calls for, by the platform's own word if it has one."""
    return services_for(body.kind, now.policies.get("dispatch_kinds", {}))


def _repeat(now: Situation, alarm: Alarm) -> Repeat | None:
    """How the alarm stands to what is known of its reference; None when that is nothing."""
    if now.newest is None and not now.seen:
        return None
    body = alarm.body
    services = _services(now, body)
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


def _details(body: AlarmBody) -> dict[str, Any]:
    """What is sealed of an alarm: all of it but its reference."""
    return body.model_dump(mode="json", exclude_none=True, exclude={"incident_ref"})
