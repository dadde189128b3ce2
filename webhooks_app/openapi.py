"""The OpenAPI 3.1 document, built from the route table and the models that the routes themselves use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flask import Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.domain.kinds import RULES
from shared.providers import registry
from webhooks_app import door as doors
from webhooks_app.errors import KINDS, ProblemDocument

if TYPE_CHECKING:
    from webhooks_app.routes import Route

_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"<(\w+):(\w+)>")
_WHAT = {
    "incident_id": "The id that POST /v1/alarms answered.",
    "certificate_id": "The id that POST /v1/certificates answered.",
    "notice_id": "The id of a notice.",
    "site_ref": "Your own reference of the site, percent-encoded; any characters but control characters.",
    "import_id": "The id that POST /v1/site-imports answered.",
    "secret": "As it stands in the address that the provider was given.",
    "run_id": "The id that POST /v1/site-reconciliations answered.",
    "provider_name": "The name of a provider.",
    "account_id": "The id of a provider account.",
}
_BODY_ERRORS = (400, 408, 411, 413, 415, 422)
_HEADERS = {
    401: ("WWW-Authenticate", "How to authenticate."),
    429: ("Retry-After", "Seconds."),
    503: ("Retry-After", "Seconds."),
}
# What an answer names, and where: the parameter of the operations that go on from there.
_LINKS = {
    "AlarmTaken": ("incident_id", "/incident_id"),
    "CertificateTaken": ("certificate_id", "/id"),
    "SiteImportShown": ("import_id", "/id"),
    "SiteShown": ("site_ref", "/site_ref"),
    "ReconciliationsAsked": ("run_id", "/reconciliations/0/id"),
    "IncidentList": ("incident_id", "/incidents/0/incident_id"),
    "NoticeList": ("notice_id", "/notices/0/id"),
}
_ABOUT = """\
Alarms in, responders out, status back. A 2xx answer means that what was sent is on disk.
Every error is a problem document (RFC 9457). An authenticated alarm, cancel or other change and a verified webhook are
never answered 429; reads are, and whoever fails to authenticate too often. On 429 and 503 send it again after
`Retry-After` seconds.
A key is sent as `Authorization: Bearer`. Its scopes: `alarms` (raise, add events, cancel), `incidents` (read, act),
`sites`, `platform`, and `panel` (one site: raise, add events, cancel)."""


def build(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The document."""
    models: dict[type[BaseModel], None] = {ProblemDocument: None}
    for route in routes:
        models.update((model, None) for model in (route.body, route.answer) if model)
    bodies = {route.body for route in routes}
    _, schemas = models_json_schema(
        [(model, "validation" if model in bodies else "serialization") for model in models], ref_template=_REF
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_path(route), {})[route.method.lower()] = _operation(route)
    _link(paths, routes)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tocsin", "version": version, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
        "x-providers": _providers(),
        "x-kinds": _kinds(),
        "x-problems": {kind.name: {"status": kind.status, "title": kind.title} for kind in KINDS},
    }


def _link(paths: dict[str, dict[str, Any]], routes: Sequence[Route]) -> None:
    """From each answer that names a row to the operations on it."""
    for route in routes:
        name, pointer = _LINKS.get(route.answer.__name__ if route.answer else "", ("", ""))
        links = {
            _operation_id(other): {
                "operationId": _operation_id(other),
                "parameters": {name: f"$response.body#{pointer}"},
            }
            for other in routes
            if other is not route and f":{name}>" in other.path
        }
        for status, response in paths[_path(route)][route.method.lower()]["responses"].items():
            if name and status in ("200", "201", "202"):
                response["links"] = links


def show_document() -> Response:
    """`GET /openapi.json`."""
    return Response(doors.door().document, content_type="application/json")


