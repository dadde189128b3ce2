"""Too many reads and too many wrong keys are refused; an alarm, a change and a verified webhook never are (ADR 8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.door_stage import HOME, Reply, Stage, close_stage, open_stage
from webhooks_app.limits import MOST_SUBJECTS, Buckets
from webhooks_app.looking import Look

FEW: dict[str, Any] = {"key_reads_per_minute": 3, "address_reads_per_minute": 5, "address_failures_per_minute": 4}


@pytest.fixture
def strict(database: str, redis_url: str) -> Iterator[Stage]:
    """A door with small limits, behind one proxy."""
    made = open_stage(database, redis_url, trusted_proxies=1, **FEW)
    made.account("noonlight", is_default=True)
    yield made
    made.change("UPDATE provider_account SET is_default = false")
    close_stage(made)


def call(
    stage: Stage, method: str, path: str, key: str | None = None, *, of: str = "198.51.100.7", **more: Any
) -> Reply:
    """A request that came through the proxy from `of`."""
    headers = {"X-Forwarded-For": of} | ({"Authorization": f"Bearer {key}"} if key else {}) | more.pop("headers", {})
    return Reply.of(stage.client.open(path, method=method, headers=headers, **more))


def raise_alarm(stage: Stage, ref: str, key: str, *, of: str = "198.51.100.7") -> int:
    """Its status."""
    return call(stage, "POST", "/v1/alarms", key, of=of, json={"incident_ref": ref, "kind": "fire", **HOME}).status_code


def fail_too_often(stage: Stage, *, of: str = "198.51.100.7") -> Reply:
    """Wrong keys of one address until it is told so; the refusal."""
    for number in range(FEW["address_failures_per_minute"]):
        assert call(stage, "GET", "/v1/sites", f"wrong-{number}", of=of).status_code == 401
    return call(stage, "GET", "/v1/sites", "wrong", of=of)


def test_reads_of_a_key_are_refused_when_they_are_too_many(strict: Stage) -> None:
    """With when to come again; another key reads on, and this one raises its alarms."""
    other = strict.new_key(["sites"])
    answers = [call(strict, "GET", "/v1/sites", strict.key, of=f"198.51.100.{n}") for n in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20
    assert answers[-1].headers["Content-Type"] == "application/problem+json"
    assert answers[-1].json["type"] == "/docs#too-many"
    assert call(strict, "GET", "/v1/sites", other).status_code == 200
    assert raise_alarm(strict, "after-reads", strict.key) == 202
    assert 'tocsin_door_limited_total{what="key_reads"} 1.0' in strict.get("/metrics").text


def test_reads_of_an_address_are_refused_when_they_are_too_many(strict: Stage) -> None:
    """Whatever keys it has, and without any; the next address reads on."""
    keys = [strict.new_key(["sites"]) for _ in range(2)]
    served = [call(strict, "GET", "/v1/sites", key).status_code for key in keys for _ in range(2)]
    served += [call(strict, "GET", "/docs").status_code, call(strict, "GET", "/openapi.json").status_code]

    assert served == [200, 200, 200, 200, 200, 429]
    assert call(strict, "GET", "/docs", of="198.51.100.8").status_code == 200


def test_address_is_refused_when_it_fails_too_often(strict: Stage) -> None:
    """429 instead of 401; another address is still told what is wrong."""
    refusal = fail_too_often(strict)

    assert (refusal.status_code, refusal.json["type"]) == (429, "/docs#too-many")
    assert 1 <= int(refusal.headers["Retry-After"]) <= 15
    assert call(strict, "GET", "/v1/sites").status_code == 429
    assert call(strict, "GET", "/v1/sites", "wrong", of="198.51.100.8").status_code == 401


def test_right_keys_are_served_when_strangers_share_their_address(strict: Stage) -> None:
    """A panel's first alarm in months, from behind the same NAT as one with a wrong key."""
    proven, panel = strict.new_key(["sites", "incidents"]), strict.new_key(["panel"], "house-1")
    assert call(strict, "GET", "/v1/sites", proven, of="198.51.100.9").status_code == 200
    fail_too_often(strict)

    assert raise_alarm(strict, "panel", panel) == 202
    incident = strict.rows("SELECT id FROM incident WHERE incident_ref = 'panel' ORDER BY received_at DESC")[0].id
    cancel = call(strict, "POST", f"/v1/incidents/{incident}/cancel", panel, json={"reason": "false_alarm"})
    assert cancel.status_code == 202
    assert call(strict, "GET", "/v1/sites", proven).status_code == 200


def test_unproven_read_waits_while_its_address_fails(strict: Stage) -> None:
    """It is not looked up: only what matters is, whoever asks."""
    cold = strict.new_key(["sites"])
    fail_too_often(strict)

    assert call(strict, "GET", "/v1/sites", cold).status_code == 429
    assert call(strict, "GET", "/v1/sites", cold, of="198.51.100.8").status_code == 200


def test_wrong_key_is_not_looked_up_again(strict: Stage) -> None:
    """A panel whose key was revoked rings on and on, and costs the database nothing."""
    from sqlalchemy import event

    assert raise_alarm(strict, "wrong", "wrong") == 401
    statements: list[str] = []
    event.listen(
        strict.app.extensions["tocsin"].database.engine, "before_cursor_execute", lambda *a: statements.append(a[2])
    )
    assert [raise_alarm(strict, "wrong", "wrong") for _ in range(6)] == [401, 401, 401, 429, 429, 429]
    assert statements == []


