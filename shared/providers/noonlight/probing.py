"""Whether Noonlight answers this account, asked for an alarm that does not exist."""

from __future__ import annotations

from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify
from shared.providers.base import Account, Call
from shared.providers.http import AnswerLost, NotSent
from shared.providers.noonlight.calls import request

# Shaped like an id of ours and not of theirs: no alarm bears it.
_INVENTED = "tocsin-probe-of-no-alarm"


class Prober:
    """The capability `Probe`."""

    def probe(self, call: Call, account: Account) -> Outcome:
        """GET the status of an invented id: 404 says reachable and authorised, 401 and 403 a bad token."""
        try:
            answer = request(call, account, "GET", f"alarms/{_INVENTED}/status")
        except (NotSent, AnswerLost) as error:
            return Temporary(error.reason)
        if 200 <= answer.status < 300 or answer.status == 404:
            return Accepted(http_status=answer.status)
        if answer.status >= 500:
            return Temporary(f"server error (HTTP {answer.status})", http_status=answer.status)
        return classify(answer) or Permanent(f"refused (HTTP {answer.status})", http_status=answer.status)
