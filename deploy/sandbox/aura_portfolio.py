"""AURA's CSV portfolio: upload with full-sync semantics, export, and the delayed call back.

Columns and the body of the call back are not public: the REST field names stand in for the first, a count of what
changed for the second. Absent active locations are marked deleted, as documented (Bulk CSV import guide).
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterable
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from deploy.sandbox.aura_formats import PORTFOLIO_ROW
from deploy.sandbox.aura_sites import Sites
from deploy.sandbox.exchange import Request
from deploy.sandbox.formats import first_problem

FIELDS = (
    "externalReferenceId",
    "locationIdentifier",
    "locationDescription",
    "formattedAddress",
    "latitude",
    "longitude",
    "locationAdditionalInformation",
)


def form(request: Request) -> dict[str, bytes]:
    """The parts of a multipart form by their names; ValueError for anything else."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise ValueError("send multipart/form-data")
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    if not message.is_multipart():
        raise ValueError("the form cannot be read")
    parts: dict[str, bytes] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if name is not None and isinstance(content, bytes):
            parts[str(name)] = content
    return parts


def rows(content: bytes, delimiter: str) -> list[dict[str, str]]:
    """The rows of an upload; ValueError names what is wrong."""
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    found = []
    for row in reader:
        given = {name: value for name, value in row.items() if name and value}
        if None in row or (problem := first_problem(PORTFOLIO_ROW, given)):
            raise ValueError(f"line {reader.line_num}: {problem if None not in row else 'too many cells'}")
        found.append(given)
    return found


def synchronise(sites: Sites, wanted: Iterable[dict[str, str]], now: str) -> dict[str, int]:
    """Create, replace, and mark every absent active location as deleted."""
    counts = {"created": 0, "updated": 0, "deleted": 0}
    there: set[int] = set()
    for fields in wanted:
        site = sites.by_reference(fields["externalReferenceId"])
        if site is None:
            site = sites.add(fields, now)
            counts["created"] += 1
        else:
            sites.replace(site, fields, now)
            counts["updated"] += 1
        there.add(site["id"])
    for site in sites.all():
        if site["id"] not in there and not site.get("deletedAt"):
            sites.set(site, {"deletedAt": now})
            counts["deleted"] += 1
    return counts


def export(sites: Sites) -> str:
    """The active locations."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(site for site in sites.all() if not site.get("deletedAt"))
    return out.getvalue()


def later(seconds: float, work: Callable[[], Any]) -> threading.Timer:
    """Do it after a while, off the request."""
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()
    return timer
