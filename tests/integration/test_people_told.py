"""A person is told in two independent ways, once per interval, until it is heard, cleared or over (law 13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.cli.ports import free_port
from deploy.embedded import Embedded
from shared.domain.lanes import Lane
from tests.integration.doubt_stage import sweep
from tests.town import QUICK, Town, open_town
from webhooks_app import create_app

ATTEND = "UPDATE job SET next_run_at = now(), lease_until = NULL"


@pytest.fixture(scope="module")
def built(embedded: Embedded) -> Iterator[Town]:
    """One town for the module."""
    with open_town(embedded, **QUICK, park_strangers_s=900.0) as town:
        yield town


@pytest.fixture
def town(built: Town) -> Iterator[Town]:
    """The town with an empty street and a provider that listens."""
    yield sweep(built)
    listen(built)


def refuse(town: Town) -> None:
    """From now on nobody listens at the provider's address."""
    town.change("UPDATE provider_account SET base_url = :u WHERE id = 'noonlight'", u=f"http://127.0.0.1:{free_port()}")


def listen(town: Town) -> None:
    """The provider is back."""
    town.change("UPDATE provider_account SET base_url = :u WHERE id = 'noonlight'", u=town.sandbox.noonlight.url)


def later(town: Town, seconds: float) -> None:
    """Let time pass: all that is open becomes older and what waits falls due."""
    town.change("UPDATE incident SET received_at = received_at - make_interval(secs => :s)", s=seconds)
    town.change("UPDATE inbox SET received_at = received_at - make_interval(secs => :s)", s=seconds)
    town.change(
        "UPDATE notice SET opened_at = opened_at - make_interval(secs => :s), "
        "next_at = next_at - make_interval(secs => :s) WHERE next_at < now() + interval '1 year'",
        s=seconds,
    )
    town.change(
        "UPDATE outbox SET created_at = created_at - make_interval(secs => :s), "
        "next_attempt_at = next_attempt_at - make_interval(secs => :s) WHERE state = 'pending'",
        s=seconds,
    )
    tell(town)


def tell(town: Town) -> None:
    """Look once at what is late, and let what must go out go."""
    town.change(ATTEND)
    town.turn(Lane.PERIODIC)
    town.settle()


def escalated(town: Town, kind: str) -> list[dict[str, Any]]:
    """What the escalation address heard of this kind."""
    return [notice for notice in town.escalations() if notice["kind"] == kind]


def shown(town: Town, kind: str) -> list[dict[str, Any]]:
    """What the platform heard of this kind."""
    items = town.platform("_writebacks")["items"]
    told = [item["body"] for item in items if item["body"]["event"] == "notices"]
    return [notice for body in told for notice in body["notices"] if notice["kind"] == kind]


def counts(town: Town, kind: str) -> tuple[int, int]:
    """How often each of the two ways heard it."""
    return len(escalated(town, kind)), len(shown(town, kind))


def bundles(town: Town) -> int:
    """How many messages reached the escalation address."""
    return len(town.platform("_escalations")["items"])


def test_person_is_told_both_ways_when_noonlight_refuses_for_two_minutes(town: Town) -> None:
    """At 30 s and every 30 s; it is sent when Noonlight returns, and the telling ends with that."""
    refuse(town)
    incident = town.alarm("fire")
    town.settle()
    later(town, 20)
    assert counts(town, "not_accepted") == (0, 0)
    later(town, 10)
    assert counts(town, "not_accepted") == (1, 1)
    for told in (2, 3, 4):
        later(town, 30)
        assert counts(town, "not_accepted") == (told, told)
    assert escalated(town, "not_accepted")[0]["incident_id"] == incident
    listen(town)
    later(town, 29)
    town.until(lambda: town.status(incident) == "requested")
    assert len(town.creates()) == 1
    later(town, 31)
    assert counts(town, "not_accepted") == (4, 4)


