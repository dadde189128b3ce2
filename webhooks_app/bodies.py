"""The JSON that the door takes: strict, bounded in every string and number, and closed to unknown fields."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from shared.domain.kinds import RULES, Kind
from shared.domain.lifecycle import Status


class Body(BaseModel):
    """What all bodies share; a fault never quotes its input."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def _sane(moment: datetime) -> datetime:
    """Far years overflow in time zone arithmetic, and no alarm happened there."""
    if not 2000 <= moment.year <= 2100:
        raise ValueError("must lie between the years 2000 and 2100")
    return moment.astimezone(UTC)


# Every white space by its number: regular expressions differ in what they take for one.
_WEB_ADDRESS = r"^https?://[^\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$"
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
Ref = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_CONTROLS)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_CONTROLS)]
OptionalLine = Annotated[str, StringConstraints(max_length=200, pattern=_NO_CONTROLS)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
OptionalText = Annotated[str, StringConstraints(max_length=2_000)]
Phone = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=_NO_CONTROLS)]
Pin = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=_NO_CONTROLS)]
Url = Annotated[str, StringConstraints(max_length=2_000)]
# As the Standard Webhooks specification writes a symmetric secret.
Secret = Annotated[
    str,
    StringConstraints(
        max_length=200, pattern=r"^whsec_([A-Za-z0-9+/]{4}){4,}([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?$"
    ),
]
Bearer = Annotated[str, StringConstraints(max_length=500, pattern=r"^[\x21-\x7e]+$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Moment = Annotated[
    AwareDatetime,
    AfterValidator(_sane),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^(20[0-9]{2}|2100)-"}),
]


def _says(*names: str) -> dict[str, Any]:
    """The JSON Schema of an object in which each of these fields says something: what a validator of ours asks for."""
    return {"required": list(names), "properties": {name: {"not": {"enum": [None, "", []]}} for name in names}}


class AddressBody(Body):
    """A postal address. Which parts a provider needs, the provider says when the site is saved."""

    line1: Line
    line2: OptionalLine = ""
    city: OptionalLine = ""
    state: OptionalLine = ""
    zip: OptionalLine = ""
    country: OptionalLine = ""


class CoordinatesBody(Body):
    """A position in degrees (WGS 84); `accuracy` in metres."""

    lat: float = Field(ge=-90, le=90)
    lng: float = Field(ge=-180, le=180)
    accuracy: float | None = Field(default=None, ge=0, le=100_000)


class LocationBody(Body):
    """Where to send somebody: an address or coordinates, exactly one."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_says("address"), _says("coordinates")]})

    address: AddressBody | None = None
    coordinates: CoordinatesBody | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.address is None) == (self.coordinates is None):
            raise ValueError("needs exactly one of address and coordinates")
        return self


class PersonBody(Body):
    """Whom the provider calls."""

    name: Line
    phone: Phone
    pin: Pin | None = None
    phone_verified_at: Moment | None = None


class DeviceBody(Body):
    """The sensor that tripped, as the platform describes it."""

    attribute: OptionalLine = ""
    value: OptionalLine = ""
    name: OptionalLine = ""
    model: OptionalLine = ""
    manufacturer: OptionalLine = ""


class MediaBody(Body):
    """A picture or clip that a dispatcher may look at."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=_WEB_ADDRESS)]
    type: OptionalLine = ""
    text: OptionalLine = ""


class AlarmBody(Body):
    """`POST /v1/alarms`: by `site_ref`, or by person and location. A panel's key leaves both to its site."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_says("site_ref"), _says("person", "location")]})

    incident_ref: Ref
    kind: Kind
    site_ref: Ref | None = None
    provider: Word | None = None
    triggered_by: Literal["device", "person"] = "device"
    device: DeviceBody | None = None
    event_id: Ref | None = None
    zone: OptionalLine | None = None
    message: OptionalText | None = None
    occurred_at: Moment | None = None
    test: bool = False
    severity: Annotated[int, Field(ge=0, le=100)] | Line | None = None
    person: PersonBody | None = None
    people: list[PersonBody] | None = Field(
        default=None,
        max_length=50,
        description="Whom else the provider may call. Absent: the site's contacts beyond the first; []: nobody.",
    )
    location: LocationBody | None = None
    media: list[MediaBody] = Field(default_factory=list, max_length=20)

    @model_validator(mode="after")
    def _where(self) -> Self:
        if self.site_ref is None and (self.person is None or self.location is None):
            raise ValueError("needs site_ref, or person and location")
        return self


class CancelBody(Body):
    """`POST /v1/incidents/{id}/cancel`."""

    reason: Literal["false_alarm", "site_called", "panel_reset", "resolved", "other"]
    note: OptionalText | None = None
    pin: Pin | None = None
    by: OptionalLine | None = None


class NoteBody(Body):
    """`POST /v1/incidents/{id}/notes`."""

    text: Text
    by: OptionalLine | None = None


class EventBody(Body):
    """`POST /v1/incidents/{id}/events`: a further signal of the same incident."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [_says(name) for name in ("kind", "zone", "message", "device", "media")]}
    )

    kind: Kind | None = None
    zone: OptionalLine | None = None
    message: OptionalText | None = None
    device: DeviceBody | None = None
    occurred_at: Moment | None = None
    event_id: Ref | None = None
    media: list[MediaBody] | None = Field(default=None, max_length=20)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.kind or self.zone or self.message or self.device or self.media):
            raise ValueError("needs at least one of kind, zone, message, device and media")
        return self


