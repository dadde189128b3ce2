"""`/v1/site-imports`: a portfolio of sites as one file; and the address at which the provider calls back."""

from __future__ import annotations

import base64
import io
from typing import Any

from flask import Response, jsonify, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.formparser import parse_form_data

from shared.domain.lanes import Lane
from shared.providers import registry
from shared.store import importing, reconciling, site_saving
from shared.store.models import ProviderAccount, SiteImport
from webhooks_app import auth
from webhooks_app import door as doors
from webhooks_app.auth import principal
from webhooks_app.errors import BAD_REQUEST, CANNOT, CONFLICT, INVALID, NOT_FOUND, WRONG_TYPE, Problem
from webhooks_app.intake import raw_body
from webhooks_app.queries import ImportQuery, Page, cursor_of, number_cursor, query

# Of a form: how many parts it may have, and how many bytes may stand beside the file.
MOST_PARTS = 10
MOST_FIELDS = 100_000


def take() -> Response:
    """Take a CSV file, as it is or as the one file of a form. It is checked and worked off this request: read on.

    409 where the provider takes no portfolios, for accounts of `site_mode` rest, and while another import is open.
    """
    here, own = doors.door(), principal().platform_id
    asked = query(ImportQuery)
    rows = here.database.run(lambda session: site_saving.accounts(session, own))
    account = _account(list(rows), asked)
    sealed = here.box.seal_bytes(_file(raw_body(here.settings.max_import_bytes)))

    def work(session: Session) -> SiteImport:
        row = SiteImport(
            platform_id=own,
            account_id=account.id,
            dry_run=asked.dry_run,
            keep_absent=asked.absent == "keep",
            allow_fall=asked.allow_fall,
            delimiter="\t" if asked.delimiter == "tab" else asked.delimiter,
            content=sealed,
        )
        session.add(row)
        session.flush()
        session.refresh(row)
        reconciling.hurry(session)
        return row

    try:
        made = here.database.run(work, again=False)
    except IntegrityError:
        raise Problem(CONFLICT, "Another import of this account is not over yet.") from None
    here.ring(Lane.PERIODIC)
    answer = jsonify(shown(made))
    answer.status_code = 202
    return answer


def list_imports() -> Response:
    """Newest first."""
    asked, own = query(Page), principal().platform_id
    before = number_cursor(asked.cursor)
    rows = doors.door().database.run(lambda session: importing.imports(session, own, before=before, limit=asked.limit))
    page, more = rows[: asked.limit], len(rows) > asked.limit
    return jsonify(imports=[shown(row) for row in page], next_cursor=cursor_of(page[-1].id) if more else None)


def show_import(import_id: int) -> Response:
    """One import with the first faults of its file."""
    own = principal().platform_id
    row = doors.door().database.run(lambda session: session.get(SiteImport, import_id))
    if row is None or row.platform_id != own:
        raise Problem(NOT_FOUND, "There is no such import.")
    return jsonify(shown(row))


def call_back(secret: str) -> Response:
    """The provider says that it has worked an upload. What it says is kept as it is: its form is not documented."""
    here = doors.door()
    raw = raw_body(here.settings.max_body_bytes) if request.environ.get("CONTENT_LENGTH") else b""
    sealed = here.box.seal(base64.b64encode(raw).decode())

    def work(session: Session) -> bool:
        known = importing.call_back(session, secret, sealed)
        if known:
            reconciling.hurry(session)
        return known

    if not here.database.run(work):
        raise auth.failed(Problem(NOT_FOUND, "There is no such import."))
    here.ring(Lane.PERIODIC)
    answer = jsonify(status="accepted")
    answer.status_code = 202
    return answer


def _account(rows: list[ProviderAccount], asked: ImportQuery) -> ProviderAccount:
    """The account whose portfolio it is."""
    if asked.account is not None:
        rows = [row for row in rows if row.id == asked.account]
        if not rows:
            raise Problem(INVALID, "There is no such account.", [("account", "must name an account of this platform")])
    able = [row for row in rows if registry.get(row.provider).bulk is not None]
    if not able:
        reasons = sorted({registry.get(row.provider).cannot.get("bulk", "") for row in rows} - {""})
        raise Problem(CANNOT, "; ".join(reasons) or "No provider of this platform takes portfolios.")
    fitting = [row for row in able if row.site_mode == "csv"]
    if not fitting:
        raise Problem(CONFLICT, "The account's sites go to the provider one by one (site_mode rest).")
    if len(fitting) > 1:
        raise Problem(INVALID, "More than one account takes portfolios.", [("account", "must be given")])
    return fitting[0]


def _file(raw: bytes) -> bytes:
    """The file of a body that is a CSV file or a form with exactly one file. Nothing is ever unpacked."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(WRONG_TYPE, "Send the file as it is, without a Content-Encoding.")
    if request.mimetype == "text/csv":
        return raw
    if request.mimetype != "multipart/form-data":
        raise Problem(WRONG_TYPE, "Send Content-Type: text/csv, or multipart/form-data with one file.")
    try:
        environ = {**request.environ, "wsgi.input": io.BytesIO(raw)}
        _, _, files = parse_form_data(
            environ, silent=False, max_form_parts=MOST_PARTS, max_form_memory_size=MOST_FIELDS
        )
    except ValueError:
        raise Problem(BAD_REQUEST, "The form cannot be read.") from None
    contents = []
    for file in files.values():
        with file.stream:  # a large one is a file on disk
            contents.append(bytes(file.stream.read()))
    if len(contents) != 1:
        raise Problem(BAD_REQUEST, "The form must hold exactly one file.")
    return contents[0]


def shown(row: SiteImport) -> dict[str, Any]:
    """An import as the API shows it."""
    return {
        "id": row.id,
        "account": row.account_id,
        "state": row.state,
        "reason": row.reason,
        "dry_run": row.dry_run,
        "good": row.good,
        "bad": row.bad,
        "saved": row.saved,
        "removed": row.removed,
        "uploaded": row.uploaded,
        "faults": row.faults,
        "called_back_at": row.callback_at.isoformat() if row.callback_at else None,
        "reconciliation": row.reconciliation_id,
        "created_at": row.created_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
    }
