"""A hand on the sandbox for who rehearses against it: one step of a response, sent as the provider sends it."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from shared.providers.guard import is_loopback_host

TIMEOUT_S = 10.0
# By the name under which a service shows its alarms.
_STEPS = {"callouts": "RESPONDER_MANUALLY_DISPATCHED", "alarms": "alarm.psap_contacted"}


def is_sandbox(base_url: str) -> bool:
    """True for an address of this machine."""
    return is_loopback_host(urlsplit(base_url).hostname or "")


def move(base_url: str, alarm_id: str) -> bool:
    """Let the first step of a response happen; False when the sandbox knows no such alarm."""
    session = requests.Session()
    session.trust_env = False
    try:
        state = session.get(f"{base_url}/_state", timeout=TIMEOUT_S).json()
        event = next(step for name, step in _STEPS.items() if name in state)
        return session.post(f"{base_url}/_step", json={"id": alarm_id, "event": event}, timeout=TIMEOUT_S).ok
    except (requests.RequestException, ValueError, StopIteration):
        return False
