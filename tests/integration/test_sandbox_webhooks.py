"""The sandbox's webhooks at a real receiver: signatures, retries, modes and the dispatcher's script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from deploy.sandbox import Sandbox
from deploy.sandbox.noonlight import sign

ADDRESS = {"line1": "123 Some Street", "city": "St. Louis", "state": "MO", "zip": "63101"}
ALARM = {"name": "John Smith", "phone": "15554440003", "location": {"address": ADDRESS}}
SITE = {"externalReferenceId": "S", "locationIdentifier": "S", "latitude": "-26.1", "longitude": "28.05"}


class Receiver:
    """A hook that records what it gets; the first `refuse` deliveries are answered 503."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.refuse = 0
        self.arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.arrived:
                    receiver.got.append((dict(self.headers), body))
                    receiver.arrived.notify_all()
                    status = 503 if len(receiver.got) <= receiver.refuse else 202
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def wait_for(self, count: int) -> list[Any]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, timeout=10), self.got
            return [json.loads(body) for _, body in self.got]

    def noonlight_types(self, count: int) -> list[str]:
        return [event["event_type"] for batch in self.wait_for(count) for event in batch]


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A receiver of its own for each test."""
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def sandbox(hook: Receiver) -> Iterator[Sandbox]:
    """All three services, with both providers' webhooks going to the receiver."""
    config = {
        "noonlight": {"token": "t", "webhook_url": hook.url, "webhook_secret": "s", "webhook_backoff_s": 0.05},
        "aura": {"client_secret": "c", "webhook_url": hook.url, "webhook_secret": "h"},
    }
    with Sandbox(config) as started:
        yield started


def post(url: str, body: Any, token: str = "t") -> Any:
    """The parsed answer to one POST."""
    answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.ok, answer.text
    return answer.json()


def new_alarm(sandbox: Sandbox, **changes: Any) -> str:
    """The id of a new alarm at Noonlight."""
    created = post(f"{sandbox.noonlight.url}/dispatch/v1/alarms", {**ALARM, **changes})
    return str(created["id"])


def step(sandbox: Sandbox, alarm: str, *events: str) -> None:
    """Advance an alarm at Noonlight."""
    for event in events:
        post(f"{sandbox.noonlight.url}/_step", {"id": alarm, "event": event})


def control(sandbox: Sandbox, **settings: Any) -> None:
    """The same control at both providers."""
    for service in (sandbox.noonlight, sandbox.aura):
        post(f"{service.url}/_control", settings)


def aura_token(sandbox: Sandbox) -> str:
    """A token, and the site that callouts need."""
    body = {"clientId": "sandbox-client", "clientSecret": "c"}
    token: str = post(f"{sandbox.aura.url}/panic-api/v2/oauth/token", body)["accessToken"]
    post(f"{sandbox.aura.url}/panic-api/v2/predefinedLocations", SITE, token)
    return token


def new_callout(sandbox: Sandbox, token: str) -> int:
    """The id of a new callout at AURA."""
    url = f"{sandbox.aura.url}/panic-api/v2/predefinedLocations/externalRef/S/callouts"
    created: int = post(url, {}, token)["callout"]["id"]
    return created


def test_noonlight_webhook_is_a_signed_array(sandbox: Sandbox, hook: Receiver) -> None:
    """The signature is over the raw bytes; the alarm's id is inside meta."""
    alarm = new_alarm(sandbox)
    step(sandbox, alarm, "alarm.psap_contacted", "alarm.status.canceled")
    first, second = hook.wait_for(2)
    headers, raw = hook.got[0]
    assert headers["X-Noonlight-Signature"] == sign("s", raw)
    assert set(first[0]) == {"event_id", "event_type", "event_time", "meta"}
    assert first[0]["meta"] == {"alarm_id": alarm}
    assert second[0]["meta"]["canceled_by"] == {"phone": "15554440003"}


