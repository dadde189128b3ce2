"""One valid request per operation. A new operation without a line here fails the tests of authentication."""

from __future__ import annotations

from typing import Any

from tests.integration.door_stage import HOME
from webhooks_app.routes import ROUTES, Route

_BY = {"by": "Ann"}
_ADDRESS = {"line1": "1 Main St", "city": "Austin", "state": "TX", "zip": "78701"}
_INCIDENT = "/v1/incidents/<plain:incident_id>"

# None: no body. Bytes: sent as they are, as CSV.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/alarms"): {"incident_ref": "sample", "kind": "burglary", **HOME},
    ("GET", "/v1/incidents"): None,
    ("GET", _INCIDENT): None,
    ("POST", f"{_INCIDENT}/cancel"): {"reason": "other"},
    ("POST", f"{_INCIDENT}/notes"): {"text": "a text"},
    ("POST", f"{_INCIDENT}/events"): {"message": "a signal"},
    ("POST", f"{_INCIDENT}/resend"): _BY,
    ("POST", f"{_INCIDENT}/drop"): _BY | {"reason": "why"},
    ("POST", f"{_INCIDENT}/close"): _BY,
    ("POST", f"{_INCIDENT}/acknowledge"): _BY,
    ("POST", f"{_INCIDENT}/report"): _BY | {"url": "https://ops.example.com/1"},
    ("POST", f"{_INCIDENT}/locations"): {"lat": 1.0, "lng": 2.0},
    ("POST", f"{_INCIDENT}/people"): {"name": "Bo", "phone": "+12025550123"},
    ("PATCH", f"{_INCIDENT}/person"): {"height": 180},
    ("GET", "/v1/notices"): None,
    ("POST", "/v1/notices/<number:notice_id>/acknowledge"): _BY,
    ("GET", "/v1/sites"): None,
    ("PUT", "/v1/sites/<rest:site_ref>"): {"name": "Home", "address": _ADDRESS, "provider": "noonlight"},
    ("GET", "/v1/sites/<rest:site_ref>"): None,
    ("DELETE", "/v1/sites/<rest:site_ref>"): None,
    ("POST", "/v1/site-reconciliations"): {},
    ("GET", "/v1/site-reconciliations"): None,
    ("GET", "/v1/site-reconciliations/<number:run_id>"): None,
    ("GET", "/v1/site-drift"): None,
    ("POST", "/v1/certificates"): {"address": _ADDRESS},
    ("GET", "/v1/certificates/<plain:certificate_id>"): None,
    ("POST", "/v1/site-imports"): b"site_ref,name,latitude,longitude\na,A,1,2\n",
    ("GET", "/v1/site-imports"): None,
    ("GET", "/v1/site-imports/<number:import_id>"): None,
    ("GET", "/v1/platform"): None,
    ("PUT", "/v1/platform"): {},
}
# Operations that ask for no API key, and what protects them instead.
OPEN: dict[tuple[str, str], str] = {
    ("POST", "/webhooks/<plain:provider_name>"): "a signature or secret",
    ("POST", "/webhooks/<plain:provider_name>/<plain:account_id>"): "a signature or secret",
    ("POST", "/callbacks/site-imports/<plain:secret>"): "the secret in its path",
    ("GET", "/healthz"): "says only that the process answers",
    ("GET", "/readyz"): "names no person and no platform",
    ("GET", "/metrics"): "figures without names",
    ("GET", "/openapi.json"): "the same for everybody",
    ("GET", "/docs"): "the same for everybody",
}
# Its id is in the path: a row of one platform, which does not exist for others.
OWNED = ("incident_id", "notice_id", "run_id", "certificate_id", "import_id")


def closed() -> list[Route]:
    """Every operation that asks for a key."""
    return [route for route in ROUTES if route.scopes]


def name(route: Route) -> str:
    """How a test names it."""
    return f"{route.method} {route.path}"


def request(route: Route) -> dict[str, Any]:
    """Its valid body, as arguments of the test client."""
    body = BODIES[route.method, route.path]
    if body is None:
        return {}
    return {"data": body, "content_type": "text/csv"} if isinstance(body, bytes) else {"json": body}


def path(route: Route, **values: str | int) -> str:
    """The path with its values, `7` or `x` where none is given."""
    found = route.path
    for part in ("<plain:incident_id>", "<plain:certificate_id>", "<number:notice_id>", "<number:run_id>",
                 "<number:import_id>", "<rest:site_ref>"):  # fmt: skip
        kind, _, field = part.strip("<>").partition(":")
        found = found.replace(part, str(values.get(field, 7 if kind == "number" else "x")))
    return found
