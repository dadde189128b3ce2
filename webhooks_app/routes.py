"""Every route in one table, read by the application and by /openapi.json: who may, with which body, what answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Response
from pydantic import BaseModel

from webhooks_app import (
    actions,
    alarms,
    answers,
    callbacks,
    certificates,
    enrichments,
    health,
    incidents,
    metrics,
    notices,
    openapi,
    platform,
    reconciliations,
    site_imports,
    sites,
)
from webhooks_app.bodies import (
    AlarmBody,
    ByBody,
    CertificateBody,
    OneOrMoreFixes,
    OneOrMorePeople,
    PersonChangeBody,
    PlatformBody,
    ReconcileBody,
    SiteBody,
)
from webhooks_app.queries import DriftQuery, ImportQuery, IncidentQuery, NoticeQuery, Page

View = Callable[..., Response]


@dataclass(frozen=True)
class Route:
    """One operation. `path` is Flask's; no `scopes` means that no API key is asked for.

    A `probe` is asked by machines that act on its answer: it is never refused.
    `capability` is what the incident's provider must be able to do, else the answer is 409.
    """

    method: str
    path: str
    view: View
    summary: str
    scopes: tuple[str, ...] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    statuses: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = ()
    capability: str | None = None
    hook: bool = False
    file: bool = False
    probe: bool = False


_ACT = ("incidents",)
_RAISE = ("alarms", "incidents", "panel")
_SUMMARIES = {
    "cancel": ("Ask to stop the response", _RAISE),
    "notes": ("Send a text to whoever responds", _ACT),
    "events": ("Add a further signal of the incident", _RAISE),
    "resend": ("Send again after a doubt or a failure", _ACT),
    "drop": ("End all attempts, by a named person", _ACT),
    "close": ("Close the incident on our side", _ACT),
    "acknowledge": ("Silence the notices of the incident; attempts go on", _ACT),
    "report": ("Note where the report was filed", _ACT),
}

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/alarms", alarms.raise_alarm, "Raise an alarm", ("alarms", "panel"), AlarmBody,
          answer=answers.AlarmTaken, statuses=(202,)),
    Route("GET", "/v1/incidents", incidents.list_incidents, "List incidents, newest first", _ACT,
          query=IncidentQuery, answer=answers.IncidentList),
    Route("GET", "/v1/incidents/<plain:incident_id>", incidents.show_incident, "Show one incident", _ACT,
          answer=answers.IncidentFull, errors=(404,)),
    *(
        Route("POST", f"/v1/incidents/<plain:incident_id>/{name}", view, *_SUMMARIES[name], body,
              answer=answers.ActionTaken, statuses=(202,), errors=(404, 409) if name == "notes" else (404,),
              capability="notes" if name == "notes" else None)
        for name, (view, body) in actions.ACTIONS.items()
    ),
    Route("POST", "/v1/incidents/<plain:incident_id>/locations", enrichments.add_locations,
          "Say where the person of a moving alarm is", _ACT, OneOrMoreFixes, answer=answers.ActionTaken,
          statuses=(202,), errors=(404, 409), capability="locations"),
    Route("POST", "/v1/incidents/<plain:incident_id>/people", enrichments.add_people,
          "Add people whom the provider may call", _ACT, OneOrMorePeople, answer=answers.ActionTaken,
          statuses=(202,), errors=(404, 409), capability="people"),
    Route("PATCH", "/v1/incidents/<plain:incident_id>/person", enrichments.update_person,
          "Tell more about the alarm's person", _ACT, PersonChangeBody, answer=answers.ActionTaken,
          statuses=(202,), errors=(404, 409), capability="person"),
    Route("GET", "/v1/notices", notices.list_notices, "List what persons are told", _ACT,
          query=NoticeQuery, answer=answers.NoticeList),
    Route("POST", "/v1/notices/<number:notice_id>/acknowledge", notices.acknowledge_notice, "Silence a notice", _ACT,
          ByBody, answer=answers.NoticeShown, errors=(404,)),
    Route("GET", "/v1/sites", sites.list_sites, "List sites by reference", ("sites",),
          query=Page, answer=answers.SiteList),
    Route("PUT", "/v1/sites/<rest:site_ref>", sites.put_site, "Create or replace a site", ("sites",), SiteBody,
          answer=answers.SiteShown, statuses=(200, 201), errors=(409,)),
    Route("GET", "/v1/sites/<rest:site_ref>", sites.get_site, "Show a site", ("sites",),
          answer=answers.SiteShown, errors=(404, 422)),
    Route("DELETE", "/v1/sites/<rest:site_ref>", sites.delete_site, "Take a site out", ("sites",),
          answer=answers.SiteShown, statuses=(202, 204), errors=(404, 409, 422)),
    Route("POST", "/v1/site-reconciliations", reconciliations.ask,
          "Compare sites with the provider's listing", ("sites",), ReconcileBody,
          answer=answers.ReconciliationsAsked, statuses=(202,), errors=(409,), capability="sites"),
    Route("GET", "/v1/site-reconciliations", reconciliations.list_runs, "List comparisons, newest first", ("sites",),
          query=Page, answer=answers.ReconciliationList),
    Route("GET", "/v1/site-reconciliations/<number:run_id>", reconciliations.show_run, "Show one comparison",
          ("sites",), answer=answers.ReconciliationShown, errors=(404,)),
    Route("GET", "/v1/site-drift", reconciliations.list_drift, "List differences, newest first", ("sites",),
          query=DriftQuery, answer=answers.DriftList),
    Route("POST", "/v1/certificates", certificates.ask, "Ask for a monitoring certificate", ("sites",),
          CertificateBody, answer=answers.CertificateTaken, statuses=(202,), errors=(409,),
          capability="certificates"),
    Route("GET", "/v1/certificates/<plain:certificate_id>", certificates.show, "Show a certificate", ("sites",),
          answer=answers.CertificateShown, errors=(404,)),
    Route("POST", "/v1/site-imports", site_imports.take, "Hand over a portfolio of sites as one CSV file", ("sites",),
          query=ImportQuery, answer=answers.SiteImportShown, statuses=(202,), errors=(400, 408, 409, 411, 413, 415),
          capability="bulk", file=True),
    Route("GET", "/v1/site-imports", site_imports.list_imports, "List imports, newest first", ("sites",),
          query=Page, answer=answers.SiteImportList),
    Route("GET", "/v1/site-imports/<number:import_id>", site_imports.show_import, "Show one import", ("sites",),
          answer=answers.SiteImportShown, errors=(404,)),
    Route("POST", "/callbacks/site-imports/<plain:secret>", site_imports.call_back,
          "Say that an upload was worked (for providers)", answer=answers.CallbackTaken, statuses=(202,),
          errors=(400, 404, 411, 413), hook=True),
    Route("GET", "/v1/platform", platform.get_platform, "Show the platform", ("platform",),
          answer=answers.PlatformShown),
    Route("PUT", "/v1/platform", platform.put_platform, "Change the platform", ("platform",), PlatformBody,
          answer=answers.PlatformShown),
    Route("POST", "/webhooks/<plain:provider_name>", callbacks.receive, "Deliver events to the default account",
          answer=answers.HookTaken, errors=(400, 401, 404, 411, 413), hook=True),
    Route("POST", "/webhooks/<plain:provider_name>/<plain:account_id>", callbacks.receive,
          "Deliver events to an account", answer=answers.HookTaken, errors=(400, 401, 404, 411, 413), hook=True),
    Route("GET", "/healthz", health.healthz, "The process answers", answer=answers.Health, probe=True),
    Route("GET", "/readyz", health.readyz, "Alarms can be kept; warnings for an operator", answer=answers.Ready,
          statuses=(200, 503), probe=True),
    Route("GET", "/metrics", metrics.show_metrics, "Figures for Prometheus", probe=True),
    Route("GET", "/openapi.json", openapi.show_document, "This document"),
    Route("GET", "/docs", openapi.show_page, "This document, to read"),
)  # fmt: skip
