"""The sandbox's misbehaviour, as a client of `requests` meets it, and its control surface."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.sandbox import NoonlightConfig
from deploy.sandbox.noonlight import Noonlight

CREATE = "/dispatch/v1/alarms"
ADDRESS = {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101"}
ALARM = {"name": "John Smith", "phone": "15554440003", "location": {"address": ADDRESS}}
BEARER = {"Authorization": "Bearer t"}


@pytest.fixture
def service() -> Iterator[Noonlight]:
    """A Noonlight of its own for each test."""
    started = Noonlight(NoonlightConfig(token="t"))
    started.start()
    yield started
    started.stop()


def create(service: Noonlight, timeout: float = 10) -> requests.Response:
    """One create."""
    return requests.post(service.url + CREATE, json=ALARM, headers=BEARER, timeout=timeout)


def control(service: Noonlight, **settings: Any) -> requests.Response:
    """Set controls."""
    return requests.post(f"{service.url}/_control", json=settings, timeout=10)


def read(service: Noonlight, page: str) -> Any:
    """One page of the control surface."""
    return requests.get(f"{service.url}/{page}", timeout=10).json()


def alarms(service: Noonlight) -> int:
    """How many alarms exist."""
    return len(read(service, "_state")["alarms"])


def test_fail_answers_as_told_for_its_times(service: Noonlight) -> None:
    """Status, headers and body; no work is done; then all is well."""
    rule = {"path": CREATE, "status": 429, "headers": {"Retry-After": "7"}, "body": {"code": 429}, "times": 1}
    control(service, fail=[rule])
    failed = create(service)
    assert (failed.status_code, failed.headers["Retry-After"], failed.json()) == (429, "7", {"code": 429})
    assert alarms(service) == 0
    assert create(service).status_code == 201


def test_fail_with_a_bare_gateway_page(service: Noonlight) -> None:
    """A string goes out as it is."""
    control(service, fail=[{"path": "*", "status": 502, "body": "<h1>Bad Gateway</h1>", "times": 1}])
    failed = create(service)
    assert (failed.status_code, failed.text) == (502, "<h1>Bad Gateway</h1>")
    assert failed.headers["Content-Type"].startswith("text/html")


def test_drop_answer_does_the_work_and_closes(service: Noonlight) -> None:
    """The client reads an end; the alarm exists; the journal has no status."""
    control(service, drop_answer=[{"path": CREATE, "times": 1}])
    with pytest.raises(requests.ConnectionError):
        create(service)
    assert alarms(service) == 1
    (entry,) = read(service, "_log")
    assert (entry["status"], entry["faults"]) == (None, ["drop_answer"])


@pytest.mark.parametrize(("work", "during", "after"), [("before", 1, 1), ("after", 0, 1), ("never", 0, 0)])
def test_hang_works_when_told(service: Noonlight, work: str, during: int, after: int) -> None:
    """Before the wait, after it (also when the peer has gone), or never."""
    control(service, hang=[{"path": CREATE, "seconds": 0.6, "times": 1, "work": work}])
    with pytest.raises(requests.Timeout):
        create(service, timeout=0.2)
    assert alarms(service) == during
    end = time.monotonic() + 10
    while read(service, "_log")[0]["duration"] is None:
        assert time.monotonic() < end
    assert alarms(service) == after


def test_hang_answers_a_patient_peer(service: Noonlight) -> None:
    """The default does the work after the wait and answers."""
    control(service, hang=[{"path": CREATE, "seconds": 0.2, "times": 1}])
    began = time.monotonic()
    assert create(service).status_code == 201
    assert time.monotonic() - began >= 0.2


def test_drip_sends_a_byte_at_a_time(service: Noonlight) -> None:
    """Each byte resets a read timeout, so that only a deadline for the whole helps."""
    control(service, drip=[{"path": CREATE, "seconds": 0.002, "times": 1}])
    began = time.monotonic()
    assert create(service, timeout=0.5).status_code == 201
    assert time.monotonic() - began > 0.5


def test_truncate_promises_more_than_it_sends(service: Noonlight) -> None:
    """The body ends before its Content-Length."""
    control(service, truncate=[{"path": CREATE, "times": 1}])
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        create(service)
    assert alarms(service) == 1


def test_latency_delays_every_answer(service: Noonlight) -> None:
    """`latency_ms` counts for each request, and not for the control surface."""
    control(service, latency_ms=150)
    began = time.monotonic()
    create(service)
    assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize(
    "settings",
    [{"fial": []}, {"fail": [{"path": "/x"}]}, {"webhooks": "sometimes"}, {"latency_ms": "1"}, {"cancel_echo": 1}],
)
def test_control_is_refused_when_misspelt(service: Noonlight, settings: dict[str, Any]) -> None:
    """A test that asks for a fault that does not exist should fail."""
    assert control(service, **settings).status_code == 400


def test_log_shows_requests_without_the_token(service: Noonlight) -> None:
    """Method, raw path, body and time of each, in order of arrival."""
    create(service)
    requests.get(f"{service.url}/dispatch/v1/alarms/a%2Fb/status", headers=BEARER, timeout=10)
    first, second = read(service, "_log")
    assert (first["method"], first["path"], first["status"]) == ("POST", CREATE, 201)
    assert json.loads(first["body"]) == ALARM
    assert "authorization" not in first["headers"]
    assert second["path"] == "/dispatch/v1/alarms/a%2Fb/status"
    assert len(read(service, f"_log?path={CREATE}")) == 1


def test_reset_clears_state_controls_and_hanging_requests(service: Noonlight) -> None:
    """A request that hangs is dropped, undone."""
    create(service)
    control(service, hang=[{"path": CREATE, "seconds": 60}])
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(create, service)
        while len(read(service, "_log")) < 2:
            pass
        assert requests.post(f"{service.url}/_reset", timeout=10).status_code == 200
        with pytest.raises(requests.ConnectionError):
            hanging.result(timeout=10)
    assert (alarms(service), read(service, "_log")) == (0, [])
    assert create(service).status_code == 201


def test_thousand_creates_from_eight_connections(service: Noonlight) -> None:
    """Each is answered, and each is one alarm."""
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=8))
    with session, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(session.post, service.url + CREATE, json=ALARM, headers=BEARER) for _ in range(1000)]
        assert {call.result().status_code for call in calls} == {201}
    assert alarms(service) == 1000


def test_program_prints_its_urls_and_ends_on_a_signal(tmp_path: Path) -> None:
    """`python -m deploy.sandbox` with a config file; no secret is printed."""
    config = tmp_path / "sandbox.json"
    config.write_text(json.dumps({"noonlight": {"token": "very-secret"}}))
    command = [sys.executable, "-m", "deploy.sandbox", "--config", str(config), "--aura-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        for url in json.loads(line).values():
            assert requests.get(f"{url}/healthz", timeout=10).json() == {"status": "ok"}
        process.terminate()
        assert process.wait(10) == 0
    assert "very-secret" not in line
