"""Alarm kinds: which of them dispatch by default, for what services, how urgent, and why. One table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The closed list of kinds in the outer contract of `POST /v1/alarms`."""

    BURGLARY = "burglary"
    PANIC = "panic"
    DURESS = "duress"
    HOLDUP = "holdup"
    FIRE = "fire"
    SMOKE = "smoke"
    CO = "co"
    GAS = "gas"
    MEDICAL = "medical"
    WATER_LEAK = "water_leak"
    FREEZE = "freeze"
    TAMPER = "tamper"
    TROUBLE = "trouble"
    POWER = "power"
    BATTERY = "battery"
    TEST = "test"
    OTHER = "other"


@dataclass(frozen=True)
class KindRule:
    """What a kind means: `severity` orders kinds (higher is worse), `services` is what it needs."""

    dispatches: bool
    services: frozenset[str]
    severity: int
    life_safety: bool
    panel_may_cancel: bool
    words: str
    why: str


def _rule(severity: int, services: str, words: str, why: str, *, life: bool = False, cancel: bool = True) -> KindRule:
    needed = frozenset(services.split())
    return KindRule(bool(needed), needed, severity, life, cancel, words, why)


# Contact ID groups 100-102, 110-118, 120-125, 130-136, 137/144/145, 150-163, 301-309, 601-607 (Contact ID, DC-05).
RULES: dict[Kind, KindRule] = {
    Kind.DURESS: _rule(100, "police", "duress", "a person is being forced", life=True, cancel=False),
    Kind.PANIC: _rule(100, "police", "panic", "a person asked for help", life=True, cancel=False),
    Kind.HOLDUP: _rule(100, "police", "hold-up", "a person is being robbed", life=True, cancel=False),
    Kind.FIRE: _rule(90, "fire", "fire", "people may be inside", life=True),
    Kind.SMOKE: _rule(90, "fire", "smoke", "smoke comes before fire", life=True),
    Kind.GAS: _rule(90, "fire", "gas", "explosion and suffocation", life=True),
    Kind.CO: _rule(90, "fire", "carbon monoxide", "it kills without a warning", life=True),
    Kind.MEDICAL: _rule(90, "medical", "medical", "a person asked for medical help", life=True),
    Kind.BURGLARY: _rule(60, "police", "burglary", "an intrusion was detected"),
    Kind.OTHER: _rule(50, "police", "other", "an unnamed alarm is taken seriously"),
    Kind.TAMPER: _rule(30, "", "tamper", "mostly a fault or a technician; the platform decides"),
    Kind.WATER_LEAK: _rule(20, "", "water leak", "property only; needs an agreed service"),
    Kind.FREEZE: _rule(20, "", "freeze", "property only; needs an agreed service"),
    Kind.POWER: _rule(10, "", "mains loss", "the first source of storms; nobody to send"),
    Kind.TROUBLE: _rule(10, "", "trouble", "a fault of the system, not an emergency"),
    Kind.BATTERY: _rule(10, "", "low battery", "a fault of the system, not an emergency"),
    Kind.TEST: _rule(0, "", "test signal", "a test asks for nobody"),
}


def services_for(kind: Kind, overrides: dict[str, list[str]]) -> frozenset[str]:
    """Services that a kind needs; a platform's `dispatch_kinds` policy may add or empty a kind."""
    if kind.value in overrides:
        return frozenset(overrides[kind.value])
    return RULES[kind].services