def test_webhook_is_retried_until_2xx(sandbox: Sandbox, hook: Receiver) -> None:
    """The same bytes come again after each failure, and no more after the 2xx."""
    hook.refuse = 2
    step(sandbox, new_alarm(sandbox), "alarm.closed")
    hook.wait_for(3)
    assert len({raw for _, raw in hook.got}) == 1
    until(lambda: webhooks(sandbox)[0]["state"] == "delivered")
    assert webhooks(sandbox)[0]["answers"] == [503, 503, 202]


def webhooks(sandbox: Sandbox) -> Any:
    """Noonlight's deliveries as its state shows them."""
    return requests.get(f"{sandbox.noonlight.url}/_state", timeout=10).json()["webhooks"]


def until(condition: Callable[[], bool]) -> None:
    """Poll a condition for up to ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_aura_webhooks_carry_the_registered_header(sandbox: Sandbox, hook: Receiver) -> None:
    """Creation, a responder with its ETA, a note and a cancel, in this order."""
    token = aura_token(sandbox)
    callout = new_callout(sandbox, token)
    event = {"id": callout, "event": "RESPONDER_ACKNOWLEDGED_CALLOUT", "eta": 300}
    post(f"{sandbox.aura.url}/_step", event)
    note = {"source": "customer", "event": "hello"}
    post(f"{sandbox.aura.url}/panic-api/v2/callouts/{callout}/events", note, token)
    post(f"{sandbox.aura.url}/panic-api/v2/callouts/{callout}/cancel", {}, token)
    new, acknowledged, changed, cancelled = hook.wait_for(4)
    assert hook.got[0][0]["Authorization"] == "Bearer h"
    assert (new["message"], new["callout"]["id"]) == ("NEW_CALLOUT", callout)
    assert acknowledged["callout"]["incidentInformation"][0]["etaSeconds"] == 300
    assert changed == {"message": "CALLOUT_EVENTS_CHANGED", "callout": {"id": callout}}
    assert cancelled["message"] == "CALLOUT_NO_LONGER_REQUIRES_RESPONSE"


def test_aura_registration_replaces_the_one_before(sandbox: Sandbox, hook: Receiver) -> None:
    """Only registered events come, with the new headers; the old name of an acknowledge still works."""
    token = aura_token(sandbox)
    events = ["RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA"]
    registration = {"url": f"{hook.url}/new", "events": events, "headers": {"X-Key": "k"}}
    post(f"{sandbox.aura.url}/panic-api/v2/notifiers/webhooks", registration, token)
    callout = new_callout(sandbox, token)
    post(f"{sandbox.aura.url}/_step", {"id": callout, "event": "RESPONDER_ACKNOWLEDGED_CALLOUT"})
    (only,) = hook.wait_for(1)
    assert only["message"] == "RESPONDER_ACKNOWLEDGED_CALLOUT_WITH_ETA"
    assert hook.got[0][0]["X-Key"] == "k"


def test_early_webhook_comes_before_the_answer(sandbox: Sandbox, hook: Receiver) -> None:
    """When the create is answered, its first webhook has been taken already."""
    control(sandbox, webhooks="early")
    alarm = new_alarm(sandbox)
    assert hook.got
    assert hook.wait_for(1)[0][0]["meta"]["alarm_id"] == alarm
    callout = new_callout(sandbox, aura_token(sandbox))
    assert len(hook.got) == 2
    assert hook.wait_for(2)[1]["callout"]["id"] == callout


def test_early_create_is_answered_when_the_hook_refuses(sandbox: Sandbox, hook: Receiver) -> None:
    """The answer waits two seconds at most."""
    control(sandbox, webhooks="early")
    hook.refuse = 10_000
    began = time.monotonic()
    new_alarm(sandbox)
    assert 1.9 < time.monotonic() - began < 4


def test_duplicate_sends_each_twice(sandbox: Sandbox, hook: Receiver) -> None:
    """Two deliveries of equal bytes."""
    control(sandbox, webhooks="duplicate")
    step(sandbox, new_alarm(sandbox), "alarm.closed")
    hook.wait_for(2)
    assert hook.got[0][1] == hook.got[1][1]


def test_reorder_changes_the_order(sandbox: Sandbox, hook: Receiver) -> None:
    """What came within the window leaves in another order, and complete."""
    control(sandbox, webhooks="reorder", delay_s=0.2)
    events = ["alarm.psap_contacted", "alarm.closed"]
    step(sandbox, new_alarm(sandbox), *events)
    got = hook.noonlight_types(2)
    assert got != events
    assert sorted(got) == sorted(events)


def test_off_changes_state_without_a_webhook(sandbox: Sandbox, hook: Receiver) -> None:
    """As AURA's staging simulator does; what was kept back is in the state."""
    control(sandbox, webhooks="off")
    alarm = new_alarm(sandbox)
    step(sandbox, alarm, "alarm.closed")
    control(sandbox, webhooks="normal")
    step(sandbox, alarm, "alarm.psap_contacted")
    assert hook.noonlight_types(1) == ["alarm.psap_contacted"]
    assert webhooks(sandbox)[0]["state"] == "off"