def test_verified_webhook_is_taken_when_forged_ones_are_too_many(strict: Stage) -> None:
    """A forged signature is a failed authentication; a right one is never asked how many there were."""
    raw = b'{"event_id":"e-1","event_type":"alarm.closed","meta":{"alarm_id":"al-1"}}'
    good = base64.b64encode(hmac.digest(b"hook-secret", raw, hashlib.sha256)).decode()

    def deliver(signature: str, path: str = "/webhooks/noonlight") -> int:
        headers = {"X-Noonlight-Signature": signature}
        return call(strict, "POST", path, data=raw, headers=headers).status_code

    assert [deliver("AAAA") for _ in range(6)] == [401, 401, 401, 401, 429, 429]
    assert [deliver(good) for _ in range(20)] == [200] * 20
    assert deliver(good, "/webhooks/noonlight/nobody") == 429


def test_guessed_callbacks_are_failures(strict: Stage) -> None:
    """The secret in the path is a credential."""
    answers = [call(strict, "POST", f"/callbacks/site-imports/guess-{n}").status_code for n in range(6)]

    assert answers == [404, 404, 404, 404, 429, 429]


def test_what_matters_takes_no_token(stage: Stage) -> None:
    """Not a single look at a bucket on the way of an alarm, a change or a verified webhook."""

    def never(self: Buckets, subject: str) -> float:
        raise AssertionError("a bucket was asked")

    shut = type("Shut", (Buckets,), {"take": never, "wait": never})
    limits = stage.app.extensions["tocsin"].limits
    limits.key_reads = limits.address_reads = limits.address_failures = shut(1)
    stage.account("noonlight")
    aura = stage.account("aura", webhook_secrets=["hook-secret"])

    taken = stage.post("/v1/alarms", {"incident_ref": "A", "kind": "fire", "provider": "noonlight", **HOME})
    more = stage.post(f"/v1/incidents/{taken.json['incident_id']}/events", {"message": "smoke upstairs"})
    hook = stage.deliver(f"/webhooks/aura/{aura}", b'{"message":"x"}', Authorization="Bearer hook-secret")
    assert (taken.status_code, more.status_code, hook.status_code) == (202, 202, 200)


def test_probes_are_never_refused(strict: Stage) -> None:
    """Whoever balances load takes a door out that does not answer them."""
    for path in ("/healthz", "/readyz", "/metrics"):
        assert {call(strict, "GET", path).status_code for _ in range(10)} == {200}


def test_forged_forwarding_changes_nothing_without_a_proxy(database: str, redis_url: str) -> None:
    """By default the peer's address counts; behind a proxy only what that proxy added."""
    plain = open_stage(database, redis_url, **FEW)
    behind = open_stage(database, redis_url, trusted_proxies=1, **FEW)

    def statuses(stage: Stage, forwarded: str) -> list[int]:
        return [call(stage, "GET", "/docs", of=forwarded.format(n)).status_code for n in range(6)]

    try:
        assert statuses(plain, "198.51.100.{}") == [200] * 5 + [429]
        assert statuses(behind, "198.51.100.{}, 203.0.113.5") == [200] * 5 + [429]
        assert statuses(behind, "198.51.100.{}") == [200] * 6
        assert statuses(behind, "2001:db8:1:2::{}") == [200] * 5 + [429]
        assert statuses(behind, "junk {}\x1b[31m") == [200] * 5 + [429]
    finally:
        close_stage(plain)
        close_stage(behind)


def test_many_readiness_requests_hold_one_thread() -> None:
    """While Redis hangs a look takes seconds; a crowd that asks must not leave the door without threads."""
    looked, hang = [], threading.Event()

    def slow() -> int:
        looked.append(1)
        if len(looked) > 1:
            hang.wait(10)
        return len(looked)

    look: Look[int] = Look()
    assert look.get(slow) == 1
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(look.get, slow)
        while len(looked) < 2:
            pass
        assert [look.get(slow) for _ in range(100)] == [1] * 100
        hang.set()
        assert first.result() == 2


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=200), st.integers(1, 100))
def test_bucket_gives_no_more_than_its_rate(steps: list[tuple[float, bool]], per_minute: int) -> None:
    """A minute's worth and what has flowed in since; `wait` says truly when the next one comes."""
    now = 0.0
    buckets = Buckets(per_minute, lambda: now)
    given_out = 0
    for pause, waits in steps:
        now += pause
        wait = buckets.wait("a")
        if waits:
            now += wait
            assert buckets.wait("a") < 1e-6
        given_out += buckets.take("a") == 0.0
        assert buckets.take("b-other") >= 0.0
        assert given_out <= per_minute + now * per_minute / 60 + 1e-3


def test_buckets_stay_few_when_subjects_are_many() -> None:
    """Memory is bounded, whoever comes from how many addresses."""
    now = 0.0
    buckets = Buckets(60, lambda: now)
    for number in range(3 * MOST_SUBJECTS):
        now += 0.0001
        assert buckets.take(str(number)) == 0.0
    assert len(buckets._full_at) <= MOST_SUBJECTS


def test_bucket_without_a_limit_never_waits() -> None:
    """0 in the settings."""
    buckets = Buckets(0)

    assert {buckets.take("a") for _ in range(1000)} == {0.0}