def test_attempts_go_on_when_a_person_acknowledged(town: Town) -> None:
    """He is told no more, and the alarm is sent as soon as somebody takes it."""
    refuse(town)
    incident = town.alarm("panic")
    town.settle()
    later(town, 31)
    assert counts(town, "not_accepted") == (1, 1)
    assert town.post(f"/v1/incidents/{incident}/acknowledge", {"by": "Ann"}).ok
    tried = "SELECT attempts FROM outbox WHERE incident_id = :i AND kind = 'create'"
    town.settle()
    before = town.one(tried, i=incident)
    later(town, 31)
    later(town, 31)
    assert town.one(tried, i=incident) > before
    assert counts(town, "not_accepted") == (1, 1)
    listen(town)
    later(town, 31)
    town.until(lambda: town.status(incident) == "requested")


def test_person_is_told_when_he_acknowledged_before_there_was_anything_to_tell(town: Town) -> None:
    """Found by chaos: a word that lay in the inbox for a while silenced a notice that was opened meanwhile."""
    refuse(town)
    incident = town.alarm("panic")
    town.settle()
    assert town.post(f"/v1/incidents/{incident}/acknowledge", {"by": "Ann"}).ok
    town.change("UPDATE inbox SET next_attempt_at = 'infinity' WHERE state = 'pending'")
    town.change("UPDATE incident SET received_at = now() - interval '31 seconds' WHERE id = :i", i=incident)
    town.change("UPDATE job SET next_run_at = now()")
    town.turn(Lane.PERIODIC)
    town.change("UPDATE inbox SET next_attempt_at = now() WHERE state = 'pending'")
    town.settle()
    assert "acknowledged_by_operator" in town.events(incident)
    tell(town)
    assert counts(town, "not_accepted") == (1, 1)


def test_person_is_told_again_when_an_acknowledged_alarm_fails(town: Town) -> None:
    """That it is given up is news to whoever heard that it was late."""
    refuse(town)
    incident = town.alarm("burglary")
    town.settle()
    later(town, 31)
    town.post(f"/v1/incidents/{incident}/acknowledge", {"by": "Ann"})
    town.settle()
    town.change("UPDATE outbox SET expires_at = now() WHERE incident_id = :i", i=incident)
    later(town, 31)
    assert town.status(incident) == "failed"
    later(town, 1)
    assert counts(town, "failed") == (1, 1)


def test_notices_share_one_message_when_many_alarms_are_late(town: Town) -> None:
    """Each alarm is named once per address, in a handful of messages."""
    refuse(town)
    for _ in range(20):
        town.alarm("burglary")
    town.settle()
    later(town, 31)
    for _ in range(5):
        tell(town)
    assert counts(town, "not_accepted") == (20, 20)
    assert bundles(town) <= 2


def test_escalation_is_told_once_an_interval_when_the_platform_is_down(town: Town) -> None:
    """A responder cancels and nobody can be told at the platform: 30 s later somebody is, without a storm."""
    site = town.guarded_site()
    incident = town.site_alarm(site, "burglary")
    town.until(lambda: town.status(incident) == "requested")
    town.settle()
    town.platform("_control", fail=[{"path": "/writebacks", "status": 503}])
    town.aura("_step", id=town.callouts()[-1]["id"], event="CALLOUT_NO_LONGER_REQUIRES_RESPONSE")
    town.until(lambda: town.one("SELECT count(*) FROM outbox WHERE worse AND state = 'pending'"), lanes=(Lane.INTAKE,))
    town.settle()
    assert counts(town, "undelivered") == (0, 0)
    later(town, 31)
    for _ in range(5):
        tell(town)
    assert len(escalated(town, "undelivered")) == 1
    later(town, 30)
    assert len(escalated(town, "undelivered")) == 2
    waiting = "SELECT count(*) FROM outbox WHERE kind = 'notice' AND state = 'pending'"
    assert town.one(waiting) == 1
    town.platform("_control", fail=[])
    later(town, 30)
    town.until(lambda: town.one("SELECT count(*) FROM outbox WHERE worse AND state = 'pending'") == 0)
    heard = len(escalated(town, "undelivered"))
    later(town, 31)
    later(town, 31)
    assert len(escalated(town, "undelivered")) == heard


def dead_writeback(town: Town) -> None:
    """The platform's address is gone, for one write-back."""
    town.platform("_control", fail=[{"path": "/writebacks", "status": 410, "times": 1}])
    incident = town.alarm("burglary")
    town.until(lambda: town.one("SELECT count(*) FROM outbox WHERE incident_id = :i AND state = 'dead'", i=incident))