def test_delay_holds_each_webhook_back(sandbox: Sandbox, hook: Receiver) -> None:
    """`delay_s` seconds between the event and its delivery."""
    control(sandbox, webhooks="delay", delay_s=0.3)
    began = time.monotonic()
    step(sandbox, new_alarm(sandbox), "alarm.closed")
    hook.wait_for(1)
    assert time.monotonic() - began >= 0.3


def test_script_plays_every_new_alarm_that_matches(sandbox: Sandbox, hook: Receiver) -> None:
    """The dispatcher's steps come by themselves, in order; another alarm is left alone."""
    steps = [{"after_s": 0.05, "event": "alarm.psap_contacted"}] * 2 + [{"after_s": 0.05, "event": "alarm.closed"}]
    post(f"{sandbox.noonlight.url}/_script", {"match": {"name": "John*"}, "steps": steps})
    new_alarm(sandbox, name="Someone Else")
    new_alarm(sandbox)
    assert hook.noonlight_types(3) == ["alarm.psap_contacted", "alarm.psap_contacted", "alarm.closed"]


def test_script_ends_with_a_cancel(sandbox: Sandbox, hook: Receiver) -> None:
    """At AURA only the close still comes."""
    token = aura_token(sandbox)
    steps = [
        {"after_s": 0.3, "event": "RESPONDER_MANUALLY_DISPATCHED"},
        {"after_s": 0.05, "event": "CALLOUT_CLOSED"},
    ]
    post(f"{sandbox.aura.url}/_script", {"steps": steps})
    callout = new_callout(sandbox, token)
    post(f"{sandbox.aura.url}/panic-api/v2/callouts/{callout}/cancel", {}, token)
    got = [body["message"] for body in hook.wait_for(3)]
    assert got == ["NEW_CALLOUT", "CALLOUT_NO_LONGER_REQUIRES_RESPONSE", "CALLOUT_CLOSED"]


def test_verification_result_is_a_single_object(sandbox: Sandbox, hook: Receiver) -> None:
    """A task's webhook is no array, and is signed the same."""
    image = {"url": "https://example.org/a.jpg", "media_type": "image/jpeg"}
    task = {"id": "v", "prompt": "A person?", "expiration": {"timeout": 30}, "attachments": [image]}
    post(f"{sandbox.noonlight.url}/tasks/v1/verifications", task)
    post(f"{sandbox.noonlight.url}/_step", {"id": "v", "event": "yes"})
    assert hook.wait_for(1) == [{"id": "v", "conclusive": True, "result": "yes"}]
    assert hook.got[0][0]["X-Noonlight-Signature"] == sign("s", hook.got[0][1])