class FixBody(Body):
    """Where a person is: degrees (WGS 84), metres, and when by the device's clock."""

    lat: float = Field(ge=-90, le=90)
    lng: float = Field(ge=-180, le=180)
    accuracy: float | None = Field(default=None, ge=0, le=1_000_000)
    time: Moment | None = None


class LocationsBody(RootModel[Annotated[list[FixBody], Field(min_length=1, max_length=100)]]):
    """Several fixes."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


class PeopleBody(RootModel[Annotated[list[PersonBody], Field(min_length=1, max_length=50)]]):
    """Several people."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


class OneOrMoreFixes(RootModel[FixBody | LocationsBody]):
    """`POST /v1/incidents/{id}/locations`: one fix, or an array of them."""


class OneOrMorePeople(RootModel[PersonBody | PeopleBody]):
    """`POST /v1/incidents/{id}/people`: one person, or an array of them."""


_Told = Annotated[int, Field(ge=0, le=100_000)] | Annotated[float, Field(ge=0, le=100_000)] | Line


class PersonChangeBody(Body):
    """`PATCH /v1/incidents/{id}/person`. Which fields and units the provider takes is not public: as agreed with it."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                *(_says(name) for name in ("height", "weight", "date_of_birth")),
                {"required": ["more"], "properties": {"more": {"minProperties": 1}}},
            ]
        }
    )

    height: _Told | None = Field(default=None, description="Passed on as it is, without a unit of ours.")
    weight: _Told | None = Field(default=None, description="Passed on as it is, without a unit of ours.")
    date_of_birth: date | None = None
    more: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")], _Told | bool] = Field(
        default_factory=dict,
        max_length=20,
        description="Further keys of the provider, passed on as they are.",
        json_schema_extra={"additionalProperties": False},
    )


class CertificateBody(Body):
    """`POST /v1/certificates`: for an address; a provider issues none for coordinates."""

    address: AddressBody
    provider: Word | None = Field(default=None, description="The platform's account at this provider.")
    account: Line | None = Field(default=None, description="The id of an account of the platform.")
    idempotency_key: Ref | None = Field(
        default=None, description="Makes one certificate only; the header Idempotency-Key says the same."
    )


class ByBody(Body):
    """Who acts; a name that the operator's system gives."""

    by: Line


class ByReasonBody(Body):
    """Who acts, and perhaps why."""

    by: Line
    reason: OptionalText | None = None


