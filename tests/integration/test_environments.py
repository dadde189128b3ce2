"""A token belongs to one environment: said at start-up and refused at save and at each call."""

from __future__ import annotations

import pytest

from deploy.embedded import Embedded
from tests.integration.door_stage import close_stage, open_stage
from tests.town import QUICK, open_town

NOONLIGHT = {"noonlight_token": "t", "noonlight_webhook_secrets": "s"}


@pytest.mark.parametrize(
    ("host", "environment", "warned"),
    [
        ("https://api.noonlight.com", "staging", True),
        ("https://api-sandbox.noonlight.com", "production", True),
        ("https://noonlight.example", "production", True),
        ("https://api.noonlight.com", "production", False),
        ("https://api-sandbox.noonlight.com", "staging", False),
    ],
)
def test_start_warns_when_host_and_environment_disagree(
    database: str, redis_url: str, host: str, environment: str, warned: bool
) -> None:
    """`/readyz` names it; `tocsin migrate` refuses it, and so does `tocsin accounts`."""
    stage = open_stage(database, redis_url, noonlight_base_url=host, noonlight_environment=environment, **NOONLIGHT)
    try:
        warnings = stage.get("/readyz").json["warnings"]
    finally:
        close_stage(stage)
    assert any(warning.startswith("account: the default noonlight account") for warning in warnings) is warned


def test_nothing_is_sent_when_the_row_names_the_other_environments_host(embedded: Embedded) -> None:
    """Whoever changed the row behind our back: no request, a person is told, and a mended row is sent."""
    with open_town(embedded, **QUICK) as town:
        away = "UPDATE provider_account SET base_url = :url WHERE provider = 'noonlight'"
        town.change(away, url="https://api.noonlight.com")
        incident = town.alarm("panic")
        town.turn()
        reason = town.one("SELECT last_error FROM outbox WHERE kind = 'create' AND incident_id = :i", i=incident)
        assert reason == "the sandbox host belongs to environment staging, and only it"
        assert town.one("SELECT count(*) FROM attempt WHERE leg_id IS NOT NULL") == 0
        town.change(away, url=town.sandbox.noonlight.url)
        town.until(lambda: town.status(incident) == "requested")
        assert len(town.alarms()) == 1