def set_aside_row(town: Town) -> None:
    """A row of the inbox that nobody can open."""
    incident = town.alarm("burglary")
    town.change("UPDATE inbox SET body = 'spoilt' WHERE incident_id = :i", i=incident)
    for _ in range(6):
        town.turn(Lane.INTAKE)
        town.change("UPDATE inbox SET next_attempt_at = now() WHERE state = 'pending'")
    assert town.one("SELECT state FROM inbox WHERE incident_id = :i", i=incident) == "set_aside"


def dead_site(town: Town) -> None:
    """A site that the provider refuses."""
    town.aura("_control", fail=[{"path": "*", "method": "POST", "status": 400, "body": "{}"}])
    town.guarded_site(synced=False)
    town.until(lambda: town.one("SELECT count(*) FROM site WHERE sync_state = 'failed'"))


def stranger(town: Town) -> None:
    """An event for an alarm that nobody here knows, 15 min ago."""
    town.change("UPDATE dispatch SET provider_alarm_id = 'elsewhere-' || id")
    incident = town.alarm("burglary")
    town.until(lambda: town.status(incident) == "requested")
    town.settle()
    town.change("UPDATE dispatch SET provider_alarm_id = 'elsewhere-' || id WHERE incident_id = :i", i=incident)
    town.noonlight("_step", id=town.alarms()[-1]["id"], event="alarm.psap_contacted")
    town.until(lambda: town.one("SELECT count(*) FROM inbox WHERE state = 'parked'"), lanes=(Lane.INTAKE,))
    later(town, 901)


@pytest.mark.parametrize(
    ("happens", "kind"),
    [(dead_writeback, "writeback_dead"), (set_aside_row, "set_aside"), (dead_site, "site"), (stranger, "stranger")],
)
def test_person_is_told_once_when_a_row_is_lost(town: Town, happens: Callable[[Town], None], kind: str) -> None:
    """In both ways, and not again in the bundles of other notices."""
    happens(town)
    tell(town)
    refuse(town)
    town.alarm("burglary")
    town.settle()
    later(town, 31)
    later(town, 301)
    assert counts(town, "not_accepted")[0] >= 2
    assert counts(town, kind) == (1, 1)


def test_notice_raises_no_notice_when_its_own_row_dies(town: Town) -> None:
    """The next telling makes a new row, and that one is heard."""
    refuse(town)
    town.alarm("burglary")
    town.turn(Lane.INTAKE, Lane.DISPATCH)
    town.change("UPDATE incident SET received_at = received_at - interval '31 seconds'")
    town.change(ATTEND)
    town.turn(Lane.PERIODIC)
    town.change(
        "UPDATE outbox SET lost_leases = 3, lease_until = now() - interval '1 second' "
        "WHERE kind = 'escalation' AND state = 'pending'"
    )
    town.settle()
    assert town.one("SELECT count(*) FROM outbox WHERE kind = 'escalation' AND state = 'dead'") == 1
    assert town.one("SELECT count(*) FROM notice WHERE kind = 'dead' AND ended_at IS NULL") == 0
    later(town, 30)
    assert len(escalated(town, "not_accepted")) == 1


def test_person_is_told_in_time_when_nobody_travels_through_it(embedded: Embedded) -> None:
    """The same with real seconds: told after one, and by both ways."""
    with open_town(embedded, **QUICK, told_after_s=1.0) as town:
        refuse(town)
        began = town.one("SELECT clock_timestamp()")
        town.alarm("burglary")
        town.until(lambda: counts(town, "not_accepted") == (1, 1), within_s=6)
        took = town.one("SELECT extract(epoch FROM clock_timestamp() - :b)", b=began)
    assert 1.0 <= float(took) < 4.0


def test_readyz_warns_when_there_is_no_escalation_address(town: Town) -> None:
    """A person who is told in one way only must know it."""
    app = create_app(town.settings.model_copy(update={"escalation_url": ""}), bell=town.bell)
    answer = app.test_client().get("/readyz")
    app.extensions["tocsin"].database.close()
    assert answer.status_code == 200
    assert any(warning.startswith("escalation") for warning in answer.get_json()["warnings"])
