"""Deliveries as Noonlight makes them (docs.noonlight.com, Webhooks), signed with the account's own secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from uuid import uuid4

from shared.clock import utc_now
from shared.domain.lifecycle import Status
from shared.providers.base import Account, Specimen
from shared.providers.http import json_bytes
from shared.providers.noonlight.mapping import WEBHOOKS


class Rehearsed:
    """The capability `Specimens`."""

    def specimens(self, account: Account, provider_alarm_id: str) -> Sequence[Specimen]:
        """Every documented event but a cancel, which would end the alarm; each delivery has an id of its own."""
        names = [name for name, (status, _) in WEBHOOKS.items() if status is not Status.CANCELLED]
        return [_specimen(account, provider_alarm_id, name) for name in names]


def _specimen(account: Account, provider_alarm_id: str, name: str) -> Specimen:
    event = {
        "event_id": str(uuid4()),
        "event_type": name,
        "event_time": utc_now().isoformat(),
        "meta": {"alarm_id": provider_alarm_id},
    }
    body = json_bytes([event])
    signature = hmac.digest(account.webhook_secrets[0].encode(), body, hashlib.sha256)
    header = str(account.options.get("signature_header", "X-Noonlight-Signature"))
    return Specimen(name, WEBHOOKS[name][0], {header: base64.b64encode(signature).decode()}, body)
