"""AURA Guard Response as its public facts describe it: tokens, fixed locations, callouts, notes, a webhook.

Not public, and so an assumption of this sandbox: 201 for what is created and 204 for a delete; a callout
stays in `activeCallouts` until it is closed, a cancelled one too (AURA's staging callouts never close by
themselves); a cancel reads `Responder Cancelled`; events of a closed callout are 400. Webhooks echo the
adapter's own calls: NEW_CALLOUT and CALLOUT_NO_LONGER_REQUIRES_RESPONSE, which AURA marks as triggered by the
integration, and CALLOUT_EVENTS_CHANGED.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
from dataclasses import replace
from typing import Any

from deploy.sandbox import aura_formats as formats
from deploy.sandbox import aura_portfolio as portfolio
from deploy.sandbox.aura_callouts import Callout
from deploy.sandbox.aura_notifier import Notifier
from deploy.sandbox.aura_sites import Sites, id_counter
from deploy.sandbox.aura_tokens import Tokens
from deploy.sandbox.config import AuraConfig, AuraOptions
from deploy.sandbox.exchange import Answer, RefusedError, Request, frozen
from deploy.sandbox.formats import Check, first_problem
from deploy.sandbox.routing import Route
from deploy.sandbox.script import Step
from deploy.sandbox.service import Service
from deploy.sandbox.webhooks import Delivery

_TOKEN_PATH = "/panic-api/v2/oauth/token"


class Aura(Service[AuraOptions]):
    """The panic API on one port, for one customer source."""

    def __init__(self, config: AuraConfig) -> None:
        self.config = config
        self._tokens = Tokens()
        self._sites = Sites()
        self._upload: threading.Timer | None = None
        self._ids = id_counter()
        self._portal = Notifier(config.webhook_url, config.delivery_headers)
        super().__init__(config.port, config.options, config.webhook_backoff_s)
        self.forget()

    def routes(self) -> tuple[Route, ...]:
        sites, callouts = "/panic-api/v2/predefinedLocations", "/panic-api/v2/callouts"
        return (
            Route("POST", _TOKEN_PATH, self._issue_token),
            Route("GET", sites, self._list_sites),
            Route("POST", sites, self._create_site),
            Route("POST", f"{sites}/externalRef/{{}}/callouts", self._create_callout),
            Route("GET", f"{sites}/{{}}", self._read_site),
            Route("PUT", f"{sites}/{{}}", self._replace_site),
            Route("DELETE", f"{sites}/{{}}", self._delete_site),
            Route("POST", "/v1/predefinedlocations/upload", self._upload_portfolio),
            Route("GET", "/v1/predefinedlocations/download", self._export_portfolio),
            Route("GET", f"{callouts}/activeCallouts", self._active_callouts),
            Route("GET", f"{callouts}/{{}}", self._read_callout),
            Route("GET", f"{callouts}/{{}}/events", self._list_events),
            Route("POST", f"{callouts}/{{}}/events", self._add_event),
            Route("POST", f"{callouts}/{{}}/cancel", self._cancel),
            Route("POST", "/panic-api/v2/notifiers/webhooks", self._register),
        )

    def now(self) -> float:
        return super().now() + self.options.clock_skew_s

    def guard(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if request.path != _TOKEN_PATH and not self._tokens.accepts(given, self.now()):
            raise RefusedError(self.error(401, "Unauthorized"))

    def forget(self) -> None:
        if self._upload is not None:
            self._upload.cancel()
        self._sites.clear()
        self._callouts: dict[int, Callout] = {}
        self._notifier = self._portal

    def configure(self, name: str, value: Any) -> bool:
        if name == "expire_token":
            if value:
                self._tokens.expire_all()
            return True
        if name == "webhook_url" and isinstance(value, str):
            self._portal = replace(self._portal, url=value)
        elif name == "webhook_secret" and isinstance(value, str):
            self._portal = replace(self._portal, headers={"Authorization": f"Bearer {value}"})
        elif name == "portal" and isinstance(value, list):
            self._sites.play_portal(value, self.now_text())
            return True
        elif name == "webhook_headers" and isinstance(value, dict):
            self._portal = replace(self._portal, headers=value)
        else:
            return False
        self._notifier = self._portal
        return True

    def state(self) -> dict[str, Any]:
        callouts = [
            {**callout.flat(), "incidentInformation": callout.incidents}
            | {"events": callout.events, "history": callout.history, "installerIdentifier": callout.installer}
            for callout in self._callouts.values()
        ]
        registered = {"url": self._notifier.url, "events": self._notifier.events}
        return {"callouts": callouts, "locations": self._sites.all(), "notifier": registered}

    # Tokens.

    def _issue_token(self, request: Request) -> Answer:
        body = self._valid(formats.TOKEN, request)
        given = f"{body['clientId']}\0{body['clientSecret']}".encode()
        if not hmac.compare_digest(given, f"{self.config.client_id}\0{self.config.client_secret}".encode()):
            raise RefusedError(self.error(401, "Invalid client credentials"))
        lifetime = self.options.token_lifetime_s
        token = self._tokens.issue(self.now(), lifetime)
        names = ("accessToken", "tokenType", "expiresIn")
        if self.options.token_spelling == "snake":
            names = ("access_token", "token_type", "expires_in")
        return Answer(200, dict(zip(names, (token, "Bearer", int(lifetime)), strict=True)))

    # Fixed locations.

    def _list_sites(self, request: Request) -> Answer:
        """Bare array by default; the options say whether it is paged, and in which envelope."""
        with self.lock:
            sites = [dict(site) for site in self._sites.all()]
        options, query = self.options, request.query
        if options.paging != "none":
            limit = min(int(query.get("limit", options.page_size)), options.page_size)
            start = int(query.get("offset", 0))
            if options.paging == "page":
                start = (int(query.get("page", 1)) - 1) * limit
            sites = sites[start : start + limit]
        return Answer(200, {"message": "success", options.envelope: sites} if options.envelope else sites)

    def _create_site(self, request: Request) -> Answer:
        fields = self._valid(formats.LOCATION, request)
        with self.lock:
            self._refuse_duplicate(fields, None)
            return Answer(201, dict(self._sites.add(fields, self.now_text())))

    def _read_site(self, request: Request, site_id: str) -> Answer:
        with self.lock:
            return Answer(200, dict(self._site(site_id)))

    def _replace_site(self, request: Request, site_id: str) -> Answer:
        with self.lock:
            site = self._site(site_id)
            fields = self._valid(formats.LOCATION, request)
            self._refuse_duplicate(fields, site)
            self._sites.replace(site, fields, self.now_text())
            return Answer(200, dict(site))

    def _delete_site(self, request: Request, site_id: str) -> Answer:
        with self.lock:
            self._sites.remove(self._site(site_id))
            return Answer(204)

    def _site(self, site_id: str) -> dict[str, Any]:
        site = self._sites.get(site_id)
        if site is None:
            raise RefusedError(self.error(404, "Predefined location not found"))
        return site

    def _refuse_duplicate(self, fields: dict[str, Any], but: dict[str, Any] | None) -> None:
        other = self._sites.by_reference(fields["externalReferenceId"])
        if other is not None and other is not but and not self.options.allow_duplicate_references:
            raise RefusedError(self.error(409, "A predefined location with this externalReferenceId exists"))

    # The portfolio as CSV.

    def _upload_portfolio(self, request: Request) -> Answer:
        """Taken at once, worked and called back later; nothing of a file with a bad row is taken."""
        try:
            parts = portfolio.form(request)
            callback = parts.get("callbackUrl", b"").decode()
            if problem := first_problem(formats.deliverable, callback):
                raise ValueError(f"callbackUrl {problem.removeprefix('data ')}")
            wanted = portfolio.rows(parts["locations"], parts.get("delimiter", b",").decode())
        except (ValueError, KeyError) as error:
            raise RefusedError(self.error(400, f"Upload refused: {error}")) from None
        self._upload = portfolio.later(self.options.csv_delay_s, lambda: self._take_portfolio(wanted, callback))
        return Answer(200, {"message": "File accepted for processing"})

    def _take_portfolio(self, wanted: list[dict[str, str]], callback: str) -> None:
        with self.lock:
            counts = portfolio.synchronise(self._sites, wanted, self.now_text())
        if self.options.csv_callback:
            body = json.dumps({"message": "success", **counts}).encode()
            self.emitter.emit(callback, body, {}, "portfolio", "PORTFOLIO_SYNCHRONISED")

    def _export_portfolio(self, request: Request) -> Answer:
        with self.lock:
            return Answer(200, portfolio.export(self._sites), {"Content-Type": "text/csv; charset=utf-8"})

    # Callouts.

    def _create_callout(self, request: Request, reference: str) -> Answer:
        body = self._valid(formats.CALLOUT, request, empty_is_object=True)
        with self.lock:
            site = self._sites.by_reference(reference)
            if site is None:
                raise RefusedError(self.error(400, "No predefined location found for externalReferenceId"))
            callout = self._active_at(site) if self.options.return_existing else None
            if callout is not None:
                return self._created(callout, body, reference)
            callout = self._open_callout(site, body)
            first = self._emit(callout, "NEW_CALLOUT")
            answer = self._created(callout, body, reference)
            steps = self.player.script_for({**site, **body})
        self.await_early(first)
        self.player.begin(str(callout.id), steps)
        return answer

    def _open_callout(self, site: dict[str, Any], body: dict[str, Any]) -> Callout:
        kinds = (body.get("responseTypeId", 1), body.get("calloutClassificationId", 1))
        installer = body.get("installerIdentifier")
        callout = Callout(next(self._ids), site, self.now_text(), *kinds, installer=installer)
        self._callouts[callout.id] = callout
        callout.history.append({"at": callout.created_at, "what": "created"})
        return callout

    def _created(self, callout: Callout, body: dict[str, Any], reference: str) -> Answer:
        if self.options.flat_answer:
            return Answer(201, callout.flat())
        answer = {
            "message": "Callout created successfully",
            "installerIdentifier": body.get("installerIdentifier"),
            "externalReferenceId": reference,
            "callout": callout.flat(),
        }
        return Answer(201, answer)

    def _active_at(self, site: dict[str, Any]) -> Callout | None:
        at_site = (c for c in self._callouts.values() if c.active and c.location["id"] == site["id"])
        return next(at_site, None)

    def _active_callouts(self, request: Request) -> Answer:
        with self.lock:
            return Answer(200, [callout.flat() for callout in self._callouts.values() if callout.active])

    def _read_callout(self, request: Request, callout_id: str) -> Answer:
        with self.lock:
            return Answer(200, frozen({"message": "success", "callout": self._callout(callout_id).nested()}))

    def _cancel(self, request: Request, callout_id: str) -> Answer:
        with self.lock:
            callout = self._callout(callout_id)
            self._valid(formats.CANCEL, request, empty_is_object=True)
            if callout.ended:
                raise RefusedError(self.error(400, "Callout is already cancelled or closed"))
            event = "CALLOUT_NO_LONGER_REQUIRES_RESPONSE"
            callout.move(event, self.now_text(), self.options.eta_field, {})
            self._emit(callout, event)
            return Answer(200, {"callout": callout.flat()})

    # The event stream.

    def _list_events(self, request: Request, callout_id: str) -> Answer:
        with self.lock:
            return Answer(200, list(self._callout(callout_id).events))

    def _add_event(self, request: Request, callout_id: str) -> Answer:
        """400 for a callout that is unknown or closed: the reference lists 400, 401 and 500 only."""
        body = self._valid(formats.CALLOUT_EVENT, request)
        with self.lock:
            callout = self._callouts.get(int(callout_id)) if callout_id.isdecimal() else None
            if callout is None or not callout.active:
                raise RefusedError(self.error(400, "Callout is not active"))
            event = self._append_event(callout, body["source"], body["event"])
            self._emit(callout, "CALLOUT_EVENTS_CHANGED")
            return Answer(201, {"calloutEvent": event, "calloutEventTags": event["calloutEventTags"]})

    def _append_event(self, callout: Callout, source: str, text: str) -> dict[str, Any]:
        """Mentions such as `@admin` become tags."""
        now = self.now_text()
        event = {
            "id": next(self._ids),
            "calloutId": callout.id,
            "calloutEventTypeId": 1,
            "event": {"text": text, "sender": source},
            "createdBy": source,
            "integrationUserId": None,
            "createdAt": now,
            "updatedAt": now,
            "calloutEventType": {"id": 1, "value": "CHAT"},
            "calloutEventTags": [{"tag": tag} for tag in re.findall(r"@(\w+)", text)],
        }
        callout.events.append(event)
        return event

    # Webhooks.

    def _register(self, request: Request) -> Answer:
        """One active webhook per customer source: a registration replaces the one before."""
        body = self._valid(formats.REGISTRATION, request)
        with self.lock:
            self._notifier = Notifier(body["url"], body.get("headers", {}), body["events"])
            config = {**body, "method": body.get("method", "webhook")}
            return Answer(201, {"message": "Webhook registered", "notifier": {"config": [config]}})

    def _emit(self, callout: Callout, event: str) -> Delivery | None:
        return self._notifier.emit(self.emitter, callout, event)

    # The dispatcher.

    def advance(self, alarm: str, step: Step, *, scripted: bool = False) -> dict[str, Any]:
        """A webhook event name; `eta` goes into the ETA field as it is, `note` into the event stream.

        After a cancel a script goes on only with CALLOUT_CLOSED; by hand anything may be sent, also when
        closed.
        """
        callout, event = self._callout(alarm), step["event"]
        if scripted and callout.ended and (event != "CALLOUT_CLOSED" or not callout.active):
            raise RefusedError(self.error(409, "The callout has ended"))
        if event == "CALLOUT_EVENTS_CHANGED" and "note" in step:
            self._append_event(callout, step.get("source", "controlroom"), str(step["note"]))
        callout.move(event, self.now_text(), self.options.eta_field, step)
        self._emit(callout, event)
        return {
            "id": callout.id,
            "event": event,
            "status": callout.status,
            "known": event in formats.EVENT_STATUS,
        }

    # Small parts.

    def _callout(self, callout_id: str) -> Callout:
        callout = self._callouts.get(int(callout_id)) if callout_id.isdecimal() else None
        if callout is None:
            raise RefusedError(self.error(404, "Callout not found"))
        return callout

    def _valid(self, check: Check, request: Request, *, empty_is_object: bool = False) -> Any:
        try:
            body = {} if empty_is_object and not request.body else request.json()
        except ValueError:
            raise RefusedError(self.error(400, "The body is not JSON")) from None
        if problem := first_problem(check, body):
            raise RefusedError(self.error(400, problem.removeprefix("data.")))
        return body
