"""What is added to an alarm that exists: events, people, the position of a moving person, more about the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from shared.domain.alarm import Coordinates, Device, Person, Signal
from shared.domain.outcome import Outcome, Permanent
from shared.providers.answers import one_line
from shared.providers.base import Account, Call
from shared.providers.noonlight.calls import add, part
from shared.providers.noonlight.formats import coordinates_body, person_body, person_problems
from shared.providers.noonlight.mapping import attribute_of

# The key that we send for each of ours. The fields of the provider are not public: the option `person_keys` renames.
_PERSON_KEYS = {"height": "height", "weight": "weight", "date_of_birth": "dob"}


class Additions:
    """The capabilities `Events`, `Locations`, `People` and `PersonUpdates`."""

    # No limit is public; a small batch is lost whole at worst.
    batch = 20

    def has_word(self, account: Account, signal: Signal) -> bool:
        """Whether an event can be made of the signal."""
        return bool(_events(account, signal))

    def send_events(self, call: Call, account: Account, provider_alarm_id: str, signals: Sequence[Signal]) -> Outcome:
        """POST /alarms/{id}/events: one array, in the order given ("Standard Alarms" 3.3 and 3.4)."""
        body = [event for signal in signals for event in _events(account, signal)]
        if not body:
            return Permanent(f"no word for {', '.join(sorted({signal.kind.value for signal in signals}))}")
        return add(call, account, "POST", f"alarms/{part(provider_alarm_id)}/events", body)

    def send_location(self, call: Call, account: Account, provider_alarm_id: str, point: Coordinates) -> Outcome:
        """POST /alarms/{id}/locations ("Standard Alarms" 3.1)."""
        body = {"coordinates": coordinates_body(point)}
        return add(call, account, "POST", f"alarms/{part(provider_alarm_id)}/locations", body)

    def check_person(self, account: Account, person: Person) -> Sequence[str]:
        """Name and phone, as for the alarm's own person."""
        return person_problems(person)

    def send_people(self, call: Call, account: Account, provider_alarm_id: str, people: Sequence[Person]) -> Outcome:
        """POST /alarms/{id}/people, once per alarm ("Standard Alarms" 3.2)."""
        body = [person_body(person) for person in people]
        return add(call, account, "POST", f"alarms/{part(provider_alarm_id)}/people", body)

    def update_person(
        self,
        call: Call,
        account: Account,
        provider_alarm_id: str,
        owner_id: str,
        person: Person | None,
        more: Mapping[str, Any],
    ) -> Outcome:
        """PUT /alarms/{id}/people/{owner_id}, as the client `pynoonlight` 0.4.5 does for the alarm's owner.

        Neither its fields nor their units are public: values go as they came. Nor is it known whether the PUT replaces
        the person, so name, phone and PIN go along unless the option `person_update` says `changes`.
        """
        keys = _PERSON_KEYS | dict(account.options.get("person_keys", {}))
        body = {keys.get(name, name): value for name, value in more.items()}
        if person is not None and account.options.get("person_update", "whole") == "whole":
            body = person_body(person) | body
        return add(call, account, "PUT", f"alarms/{part(provider_alarm_id)}/people/{part(owner_id)}", body)


def _events(account: Account, signal: Signal) -> list[dict[str, Any]]:
    """The device's event, and one of a camera for each link: the console shows media for that attribute only."""
    name = "alarm.device.value_changed"
    if signal.trigger:
        name = f"alarm.{'person' if signal.triggered_by == 'person' else 'device'}.activated_alarm"
    device = signal.device or Device()
    words = attribute_of(account.options.get("attribute_map", {}), signal.kind, device.attribute, device.value)
    metas = [] if words is None else [_meta(device, *words)]
    metas += [_meta(device, "camera", "unknown") | {"media": link} for link in signal.media]
    at = signal.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [{"event_type": name, "event_time": at, "meta": meta} for meta in metas]


def _meta(device: Device, attribute: str, value: str) -> dict[str, Any]:
    return {
        "attribute": attribute,
        "value": value,
        # Public clients treat the three as required.
        "device_name": one_line(device.name) or "unknown",
        "device_model": one_line(device.model) or "unknown",
        "device_manufacturer": one_line(device.manufacturer) or "unknown",
    }
