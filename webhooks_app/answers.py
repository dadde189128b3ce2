"""What the door answers, as models: the OpenAPI document describes answers by them, and the tests hold them to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.drift import Kind as DriftKind
from shared.domain.kinds import Kind
from shared.domain.lifecycle import Status


class Answer(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(extra="forbid")


class Links(Answer):
    """Where an incident is read and acted upon."""

    self: str
    cancel: str
    events: str
    notes: str


class AlarmTaken(Answer):
    """The alarm is stored. `repeat` says how it stands to an earlier one of its reference; null: it is the first."""

    incident_id: str
    status: Status
    repeat: Literal["same", "fold", "successor"] | None
    links: Links


class ActionTaken(Answer):
    """The action is stored; its effect appears on the timeline."""

    incident_id: str
    status: Status
    cancel: Literal["received"] | None = None
    repeat: Literal["same"] | None = None


class IncidentSummary(Answer):
    """An incident in a list."""

    incident_id: str
    incident_ref: str
    generation: int
    kind: Kind
    status: Status
    word: str | None = Field(description="The platform's own word for the status.")
    reason: str
    cancel: Literal["requested", "confirmed", "refused", "too_late"] | None
    possible_double: bool
    test: bool
    origin: str
    site_ref: str | None
    provider: str | None
    occurred_at: datetime
    received_at: datetime
    ended_at: datetime | None
    links: Links


class LegShown(Answer):
    """One dispatch at a provider."""

    id: int
    provider: str
    account: str
    provider_alarm_id: str | None
    outcome: str
    status: Status | None
    cancel: str | None
    joined: bool
    possible_double: bool
    test: bool
    services: list[str]
    created_at: datetime
    sending_at: datetime | None
    answered_at: datetime | None
    left_at: datetime | None


class EntryShown(Answer):
    """One entry of the history."""

    id: int
    event: str
    source: str
    status: str
    entry: str
    leg: int | None
    detail: dict[str, Any] | None
    occurred_at: datetime
    recorded_at: datetime


class ReportShown(Answer):
    """Where the report of an incident was filed."""

    url: str
    by: str
    at: datetime


class IncidentFull(IncidentSummary):
    """An incident with its legs and its timeline."""

    cancel_reason: str | None
    after_authorities: bool
    eta_at: datetime | None
    acknowledged_by: str | None
    report: ReportShown | None = Field(description="Where a person filed the report; null: nobody did yet.")
    services: list[str]
    predecessor_id: str | None
    successor_id: str | None
    moments: dict[str, Any]
    legs: list[LegShown]
    timeline: list[EntryShown]


class IncidentList(Answer):
    """A page of incidents; `next_cursor` is null on the last."""

    incidents: list[IncidentSummary]
    next_cursor: str | None


class NoticeShown(Answer):
    """What a person is told."""

    id: int
    subject: str
    incident_id: str | None
    kind: str
    text: str
    told: int
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    ended_at: datetime | None


class NoticeList(Answer):
    """A page of notices; `next_cursor` is null on the last."""

    notices: list[NoticeShown]
    next_cursor: str | None


class SiteShown(Answer):
    """A site without the persons that belong to it; `contacts` is how many they are."""

    site_ref: str
    provider: str
    account: str
    provider_site_id: str | None
    name: str
    address: dict[str, str] | None
    coordinates: dict[str, float] | None
    account_number: str
    contacts: int
    sync_state: str
    sync_error: str
    coverage: dict[str, bool | None] = Field(description="By service, as the provider last said; null: not known.")
    warnings: list[str]
    version: int
    synced_version: int
    synced_at: datetime | None
    updated_at: datetime


class SiteList(Answer):
    """A page of sites; `next_cursor` is null on the last."""

    sites: list[SiteShown]
    next_cursor: str | None


class ReconciliationShown(Answer):
    """One comparison of an account's sites with its provider's listing; `drift` counts its findings by kind."""

    id: int
    account: str
    cause: Literal["asked", "interval", "changes", "import"]
    state: Literal["wanted", "running", "done", "failed"]
    reason: str
    sites: int = Field(description="Our sites when it began.")
    listed: int = Field(description="Records that the provider has listed so far.")
    compared: int = Field(description="References compared so far, of both sides.")
    drift: dict[str, int]
    opened: int
    cleared: int
    repairs: int
    withheld: str = Field(description="Why nothing was repaired although the policy asks for it.")
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class ReconciliationsAsked(Answer):
    """The comparisons that were asked for; one that waits already is the same one."""

    reconciliations: list[ReconciliationShown]


class ReconciliationList(Answer):
    """A page of comparisons; `next_cursor` is null on the last."""

    reconciliations: list[ReconciliationShown]
    next_cursor: str | None


class DriftShown(Answer):
    """One difference between a site here and at its provider."""

    id: int
    account: str
    kind: DriftKind
    site_ref: str | None
    provider_site_id: str | None
    entry: str
    detail: dict[str, Any]
    first_reconciliation: int
    last_reconciliation: int
    repair_asked_at: datetime | None
    opened_at: datetime
    cleared_at: datetime | None


class DriftList(Answer):
    """A page of drift; `next_cursor` is null on the last."""

    drift: list[DriftShown]
    next_cursor: str | None


class FaultShown(Answer):
    """What is wrong with one row of a file; `line` as an editor counts, `column` empty for the whole row."""

    line: int
    column: str
    what: str


class SiteImportShown(Answer):
    """A portfolio of sites on its way: in our tables, at the provider, compared with what it lists afterwards."""

    id: int
    account: str
    state: Literal["wanted", "saved", "awaiting", "reconciling", "checked", "refused", "done", "failed"]
    reason: str
    dry_run: bool
    good: int
    bad: int
    saved: int
    removed: int
    uploaded: int
    faults: list[FaultShown]
    called_back_at: datetime | None
    reconciliation: int | None
    created_at: datetime
    ended_at: datetime | None


class SiteImportList(Answer):
    """A page of imports; `next_cursor` is null on the last."""

    imports: list[SiteImportShown]
    next_cursor: str | None


class CallbackTaken(Answer):
    """The call back was kept."""

    status: Literal["accepted"]


class PlatformShown(Answer):
    """The platform; of its secrets only whether there are any."""

    id: str
    name: str
    writeback_url: str
    has_writeback_secret: bool
    escalation_url: str
    has_escalation_secret: bool
    location_source_url: str
    has_location_source_secret: bool
    location_source_interval_s: float
    words: dict[Status, str | None]
    policies: dict[str, Any]


class CertificateTaken(Answer):
    """The wish for a certificate is stored."""

    id: str
    state: Literal["pending", "issued", "refused", "unconfirmed"]


class CertificateShown(CertificateTaken):
    """A certificate. `answer` is the provider's own, as it came: its form is not public."""

    provider: str
    reason: str
    answer: Any
    created_at: datetime
    answered_at: datetime | None


class HookTaken(Answer):
    """How many events the delivery brought, replays included."""

    accepted: int


class Health(Answer):
    """The process answers."""

    status: Literal["ok"]


class Ready(Answer):
    """Whether alarms can be kept, and what an operator should look at."""

    status: Literal["ready", "unavailable"]
    failure: str | None
    warnings: list[str]