class DropBody(Body):
    """`POST /v1/incidents/{id}/drop`: ends all attempts, so it needs a name and a reason."""

    by: Line
    reason: Text


class ReportBody(Body):
    """`POST /v1/incidents/{id}/report`: where the report was filed, and by whom."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=_WEB_ADDRESS)]
    by: Line


class ContactBody(Body):
    """Whom a responder may call about a site."""

    name: Line
    phone: Phone
    pin: Pin | None = None
    note: OptionalText | None = None
    phone_verified_at: Moment | None = None


class SiteBody(Body):
    """`PUT /v1/sites/{site_ref}`: the whole site; what is absent is empty."""

    provider: Word | None = Field(default=None, description="The platform's account at this provider.")
    account: Line | None = Field(default=None, description="The id of an account of the platform.")
    name: Line
    address: AddressBody | None = None
    coordinates: CoordinatesBody | None = None
    account_number: OptionalLine = ""
    contacts: list[ContactBody] = Field(default_factory=list, max_length=50)
    gate_instructions: OptionalText = ""
    notes: OptionalText = ""


class ReconcileBody(Body):
    """`POST /v1/site-reconciliations`: which account; absent: each one whose provider keeps a directory."""

    account: Line | None = None


def _not_life_safety(kinds: list[Kind]) -> list[Kind]:
    """Whoever asked for help waits for no picture."""
    if any(RULES[kind].life_safety for kind in kinds):
        raise ValueError("life safety is never held")
    return kinds


_Waits = Annotated[
    Kind, WithJsonSchema({"type": "string", "enum": [kind.value for kind in Kind if not RULES[kind].life_safety]})
]


class VerifyFirst(Body):
    """Alarms of these kinds wait for a yes or no, `timeout_s` seconds at most; only a no keeps anybody from going."""

    kinds: Annotated[list[_Waits], Field(max_length=20), AfterValidator(_not_life_safety)]
    timeout_s: int = Field(default=60, ge=5, le=90)


class Policies(Body):
    """What a platform may decide for itself."""

    pin: Literal["optional", "required"] = Field(default="optional", description="Whether a cancel needs the PIN.")
    allow_test_in_production: bool = False
    unverified_phone: Literal["flag", "refuse"] = Field(
        default="flag", description="Contacts of a site whose phone was never verified."
    )
    dispatch_kinds: dict[Kind, Annotated[list[Literal["police", "fire", "medical", "other"]], Field(max_length=4)]] = (
        Field(default_factory=dict, description="Services per kind instead of the built-in table; [] sends nobody.")
    )
    create_unknown: dict[Kind, Literal["resend", "hold"]] = Field(
        default_factory=dict, description="What to do when it is unknown whether an alarm arrived at its provider."
    )
    default_provider: Word | None = None
    verify_first: VerifyFirst | None = Field(
        default=None, description="Have pictures looked at before anybody is sent, where the provider does that."
    )
    location_throttle: Literal["strict", "lax"] = Field(
        default="strict", description="A position goes on after 10 m and 10 s (strict), or after either (lax)."
    )
    drift: Literal["report", "repair"] = Field(
        default="report",
        description="What to do where the provider's directory differs from the sites here: tell, or send ours again.",
    )


class PlatformBody(Body):
    """`PUT /v1/platform`: what is absent stays; what is given replaces. An empty URL or a null secret removes it."""

    name: Line | None = None
    writeback_url: Url | None = None
    writeback_secret: Secret | None = None
    escalation_url: Url | None = None
    escalation_secret: Secret | None = None
    location_source_url: Url | None = Field(
        default=None,
        description="Asked for the position of moving alarms; may hold {incident_ref} and {incident_id}.",
    )
    location_source_secret: Bearer | None = None
    location_source_interval_s: Annotated[float, Field(ge=5, le=600)] | None = None
    words: dict[Status, OptionalLine | None] | None = None
    policies: Policies | None = None
