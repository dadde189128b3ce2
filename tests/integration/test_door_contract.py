"""The door against its own OpenAPI document: whatever is sent, the answer is one that the document promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks

from deploy.embedded import Embedded
from shared.store import migrate
from tests.conftest import fresh_database
from tests.integration.door_stage import HOME, Stage, close_stage, open_stage

load_all_checks()
PROMISES = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
]
OPERATIONS = (
    ("POST", "/v1/alarms"),
    ("GET", "/v1/incidents"),
    ("GET", "/v1/incidents/{incident_id}"),
    ("POST", "/v1/incidents/{incident_id}/cancel"),
    ("POST", "/v1/incidents/{incident_id}/notes"),
    ("POST", "/v1/incidents/{incident_id}/events"),
    ("POST", "/v1/incidents/{incident_id}/drop"),
    ("POST", "/v1/incidents/{incident_id}/locations"),
    ("POST", "/v1/incidents/{incident_id}/people"),
    ("PATCH", "/v1/incidents/{incident_id}/person"),
    ("POST", "/v1/certificates"),
    ("GET", "/v1/certificates/{certificate_id}"),
    ("GET", "/v1/notices"),
    ("GET", "/v1/sites"),
    ("PUT", "/v1/sites/{site_ref}"),
    ("GET", "/v1/sites/{site_ref}"),
    ("PUT", "/v1/platform"),
    ("GET", "/v1/platform"),
    ("POST", "/webhooks/{provider_name}"),
)


@pytest.fixture(scope="module")
def stage(embedded: Embedded, redis_url: str) -> Iterator[Stage]:
    """A door with an account, in a database of this module."""
    url = fresh_database(embedded, "contract")
    migrate.upgrade(url)
    made = open_stage(url, redis_url)
    made.account("noonlight", is_default=True)
    yield made
    close_stage(made)


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_route_answers_as_documented(stage: Stage, method: str, path: str, mode: schemathesis.GenerationMode) -> None:
    """Valid and invalid requests alike: no accident, and every answer fits its schema."""
    incident = stage.post("/v1/alarms", {"incident_ref": f"{method} {path}", "kind": "burglary", **HOME}).json
    operation = schemathesis.openapi.from_wsgi("/openapi.json", stage.app)[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: Any) -> None:
        if "incident_id" in case.path_parameters:
            case.path_parameters["incident_id"] = incident["incident_id"]
        case.validate_response(case.call(headers=stage.headers()), checks=PROMISES)

    holds()
