"""Our webhook at AURA: one per customer source, and a registration takes the place of whatever stood there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify, lost
from shared.providers.aura.client import permanent
from shared.providers.aura.mapping import WEBHOOKS
from shared.providers.aura.session import send
from shared.providers.aura.token import TokenFailed
from shared.providers.aura.webhook import hook_header
from shared.providers.base import Account, Call, ReadFailed
from shared.providers.guard import is_loopback_host
from shared.providers.http import AnswerLost, NotSent

# Names outside of the current list are refused with 400 (Webhooks); this one is deprecated.
_DEPRECATED = "RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA"
EVENTS = [name for name in WEBHOOKS if name != _DEPRECATED]


class Registrar:
    """The capability `WebhookRegistration`."""

    replaces = "the one webhook of AURA's customer source, whoever registered it"

    def problems(self, account: Account, url: str) -> Sequence[str]:
        """AURA takes https only, and a hook without a secret of ours would refuse every delivery."""
        parts = urlsplit(url)
        fits = parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(parts.hostname or ""))
        found = [] if fits else ["the address of the hook must be https (TOCSIN_PUBLIC_URL)"]
        return found if any(account.webhook_secrets) else [*found, "the account has no webhook secret"]

    def register(self, call: Call, account: Account, url: str) -> Outcome:
        """POST notifiers/webhooks with the custom header that carries the first secret. Repeating it is safe."""
        name, prefix = hook_header(account)
        secret = next(secret for secret in account.webhook_secrets if secret)
        body = {"url": url, "events": EVENTS, "method": "webhook", "headers": {name: f"{prefix}{secret}"}}
        try:
            answer = send(call, account, "POST", "notifier", body)
        except TokenFailed as error:
            return error.outcome
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        if 200 <= answer.status < 300:
            return Accepted(http_status=answer.status)
        if answer.status >= 500:
            return lost(f"server error (HTTP {answer.status})", answer.status)
        return classify(answer) or permanent(answer, secret, url)

    def registered(self, call: Call, account: Account) -> NoReturn:
        """No call for it is public."""
        raise ReadFailed(Permanent("AURA documents no way to read back what is registered"))
