"""Monitoring certificates, which an insured household shows to its insurer ("Standard Alarms" 6)."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.alarm import Address
from shared.domain.outcome import Accepted, Permanent, Temporary
from shared.providers.answers import lost, parse_json
from shared.providers.base import Account, Call, Certified
from shared.providers.http import AnswerLost, NotSent
from shared.providers.noonlight.calls import refused, send
from shared.providers.noonlight.coverage import region_doubts
from shared.providers.noonlight.formats import address_body, address_problems


class Certifier:
    """The capability `Certificates`."""

    def check_address(self, account: Account, address: Address) -> Sequence[str]:
        """As for a site: nothing is burning, so a doubtful region is refused."""
        return address_problems(address) + region_doubts(account, address)

    def certify(self, call: Call, account: Account, address: Address) -> Certified:
        """POST /certificates with the address only. What it answers is not public, so it is passed on as it is."""
        body = {"address": address_body(address)}
        try:
            answer = send(call, account, "POST", "certificates", body)
        except NotSent as error:
            return Certified(Temporary(error.reason))
        except AnswerLost as error:
            return Certified(lost(error.reason, error.status))
        if not 200 <= answer.status < 300:
            return Certified(refused(answer, body))
        try:
            shown = parse_json(answer.body) if answer.body.strip() else None
        except ValueError:
            return Certified(Permanent("answered with something other than JSON", http_status=answer.status))
        return Certified(Accepted(http_status=answer.status), shown)