def show_page() -> Response:
    """`GET /docs`."""
    answer = Response(doors.door().page, content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return answer


def errors_of(route: Route) -> list[int]:
    """Every status of refusal that the route can answer."""
    found = set(route.errors)
    if route.scopes:
        found |= {401, 403, 429, 500, 503}
    if route.body:
        found |= set(_BODY_ERRORS)
    if route.query:
        found.add(422)
    if route.hook:
        found |= {408, 429, 500, 503}
    if route.method == "GET" and not route.probe:
        found.add(429)
    return sorted(found)


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": _responses(route),
        "security": [{"key": []}] if route.scopes else [],
    }
    if route.view.__doc__:
        operation["description"] = route.view.__doc__.strip()
    if route.scopes:
        operation["x-scopes"] = list(route.scopes)
    if route.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(route.body)}}}
    elif route.file:
        csv = {"schema": {"type": "string", "description": "UTF-8; the columns are found by their names."}}
        file = {"file": {"type": "string", "format": "binary"}}
        form = {"schema": {"type": "object", "properties": file, "required": ["file"], "additionalProperties": False}}
        operation["requestBody"] = {"required": True, "content": {"text/csv": csv, "multipart/form-data": form}}
    elif route.hook:
        anything = {"schema": {"description": "As the provider documents it; read as raw bytes."}}
        operation["requestBody"] = {"required": True, "content": {"application/json": anything}}
    return operation


def _path(route: Route) -> str:
    return _PARAMETER.sub(r"{\2}", route.path)


def _operation_id(route: Route) -> str:
    name = re.sub(r"[^a-z]+", "_", _PARAMETER.sub(r"by_\2", route.path).lower()).strip("_")
    return f"{route.method.lower()}_{name}"


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _WHAT[name],
            "schema": _path_schema(converter, name),
        }
        for converter, name in _PARAMETER.findall(route.path)
    ]
    if route.query:
        schema = route.query.model_json_schema(ref_template=_REF)
        for name, field in schema["properties"].items():
            description = field.pop("description", "")
            inlined = _inlined(field, schema.get("$defs", {}))
            found.append(
                {"name": name, "in": "query", "description": description, "schema": inlined}
                | ({"style": "form", "explode": False} if inlined.get("type") == "array" else {})
            )
    return found


def _path_schema(converter: str, name: str) -> dict[str, Any]:
    if name == "provider_name":
        return {"type": "string", "enum": registry.names()}
    if converter == "number":
        return {"type": "integer", "minimum": 0}
    if converter == "rest":
        return {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^\x00-\x1f\x7f\ufffd]+$"}
    return {"type": "string", "minLength": 1, "maxLength": 80}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A parameter's schema without references, and without null, which a query cannot say."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    options = [item for item in schema.get("anyOf", []) if item != {"type": "null"}]
    if len(options) == 1:
        schema = {key: value for key, value in schema.items() if key not in ("anyOf", "default")} | options[0]
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def _responses(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in route.statuses:
        content = {"application/json": {"schema": _ref(route.answer)}} if route.answer else _other_content(route)
        if status == 204:
            found["204"] = {"description": "Done; nothing to show."}
            continue
        found[str(status)] = {"description": "As asked." if status < 400 else "Not now.", "content": content}
    for status in errors_of(route):
        titles = [kind.title for kind in KINDS if kind.status == status]
        found[str(status)] = {
            "description": _error_text(route, status, titles),
            "content": {"application/problem+json": {"schema": _ref(ProblemDocument)}},
        }
        if status in _HEADERS:
            name, what = _HEADERS[status]
            header = {"required": True, "description": what, "schema": {"type": "string"}}
            found[str(status)]["headers"] = {name: header}
    return found


def _other_content(route: Route) -> dict[str, Any]:
    media = {"/metrics": "text/plain", "/docs": "text/html"}.get(route.path, "application/json")
    return {media: {"schema": {"type": "object" if media == "application/json" else "string"}}}


def _error_text(route: Route, status: int, titles: list[str]) -> str:
    text = "; ".join(titles) + "."
    if status == 409 and route.capability:
        for name in registry.names():
            reason = registry.get(name).cannot.get(route.capability)
            if reason:
                text += f" {name}: {reason}."
    return text


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _providers() -> dict[str, Any]:
    """What each provider cannot do, and why, in its own words."""
    return {
        name: {"needs_site": registry.get(name).needs_site, "cannot": dict(registry.get(name).cannot)}
        for name in registry.names()
    }


def _kinds() -> dict[str, Any]:
    """The table of kinds: which of them dispatch by default, for what, and why."""
    return {
        kind.value: {
            "dispatches": rule.dispatches,
            "services": sorted(rule.services),
            "severity": rule.severity,
            "panel_may_cancel": rule.panel_may_cancel,
            "why": rule.why,
        }
        for kind, rule in RULES.items()
    }
