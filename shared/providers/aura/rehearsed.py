"""Deliveries as AURA makes them: one event, with the account's own secret in the header."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.lifecycle import Status
from shared.providers.aura.mapping import WEBHOOKS
from shared.providers.aura.webhook import hook_header
from shared.providers.base import Account, Specimen
from shared.providers.http import json_bytes


class Rehearsed:
    """The capability `Specimens`."""

    def specimens(self, account: Account, provider_alarm_id: str) -> Sequence[Specimen]:
        """The first event name of each status, without those of the cancel and of the creation."""
        names: dict[Status, str] = {}
        for name, (status, _) in WEBHOOKS.items():
            if status not in (None, Status.REQUESTED, Status.CANCELLED):
                names.setdefault(status, name)
        header, prefix = hook_header(account)
        headers = {header: f"{prefix}{account.webhook_secrets[0]}"}
        callout = _callout(provider_alarm_id)
        return [
            Specimen(name, status, headers, json_bytes({"message": name, "callout": callout}))
            for status, name in names.items()
        ]


def _callout(provider_alarm_id: str) -> dict[str, object]:
    return {"id": int(provider_alarm_id) if provider_alarm_id.isdigit() else provider_alarm_id}
