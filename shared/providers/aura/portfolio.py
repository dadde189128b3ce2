"""AURA's CSV portfolio (Bulk CSV import guide; Sync fixed locations): one upload is the whole of what shall be there.

It is matched on `externalReferenceId`, and active sites that are absent are marked deleted. The columns are not public:
the header of the export is the template, the REST field names stand in where there is none.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

from shared.domain.alarm import Site
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary
from shared.providers.answers import classify, lost, object_of, quoted
from shared.providers.aura.session import receive, send
from shared.providers.aura.sites import record_of
from shared.providers.aura.token import TokenFailed
from shared.providers.base import Account, Call
from shared.providers.http import AnswerLost, NotSent, multipart

_FIELDS = (
    "externalReferenceId",
    "locationIdentifier",
    "locationDescription",
    "formattedAddress",
    "latitude",
    "longitude",
    "locationAdditionalInformation",
)
_HEADER_CAP = 65_536


class Portfolio:
    """The capability `BulkImport`."""

    def upload(self, call: Call, account: Account, sites: Iterable[Site], callback_url: str) -> Outcome:
        """POST /v1/predefinedlocations/upload. `Accepted` means taken; its effect is told at `callback_url` later.

        Repeating it with the same sites is safe: it is a synchronisation.
        """
        try:
            header = _header(call, account)
            if not {"externalReferenceId", "latitude", "longitude"} <= set(header):
                return Permanent("the export's header lacks the columns that an upload needs")
            file = ("locations", "locations.csv", "text/csv")
            form = multipart({"callbackUrl": callback_url}, file, _content(account, header, sites))
            answer = send(call, account, "POST", "upload", raw=form)
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
        words = quoted(object_of(answer).get("message", "")) or "no reason given"
        return classify(answer) or Permanent(f"refused (HTTP {answer.status}): {words}", http_status=answer.status)


def _header(call: Call, account: Account) -> tuple[str, ...]:
    """The first line of the export; the REST field names where there is no export, or an empty one."""
    head = b""
    with receive(call, account, "download", cap=8_000_000_000) as answer:
        if 200 <= answer.status < 300:
            for piece in answer.pieces():
                head += piece
                if b"\n" in head or len(head) > _HEADER_CAP:
                    break
    line = head.partition(b"\n")[0].decode("utf-8-sig", "replace")
    names = tuple(name.strip() for name in next(csv.reader([line]), []))
    return names if any(names) else _FIELDS


def _content(account: Account, header: tuple[str, ...], sites: Iterable[Site]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="", extrasaction="ignore")
    writer.writeheader()
    for site in sites:
        record: Mapping[str, object] = record_of(account, site)
        writer.writerow(record)
    return out.getvalue().encode()
