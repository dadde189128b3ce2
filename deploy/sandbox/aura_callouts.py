"""A callout at AURA: its flat view (creation), nested view (read), webhook bodies, and how events move it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.aura_formats import EVENT_STATUS

_RESPONSE_TYPES = {1: "SECURITY", 2: "MEDICAL"}
_CLASSIFICATIONS = {1: "REAL", 2: "TEST"}
_MOMENTS = {
    "RESPONDER_MANUALLY_DISPATCHED": "dispatchTime",
    "RESPONDER_ACKNOWLEDGED_CALLOUT": "dispatchTime",
    "RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA": "dispatchTime",
    "RESPONDER_ARRIVED_ON_SCENE": "arrivalTime",
    "RESPONDER_COMPLETED": "completionTime",
}


@dataclass
class Callout:
    """`incidents` grows by one when a responder is replaced; the newest stands first, as in AURA's read."""

    id: int
    location: dict[str, Any]
    created_at: str
    response_type: int = 1
    classification: int = 1
    installer: str | None = None
    status: str = "created"
    incidents: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.incidents.append(self._incident())

    @property
    def active(self) -> bool:
        return self.status != "closed"

    @property
    def ended(self) -> bool:
        """Nothing is left to cancel."""
        return self.status in {"closed", "Responder Cancelled"}

    def flat(self) -> dict[str, Any]:
        """As creation and `activeCallouts` show it."""
        return {
            "id": self.id,
            "customerId": self.location["customerId"],
            "predefinedLocationId": self.location["id"],
            "status": self.status,
            "latitude": self.location["latitude"],
            "longitude": self.location["longitude"],
            "responseTypeId": self.response_type,
            "calloutClassificationId": self.classification,
            "createdAt": self.created_at,
        }

    def nested(self) -> dict[str, Any]:
        """As a read shows it: site and dispatch detail under `incidentInformation`."""
        return {
            "id": self.id,
            "status": self.status,
            "predefinedLocationId": self.location["id"],
            "internalTest": False,
            "calloutClassification": {"value": _CLASSIFICATIONS.get(self.classification, "REAL")},
            "createdAt": self.created_at,
            "incidentInformation": self.incidents,
        }

    def move(self, event: str, now: str, eta_field: str, step: dict[str, Any]) -> None:
        """Apply one event; a closed callout stays closed, and a dispatch after a cancel is a replacement."""
        self.history.append({"at": now, "what": event})
        if not self.active:
            return
        moment = _MOMENTS.get(event)
        if moment == "dispatchTime" and self.status == "Responder Cancelled":
            self.incidents.insert(0, self._incident())
        incident = self.incidents[0]
        if moment is not None:
            incident[moment] = incident[moment] or now
            incident["responder"] = {"name": step.get("responder", "Response Unit 7")}
        if "eta" in step:
            incident[eta_field] = step["eta"]
        self.status = EVENT_STATUS.get(event) or self.status

    def webhook(self, event: str) -> dict[str, Any]:
        """`message` and the entity; responder events add incidentInformation, status events stay small."""
        callout: dict[str, Any] = {"id": self.id}
        if event == "NEW_CALLOUT":
            callout = self.nested()
        elif event.startswith("RESPONDER_"):
            callout["incidentInformation"] = self.incidents[:1]
        return {"message": event, "callout": callout}

    def _incident(self) -> dict[str, Any]:
        return {
            "predefinedLocationId": self.location["id"],
            "responder": None,
            "responseType": {"value": _RESPONSE_TYPES.get(self.response_type, "SECURITY")},
            "calloutCurrentLocation": {
                "latitude": self.location["latitude"],
                "longitude": self.location["longitude"],
                "formattedAddress": self.location["formattedAddress"],
            },
            "dispatchTime": None,
            "arrivalTime": None,
            "completionTime": None,
        }
