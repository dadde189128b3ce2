"""Whether AURA answers this account: a new token, and a read with it."""

from __future__ import annotations

from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify
from shared.providers.aura.session import send
from shared.providers.aura.token import TokenFailed, fetch
from shared.providers.base import Account, Call
from shared.providers.http import AnswerLost, NotSent


class Prober:
    """The capability `Probe`."""

    def probe(self, call: Call, account: Account) -> Outcome:
        """Always a new token: a kept one would hide for its lifetime that the credentials were revoked.

        The path of the active callouts is inferred, so that another 4xx there is no verdict on the credentials.
        """
        try:
            call.tokens.put(account.id, fetch(call, account))
            answer = send(call, account, "GET", "active")
        except TokenFailed as error:
            return error.outcome
        except (NotSent, AnswerLost) as error:
            return Temporary(error.reason)
        if answer.status >= 500:
            return Temporary(f"server error (HTTP {answer.status})", http_status=answer.status)
        common = classify(answer)
        return Accepted(http_status=answer.status) if common is None or isinstance(common, Permanent) else common
