"""`/healthz`: the process answers. `/readyz`: it can keep what it is given, and what an operator should look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import redis
from flask import Response, jsonify
from sqlalchemy.orm import Session

from shared.domain.lanes import Lane
from shared.providers import registry
from shared.providers.base import Account
from shared.store import upkeep_reading
from shared.store.engine import UnsafeDatabase, require_durable
from webhooks_app import door as doors
from webhooks_app.database import DatabaseAway
from webhooks_app.door import Door

PROBE_S = 1.0
# Beat rings every lane every ten seconds, and whoever answers writes a sign of life.
QUIET_S = 30.0
EXPECTED = (*(f"worker:{lane.value}" for lane in Lane), "watchman", "beat")


def healthz() -> Response:
    """Alive."""
    return jsonify(status="ok")


def readyz() -> Response:
    """200 while alarms can be kept; warnings name what would make Tocsin slower, deaf on one ear, or blind."""
    here = doors.door()
    failure, warnings = here.readiness.get(lambda: _readiness(here))
    return _answer(failure, _configuration(here) + warnings)


def _readiness(here: Door) -> tuple[str | None, list[str]]:
    """Why nothing can be kept, and what is not well around it."""
    warnings = []
    if not _redis_answers(here):
        warnings.append("redis: no answer; the watchman does the work, slower")
    try:
        ages, dead = here.database.run(_look, hold_s=PROBE_S)
    except DatabaseAway:
        return "database: no answer; nothing is accepted", warnings
    except UnsafeDatabase as error:
        return f"database: {error}", warnings
    return None, warnings + _quiet(ages) + _dead(dead)


def _look(session: Session) -> tuple[dict[str, float], dict[str, int]]:
    require_durable(session)
    return upkeep_reading.heartbeat_ages(session), upkeep_reading.dead_accounts(session)


def _dead(failures: dict[str, int]) -> list[str]:
    """Accounts that a probe found unusable."""
    return [f"account: {name} failed {count} probes in a row" for name, count in failures.items()]


def _configuration(here: Door) -> list[str]:
    """What is missing in the settings."""
    settings = here.settings
    found = []
    if not settings.escalation_url:
        found.append("escalation: TOCSIN_ESCALATION_URL is not set; a person is told in one way only")
    elif not settings.escalation_secret.get_secret_value():
        found.append("escalation: TOCSIN_ESCALATION_SECRET is not set; what is sent there is not signed")
    for account in settings.default_accounts():
        if not account["webhook_secrets"]:
            found.append(f"webhooks: the default {account['provider']} account has no secret; its hook answers 503")
        found += [f"account: the default {account['provider']} account: {problem}" for problem in _problems(account)]
    return found


def _problems(described: Mapping[str, Any]) -> Sequence[str]:
    """Host, environment and credentials must agree: a token is for one environment only."""
    values = {name: described[name] for name in ("provider", "base_url", "environment", "credentials", "options")}
    return registry.get(described["provider"]).check_account(Account(id=described["provider"], **values))


def _quiet(ages: dict[str, float]) -> list[str]:
    """Processes without a sign of life, by the beginning of their names."""
    found = []
    for expected in EXPECTED:
        own = [age for name, age in ages.items() if name.startswith(expected)]
        if not own or min(own) > QUIET_S:
            found.append(f"heartbeat: {expected} gave no sign of life within {QUIET_S:.0f} s")
    return found


def _redis_answers(here: Door) -> bool:
    client = redis.Redis.from_url(
        here.settings.redis_url.get_secret_value(), socket_timeout=PROBE_S, socket_connect_timeout=PROBE_S, retry=None
    )
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


def _answer(failure: str | None, warnings: list[str]) -> Response:
    answer = jsonify(status="unavailable" if failure else "ready", failure=failure, warnings=warnings)
    if failure:
        answer.status_code = 503
        answer.headers["Retry-After"] = "2"
    return answer
