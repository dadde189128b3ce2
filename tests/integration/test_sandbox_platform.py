"""The sandbox's platform: takes what is signed, counts what is not, and shows what came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from deploy.sandbox import PlatformConfig
from deploy.sandbox.platform import Platform


@pytest.fixture
def service() -> Iterator[Platform]:
    """A platform of its own for each test."""
    started = Platform(PlatformConfig())
    started.start()
    yield started
    started.stop()


def send(url: str, secret: str, message_id: str, body: Any) -> int:
    """One signed delivery; its status."""
    now = datetime.now(UTC)
    raw = json.dumps(body)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, raw),
    }
    return requests.post(url, data=raw, headers=headers, timeout=10).status_code


def box(service: Platform, page: str) -> Any:
    """One mailbox as it is shown."""
    return requests.get(f"{service.url}/{page}", timeout=10).json()


def test_writeback_is_kept_once_and_counted(service: Platform) -> None:
    """A repeat of an id is a duplicate; the filter finds one incident."""
    secret = service.config.writeback_secret
    for message_id, reference in (("m1", "i-1"), ("m1", "i-1"), ("m2", "i-2")):
        assert send(service.writeback_url, secret, message_id, {"incident_ref": reference}) == 200
    shown = box(service, "_writebacks")
    assert [item["deliveries"] for item in shown["items"]] == [2, 1]
    assert (shown["rejected"], shown["duplicates"]) == (0, 1)
    (item,) = box(service, "_writebacks?incident_ref=i-2")["items"]
    assert (item["id"], item["body"], item["headers"]["webhook-id"]) == ("m2", {"incident_ref": "i-2"}, "m2")


def test_escalation_has_a_secret_of_its_own(service: Platform) -> None:
    """The write-back secret does not open it; a bundle is found by a reference inside."""
    assert send(service.escalation_url, service.config.writeback_secret, "e1", {}) == 401
    bundle = {"notices": [{"incident_ref": "i-1"}, {"incident_ref": "i-2"}]}
    assert send(service.escalation_url, service.config.escalation_secret, "e2", bundle) == 200
    shown = box(service, "_escalations?incident_ref=i-2")
    assert (len(shown["items"]), shown["rejected"]) == (1, 1)


@pytest.mark.parametrize("signature", ["", "v1", "v1,!!", "v1,AAAA", "v1a,AAAA v1,AAAA"])
def test_junk_signature_is_a_401(service: Platform, signature: str) -> None:
    """Whatever the library raises, the answer is 401 and the refusal is counted."""
    now = str(int(datetime.now(UTC).timestamp()))
    headers = {"webhook-id": "m", "webhook-timestamp": now, "webhook-signature": signature}
    answer = requests.post(service.writeback_url, data=b"\xff", headers=headers, timeout=10)
    assert answer.status_code == 401
    assert box(service, "_writebacks")["rejected"] == 1


def test_platform_fails_on_command(service: Platform) -> None:
    """The same faults as at the providers."""
    rule = {"path": "/writebacks", "status": 503, "times": 1}
    requests.post(f"{service.url}/_control", json={"fail": [rule]}, timeout=10)
    secret = service.config.writeback_secret
    assert [send(service.writeback_url, secret, "m", {}) for _ in range(2)] == [503, 200]
