"""Create, cancel and read at every provider, through all that can go wrong on the way."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest

from shared.domain.lifecycle import Status
from shared.domain.outcome import Accepted, Permanent, Temporary, Unknown
from shared.providers.base import ReadFailed
from tests.contract.rig import MemoryTokens, Rig
from tests.raw_server import RawServer, silent


class LeaseLost(Exception):
    """What the engine raises when it may no longer send."""


def test_create_is_accepted_when_all_is_well(rig: Rig) -> None:
    """With the provider's id, and `before_send` just once."""
    told: list[int] = []
    outcome = rig.create(before_send=lambda: told.append(1))
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id == str(rig.alarms()[0]["id"])
    assert (outcome.http_status, told) == (201, [1])


def test_create_is_unknown_when_the_answer_is_dropped(rig: Rig) -> None:
    """The alarm exists and we cannot know it."""
    rig.misbehave("drop_answer", times=1)
    assert isinstance(rig.create(), Unknown)
    assert len(rig.alarms()) == 1


def test_create_is_unknown_when_the_answer_is_cut(rig: Rig) -> None:
    """A 201 without its id is not an acceptance that can be followed."""
    rig.misbehave("truncate", times=1)
    outcome = rig.create()
    assert isinstance(outcome, Unknown)
    assert outcome.http_status == 201


@pytest.mark.parametrize(("fault", "rule"), [("hang", {"seconds": 3}), ("drip", {"seconds": 0.05})])
def test_create_is_unknown_at_the_deadline_when_the_answer_is_slow(
    rig: Rig, fault: str, rule: dict[str, float]
) -> None:
    """Neither silence nor a drip outlasts the deadline."""
    rig.created()
    rig.misbehave(fault, times=1, **rule)
    began = time.monotonic()
    outcome = rig.create(1.0)
    assert isinstance(outcome, Unknown)
    assert 0.8 < time.monotonic() - began < 1.5


@pytest.mark.parametrize("status", [500, 502, 503])
def test_create_is_unknown_when_a_gateway_fails(rig: Rig, status: int) -> None:
    """Behind a bare 5xx the alarm may have been created."""
    rig.misbehave("fail", status=status, body="<html>bad gateway</html>", times=1)
    assert isinstance(rig.create(), Unknown)


def test_create_is_temporary_when_the_connection_is_refused(rig: Rig) -> None:
    """Nothing was sent, so it can be repeated at once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcome = rig.elsewhere(f"http://127.0.0.1:{port}").create()
    assert isinstance(outcome, Temporary)
    assert outcome.reason.endswith("connection refused")


def test_nothing_arrives_when_before_send_raises(rig: Rig) -> None:
    """The fence holds at the last moment, and its own exception travels out."""

    def forbid() -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        rig.create(before_send=forbid)
    assert rig.log() == []


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("3600", 3600.0), ("soon", None)])
def test_create_is_temporary_when_the_provider_is_busy(rig: Rig, header: str, seconds: float | None) -> None:
    """`Retry-After` is read; who calls caps it."""
    rig.misbehave("fail", status=429, headers={"Retry-After": header}, body="", times=1)
    outcome = rig.create()
    assert isinstance(outcome, Temporary)
    assert (outcome.retry_after, outcome.http_status) == (seconds, 429)


def test_create_is_temporary_when_the_credentials_are_refused(rig: Rig) -> None:
    """A person must mend them; the alarm goes on being tried."""
    wrong = dict.fromkeys(rig.account.credentials, "wrong")
    stranger = replace(rig, account=replace(rig.account, credentials=wrong), tokens=MemoryTokens())
    outcome = stranger.create()
    assert isinstance(outcome, Temporary)
    assert outcome.reason == "credentials refused"
    assert rig.alarms() == []


def test_create_is_permanent_when_the_provider_redirects(rig: Rig) -> None:
    """A token must not follow to another host."""
    rig.misbehave("fail", status=302, headers={"Location": "http://127.0.0.1:1/"}, body="", times=1)
    assert isinstance(rig.create(), Permanent)


def test_read_tells_that_the_alarm_is_active(rig: Rig) -> None:
    """Right after its creation."""
    alarm = rig.created()
    reading = rig.provider.dispatch.read(rig.call(), rig.account, alarm)
    assert (reading.provider_alarm_id, reading.status, reading.active) == (alarm, Status.REQUESTED, True)
    assert not reading.completed
    assert not reading.test


def test_cancel_twice_is_accepted(rig: Rig) -> None:
    """The second one finds it done, and a read says so too."""
    alarm = rig.created()
    for _ in range(2):
        outcome = rig.provider.dispatch.cancel(rig.call(), rig.account, alarm, "1234")
    assert isinstance(outcome, Accepted)
    assert outcome.settled
    reading = rig.provider.dispatch.read(rig.call(), rig.account, alarm)
    assert (reading.status, reading.active) == (Status.CANCELLED, False)


def test_cancel_is_temporary_when_its_answer_is_dropped(rig: Rig) -> None:
    """Repeating it is safe; the repeat is accepted."""
    alarm = rig.created()
    rig.control(drop_answer=[{"path": f"*/{alarm}/*", "times": 1}])
    outcomes = [rig.provider.dispatch.cancel(rig.call(), rig.account, alarm, "1234") for _ in range(2)]
    assert isinstance(outcomes[0], Temporary)
    assert isinstance(outcomes[1], Accepted)


@pytest.mark.parametrize("alarm", ["999999", "../x", "a/b?c"])
def test_cancel_is_permanent_when_the_alarm_is_unknown(rig: Rig, alarm: str) -> None:
    """Refused, not retried; an odd id stays one part of the path."""
    assert isinstance(rig.provider.dispatch.cancel(rig.call(), rig.account, alarm, "1234"), Permanent)


def test_read_fails_for_good_when_the_alarm_is_unknown(rig: Rig) -> None:
    """A 404 is no reason to ask again."""
    with pytest.raises(ReadFailed) as caught:
        rig.provider.dispatch.read(rig.call(), rig.account, "999999")
    assert isinstance(caught.value.outcome, Permanent)


def test_read_is_worth_another_try_when_the_provider_hangs(rig: Rig) -> None:
    """A read that was lost changed nothing."""
    with RawServer(silent) as server:
        away = rig.elsewhere(f"http://127.0.0.1:{server.port}")
        with pytest.raises(ReadFailed) as caught:
            rig.provider.dispatch.read(away.call(0.5), away.account, "1")
    assert isinstance(caught.value.outcome, Temporary)


def test_reasons_quote_nothing_of_ours_when_a_create_is_refused(rig: Rig) -> None:
    """A provider's message may repeat what was sent; a timeline must not."""
    ours = "John Smith at 123 Some Street, 15554440003, PIN 1234, site /%#ü 1: \x00no"
    body = {"code": 400, "key": "invalid_payload", "message": ours, "details": ours}
    rig.misbehave("fail", status=400, body=body, times=1)
    outcome = rig.create()
    assert isinstance(outcome, Permanent)
    sent = ("/%#ü",) if rig.provider.needs_site else ("John", "Some Street", "1234")
    personal = (*sent, "4440003", "\x00")
    assert not [word for word in personal if word in outcome.reason]
