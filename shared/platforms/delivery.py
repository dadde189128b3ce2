"""A signed POST to the operator's side: write-backs, notices and escalations, by the Standard Webhooks scheme."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook

from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary, Unknown
from shared.providers.answers import retry_after
from shared.providers.http import AddressRefused, AnswerLost, Guard, NotSent, exchange

ANSWER_CAP = 64_000


@dataclass(frozen=True)
class Endpoint:
    """Where to, and with which secret (`whsec_...`); an empty secret sends unsigned (`/readyz` warns)."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    guard: Guard = field(default_factory=Guard)


def deliver(endpoint: Endpoint, message_id: str, body: Mapping[str, Any], now: datetime, deadline: float) -> Outcome:
    """POST one message; `message_id` is what the receiver recognises repeats by (`webhook-id`).

    Any 2xx is taken. 4xx other than 408, 409, 425 and 429 is tried again as well, since an endpoint that is being
    repaired answers so; the caller's schedule ends it. 410 says that nobody listens any more.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    headers = {"Content-Type": "application/json", "webhook-id": message_id}
    if endpoint.secret:
        headers["webhook-timestamp"] = str(int(now.timestamp()))
        headers["webhook-signature"] = Webhook(endpoint.secret).sign(message_id, now, text)
    try:
        answer = exchange(
            "POST",
            endpoint.url,
            deadline=deadline,
            headers=headers,
            body=text.encode(),
            cap=ANSWER_CAP,
            guard=endpoint.guard,
        )
    except AddressRefused as refused:
        return Permanent(refused.reason)
    except NotSent as failed:
        return Temporary(failed.reason)
    except AnswerLost as lost:
        return Unknown(lost.reason, lost.status)
    if 200 <= answer.status < 300:
        return Accepted(http_status=answer.status)
    if answer.status == 410:
        return Permanent("the endpoint is gone (HTTP 410)", http_status=410)
    return Temporary(f"HTTP {answer.status}", retry_after(answer), http_status=answer.status)
