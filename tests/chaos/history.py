"""All that the audit looks at, as plain values: the ledger, what the sandbox saw, and the rows of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from tests.chaos.ledger import Operation, Spell
from tests.chaos.vitals import Sample

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ProviderAlarm:
    """An alarm as the provider has it: the reference, or the site, that the request named."""

    provider: str
    id: str
    ref: str | None
    site: str | None
    live: bool


@dataclass(frozen=True)
class Emitted:
    """One webhook: pending, delivered, off (lost on purpose)."""

    provider: str
    alarm: str
    event: str
    event_id: str | None
    state: str


@dataclass(frozen=True)
class Heard:
    """A write-back as the platform first got it. `at` is in epoch seconds."""

    at: float
    id: str
    body: Row


@dataclass(frozen=True)
class Told:
    """One notice inside a bundle, and by which way it came: `platform` or `escalation`."""

    at: float
    way: str
    kind: str
    incident_id: str | None
    text: str = ""


@dataclass(frozen=True)
class Patience:
    """What "in time" means, in seconds; `slack_s` is what a busy machine adds."""

    told_after_s: float
    unconfirmed_after_s: float
    slack_s: float


@dataclass(frozen=True)
class History:
    """One run. Rows are by column name; moments are datetimes with a zone."""

    patience: Patience
    now: float = 0.0
    operations: tuple[Operation, ...] = ()
    spells: tuple[Spell, ...] = ()
    incidents: tuple[Row, ...] = ()
    legs: tuple[Row, ...] = ()
    links: tuple[Row, ...] = ()
    timeline: tuple[Row, ...] = ()
    inbox: tuple[Row, ...] = ()
    outbox: tuple[Row, ...] = ()
    attempts: tuple[Row, ...] = ()
    notices: tuple[Row, ...] = ()
    stuck: tuple[str, ...] = ()
    alarms: tuple[ProviderAlarm, ...] = ()
    emitted: tuple[Emitted, ...] = ()
    forgeries_taken: int = 0
    heard: tuple[Heard, ...] = ()
    told: tuple[Told, ...] = ()
    badly_signed: int = 0
    samples: tuple[Sample, ...] = ()
    connections: Mapping[str, int] = field(default_factory=dict)
    connections_allowed: Mapping[str, int] = field(default_factory=dict)
    idle_in_transaction: int = 0
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    words: tuple[str, ...] = field(default=(), repr=False)

    # -- by incident -----------------------------------------------------------------------------------------------

    @cached_property
    def incident_by_id(self) -> dict[str, Row]:
        """Each incident."""
        return {row["id"]: row for row in self.incidents}

    @cached_property
    def leg_by_id(self) -> dict[int, Row]:
        """Each leg."""
        return {row["id"]: row for row in self.legs}

    @cached_property
    def leg_by_alarm(self) -> dict[tuple[str, str], Row]:
        """Legs by account and provider's id."""
        return {(row["account_id"], row["provider_alarm_id"]): row for row in self.legs if row["provider_alarm_id"]}

    @cached_property
    def alarm_by_id(self) -> dict[tuple[str, str], ProviderAlarm]:
        """Provider alarms by provider and id."""
        return {(alarm.provider, alarm.id): alarm for alarm in self.alarms}

    @cached_property
    def steps(self) -> dict[str, list[Row]]:
        """The timeline of each incident, in order."""
        return _grouped(self.timeline, "incident_id")

    @cached_property
    def links_of(self) -> dict[str, list[Row]]:
        """The legs that answered each incident."""
        return _grouped(self.links, "incident_id")

    @cached_property
    def linked_to(self) -> dict[int, list[Row]]:
        """The incidents that each leg answered."""
        return _grouped(self.links, "leg_id")

    @cached_property
    def heard_of(self) -> dict[str, list[Heard]]:
        """The write-backs of each incident, in order of arrival."""
        found: dict[str, list[Heard]] = {}
        for heard in sorted(self.heard, key=lambda one: one.at):
            found.setdefault(str(heard.body["incident_id"]), []).append(heard)
        return found

    @cached_property
    def told_of(self) -> dict[str, list[Told]]:
        """The notices of each incident, in order of arrival."""
        found: dict[str, list[Told]] = {}
        for told in sorted(self.told, key=lambda one: one.at):
            if told.incident_id is not None:
                found.setdefault(told.incident_id, []).append(told)
        return found

    @cached_property
    def wishes(self) -> dict[str, list[Operation]]:
        """The accepted operations of people on each incident."""
        found: dict[str, list[Operation]] = {}
        for operation in self.operations:
            if operation.outcome == "ok" and operation.incident_id is not None:
                found.setdefault(operation.incident_id, []).append(operation)
        return found

    def legs_of(self, incident_id: str) -> Iterator[Row]:
        """The legs that answered an incident, joined ones too."""
        for link in self.links_of.get(incident_id, []):
            yield self.leg_by_id[link["leg_id"]]

    def silence_s(self, way: str, since: float, until: float) -> float:
        """How much of this time nobody could be told anything by this way."""
        spans = sorted(
            (max(spell.began_at, since), min(spell.recovered_at or spell.healed_at or until, until))
            for spell in self.spells
            if way in spell.silences
        )
        total, reached = 0.0, since
        for began, ended in spans:
            total += max(0.0, ended - max(began, reached))
            reached = max(reached, ended)
        return total


def settled(history: History, before: datetime) -> History:
    """What can be judged while it goes on: incidents received before this moment, with nothing under way, and whose
    shared responses were raised for others of them.
    """
    busy = {row["incident_id"] for row in (*history.outbox, *history.inbox) if row["state"] == "pending"}
    ids = {row["id"] for row in history.incidents if row["received_at"] < before} - busy
    ids = {one for one in ids if all(leg["incident_id"] in ids for leg in history.legs_of(one))}

    def of(rows: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple(row for row in rows if row["incident_id"] in ids)

    legs = of(history.legs)
    leg_ids = {leg["id"] for leg in legs}
    known = {(leg["account_id"], leg["provider_alarm_id"]) for leg in legs}
    return replace(
        history,
        operations=tuple(one for one in history.operations if one.incident_id in ids),
        incidents=tuple(row for row in history.incidents if row["id"] in ids),
        legs=legs,
        links=tuple(link for link in of(history.links) if link["leg_id"] in leg_ids),
        timeline=of(history.timeline),
        inbox=tuple(row for row in history.inbox if row["incident_id"] in ids or row["subject"]),
        outbox=of(history.outbox),
        attempts=of(history.attempts),
        alarms=tuple(alarm for alarm in history.alarms if (alarm.provider, alarm.id) in known),
        emitted=tuple(event for event in history.emitted if (event.provider, event.alarm) in known),
        heard=tuple(one for one in history.heard if one.body["incident_id"] in ids),
    )


def _grouped(rows: tuple[Row, ...], column: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found
