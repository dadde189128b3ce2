"""How often an open alarm is asked for, as a pure value: what a provider advises and an account's options change."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.lifecycle import Status

# Webhooks work as long as one of the account came within this time.
RECENT_S = 60.0
# Jitter lengthens by up to so much, and never shortens: a cadence is the fastest that was agreed.
JITTER = 0.1


@dataclass(frozen=True)
class Cadence:
    """Seconds between two polls of an alarm, by its age and by whether webhooks come; `ends` stop them.

    After `told_after_s` without an end a person is told, once. `sees_close` is False where a read cannot show it.
    """

    every_s: float
    hooked_s: float
    later_s: float
    later_after_s: float
    told_after_s: float
    ends: frozenset[Status] = frozenset({Status.CLOSED})
    sees_close: bool = True


def pause(cadence: Cadence, age_s: float, webhook_age_s: float | None, jitter: float) -> float:
    """Seconds until the next poll of an alarm that is `age_s` old; `jitter` in 0..1.

    `webhook_age_s` is the age of the account's last webhook, None when there never was one.
    """
    hooked = webhook_age_s is not None and webhook_age_s <= RECENT_S
    base = cadence.hooked_s if hooked else cadence.every_s
    if age_s >= cadence.later_after_s:
        base = max(base, cadence.later_s)
    return base * (1.0 + JITTER * jitter)
