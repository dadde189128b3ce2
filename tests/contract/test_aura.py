"""What only AURA does, at its sandbox: tokens, the directory of sites, the look-up, notes, conflicts."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from shared.clock import utc_now
from shared.domain.alarm import Site
from shared.domain.lifecycle import Status
from shared.domain.outcome import Accepted, Outcome, Permanent, Temporary, Unknown
from shared.providers.base import Listing, ReadFailed, Reading
from tests.contract.rig import SITE, Rig

TOKEN = "/panic-api/v2/oauth/token"
SITES = "/panic-api/v2/predefinedLocations"
ACTIVE = "/panic-api/v2/callouts/activeCallouts"
NEWEST_CLOSED = [{"status": "closed", "updatedAt": "2"}, {"status": "created", "updatedAt": "1"}]


def fail(rig: Rig, path: str, status: int, body: Any = "", times: int = 1, **more: Any) -> None:
    """Let one path answer like this."""
    rig.control(fail=[{"path": path, "status": status, "body": body, "times": times, **more}])


def put(rig: Rig, site: Site, *, look_first: bool = False) -> Outcome:
    """Store a site."""
    assert rig.provider.sites is not None
    return rig.provider.sites.put_site(rig.call(), rig.account, site, look_first=look_first)


def locations(rig: Rig) -> list[dict[str, Any]]:
    """The sandbox's directory."""
    found: list[dict[str, Any]] = requests.get(f"{rig.service.url}/_state", timeout=5).json()["locations"]
    return found


def active(rig: Rig) -> Listing:
    """The active callouts."""
    assert rig.provider.lookup is not None
    return rig.provider.lookup.active(rig.call(), rig.account)


def read(rig: Rig, alarm: str) -> Reading:
    """One callout."""
    return rig.provider.dispatch.read(rig.call(), rig.account, alarm)


def note(rig: Rig, alarm: str, text: str) -> Outcome:
    """Send a note, part by part; the outcome is the last part's."""
    assert rig.provider.notes is not None
    parts = rig.provider.notes.parts(rig.account, text)
    return [rig.provider.notes.send_note(rig.call(), rig.account, alarm, part) for part in parts][-1]


def notes(rig: Rig, alarm: str) -> list[dict[str, Any]]:
    """The bodies of the notes that arrived."""
    return [json.loads(entry["body"]) for entry in rig.log(f"/panic-api/v2/callouts/{alarm}/events")]


# Tokens.


@pytest.mark.parametrize("spelling", ["camel", "snake"])
def test_token_is_fetched_once_for_many_calls(aura: Rig, spelling: str) -> None:
    """Both spellings of the answer."""
    aura.tokens.kept.clear()
    aura.control(token_spelling=spelling)
    before = len(aura.log(TOKEN))
    for _ in range(3):
        aura.created()
    assert len(aura.log(TOKEN)) == before + 1


def test_token_is_fetched_once_when_many_ask_at_once(aura: Rig) -> None:
    """The others wait for the one refresh."""
    aura.tokens.kept.clear()
    aura.control(latency_ms=100)
    before = len(aura.log(TOKEN))
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: aura.create(), range(8)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(aura.log(TOKEN)) == before + 1


def test_create_is_temporary_when_the_token_outlasts_the_deadline(aura: Rig) -> None:
    """The token counts within the call's one deadline, also for who waits for another's refresh."""
    aura.tokens.kept.clear()
    aura.control(hang=[{"path": TOKEN, "seconds": 3}])
    with ThreadPoolExecutor(2) as pool:
        began = time.monotonic()
        outcomes = list(pool.map(lambda _: aura.create(0.7), range(2)))
    assert all(isinstance(outcome, Temporary) for outcome in outcomes)
    assert time.monotonic() - began < 1.5
    assert aura.log() == []


def test_token_is_renewed_when_it_expired_early(aura: Rig) -> None:
    """A 401 drops it and repeats the call, once: one callout."""
    aura.control(expire_token=True)
    told: list[int] = []
    assert isinstance(aura.create(before_send=lambda: told.append(1)), Accepted)
    assert [entry["status"] for entry in aura.log()] == [401, 201]
    assert (len(aura.alarms()), told) == (1, [1, 1])


def test_create_is_temporary_when_the_new_token_is_refused_too(aura: Rig) -> None:
    """Two 401s end the call."""
    fail(aura, aura.create_path, 401, times=2)
    outcome = aura.create()
    assert isinstance(outcome, Temporary)
    assert outcome.http_status == 401
    assert len(aura.log()) == 2


@pytest.mark.parametrize(
    ("fault", "rule"), [("fail", {"status": 502, "body": ""}), ("drop_answer", {}), ("truncate", {})]
)
def test_create_is_temporary_when_the_token_call_fails(aura: Rig, fault: str, rule: dict[str, Any]) -> None:
    """The create itself was not sent."""
    aura.tokens.kept.clear()
    aura.control(**{fault: [{"path": TOKEN, "times": 1, **rule}]})
    assert isinstance(aura.create(), Temporary)
    assert aura.log() == []


# Creating.


def test_create_percent_encodes_the_reference(aura: Rig) -> None:
    """`/ % # space ü` stay inside one part of the path."""
    aura.created()
    assert aura.log()[0]["path"].endswith("/externalRef/site%20%2F%25%23%C3%BC%201/callouts")
    assert json.loads(aura.log()[0]["body"]) == {}


def test_create_takes_a_flat_answer(aura: Rig) -> None:
    """The earlier contract."""
    aura.control(flat_answer=True)
    aura.created()


def test_create_sends_what_the_account_configures(aura: Rig) -> None:
    """And only that."""
    options = {"installer_identifier": "partner", "response_type_id": 1}
    aura.account = replace(aura.account, options=options)
    aura.created()
    assert json.loads(aura.log()[0]["body"]) == {"installerIdentifier": "partner", "responseTypeId": 1}


def test_create_is_permanent_when_the_reference_is_unknown(aura: Rig) -> None:
    """AURA answers 400 with the detail in `message`."""
    aura.request = replace(aura.request, site=replace(SITE, reference="elsewhere"))
    outcome = aura.create()
    assert isinstance(outcome, Permanent)
    assert outcome.reason == "refused (HTTP 400): No predefined location found for externalReferenceId"


@pytest.mark.parametrize("body", [{"callout": {"id": 7}}, {"id": 7}, {"calloutId": 7}])
def test_create_is_accepted_when_a_conflict_names_an_id(aura: Rig, body: dict[str, Any]) -> None:
    """Whether that callout is active is for a read to say."""
    fail(aura, aura.create_path, 409, body)
    assert aura.create() == Accepted("7", http_status=409)


def test_create_is_a_marked_conflict_when_no_id_is_named(aura: Rig) -> None:
    """The caller can tell it from other refusals."""
    fail(aura, aura.create_path, 409, {"message": "duplicate"})
    assert aura.create() == Permanent("conflict (HTTP 409): duplicate", 409)


def test_alarm_is_refused_when_it_has_no_site(aura: Rig) -> None:
    """A person or a position alone."""
    request = replace(aura.request, site=None)
    assert aura.provider.dispatch.check(aura.account, request)
    assert isinstance(aura.provider.dispatch.create(aura.call(), aura.account, request), Permanent)
    assert aura.log() == []


# Reading.


@pytest.mark.parametrize(
    ("event", "status", "alive", "completed"),
    [
        ("RESPONDER_MANUALLY_DISPATCHED", Status.DISPATCHED, True, False),
        ("RESPONDER_ARRIVED_ON_SCENE", Status.ON_SCENE, True, False),
        ("RESPONDER_COMPLETED", Status.COMPLETED, True, True),
        ("CALLOUT_NO_LONGER_REQUIRES_RESPONSE", Status.CANCELLED, False, False),
        ("CALLOUT_CLOSED", Status.CLOSED, False, False),
    ],
)
def test_read_follows_the_callout(aura: Rig, event: str, status: Status, alive: bool, completed: bool) -> None:
    """Words in mixed case, `completed` still active."""
    alarm = aura.created()
    aura.step(alarm, event)
    reading = read(aura, alarm)
    assert (reading.status, reading.active, reading.completed) == (status, alive, completed)
    assert reading.site_provider_id == str(locations(aura)[0]["id"])


def test_read_gives_the_eta_when_its_unit_is_configured(aura: Rig) -> None:
    """And none while nobody knows the unit."""
    alarm = aura.created()
    aura.control(eta_field="eta")
    aura.step(alarm, "RESPONDER_ACKNOWLEDGED_CALLOUT", eta=7)
    assert read(aura, alarm).eta_seconds is None
    aura.account = replace(aura.account, options={"eta_unit": "minutes"})
    assert read(aura, alarm).eta_seconds == 420


@pytest.mark.parametrize(
    ("callout", "status", "alive"),
    [
        ({"status": " responder_ARRIVED "}, Status.ON_SCENE, True),
        ({"status": "Teleported"}, None, False),
        ({}, None, False),
        ({"incidentInformation": NEWEST_CLOSED}, Status.CLOSED, False),
    ],
)
def test_read_understands_odd_views(aura: Rig, callout: dict[str, Any], status: Status | None, alive: bool) -> None:
    """Normalised words; an unknown one says neither a status nor that somebody comes. 285 carries a state."""
    fail(aura, "/panic-api/v2/callouts/7", 285, {"message": "ok", "callout": {"id": 7, **callout}})
    reading = read(aura, "7")
    assert (reading.provider_alarm_id, reading.status, reading.active) == ("7", status, alive)


def test_listing_has_the_site_the_time_and_aura_s_clock(aura: Rig) -> None:
    """All that adoption needs, on a clock that may differ from ours."""
    aura.control(clock_skew_s=7200.0)
    alarm = aura.created()
    listing = active(aura)
    (reading,) = listing.alarms
    assert (listing.complete, reading.provider_alarm_id, reading.active) == (True, alarm, True)
    assert reading.site_provider_id == str(locations(aura)[0]["id"])
    assert listing.provider_time is not None
    assert reading.created_at is not None
    assert abs(listing.provider_time - reading.created_at) < timedelta(seconds=5)
    assert listing.provider_time - utc_now() > timedelta(hours=1)


@pytest.mark.parametrize(
    ("body", "count", "complete"),
    [
        ([], 0, True),
        ({"callouts": [{"id": 1}]}, 1, True),
        ({"data": [{"id": 1}], "next": "p2"}, 1, False),
        ([{"id": 1}, 5], 1, False),
        ([{"id": 1}, {"status": "created"}], 1, False),
    ],
)
def test_listing_tells_when_it_is_not_complete(aura: Rig, body: Any, count: int, complete: bool) -> None:
    """What was not understood was not seen."""
    fail(aura, ACTIVE, 200, body)
    listing = active(aura)
    assert (len(listing.alarms), listing.complete) == (count, complete)


@pytest.mark.parametrize(("status", "body"), [(200, "junk"), (200, {}), (500, ""), (429, "")])
def test_listing_fails_when_it_is_unreadable(aura: Rig, status: int, body: Any) -> None:
    """Never an empty list by mistake."""
    fail(aura, ACTIVE, status, body)
    with pytest.raises(ReadFailed) as caught:
        active(aura)
    assert isinstance(caught.value.outcome, Temporary)


# Cancelling.


def test_cancel_is_not_settled_when_the_answer_does_not_say_so(aura: Rig) -> None:
    """The wish was taken; a webhook or a read confirms it."""
    alarm = aura.created()
    fail(aura, f"/panic-api/v2/callouts/{alarm}/cancel", 200, {"callout": {"id": int(alarm), "status": "created"}})
    outcome = aura.provider.dispatch.cancel(aura.call(), aura.account, alarm, "1234")
    assert outcome == Accepted(alarm, "created", settled=False, http_status=200)


def test_cancel_is_refused_when_the_callout_goes_on(aura: Rig) -> None:
    """A 400, and a read says that it is alive."""
    alarm = aura.created()
    fail(aura, f"/panic-api/v2/callouts/{alarm}/cancel", 400, {"message": "not now"})
    outcome = aura.provider.dispatch.cancel(aura.call(), aura.account, alarm, None)
    assert outcome == Permanent("refused (HTTP 400): not now", 400)


# Notes.


def test_note_is_sent_in_parts_with_mentions_defused(aura: Rig) -> None:
    """At most 1,000 characters each; the id is kept so that the echo is known."""
    alarm = aura.created()
    outcome = note(aura, alarm, "@admin call a@b.example " + "x" * 1500)
    sent = notes(aura, alarm)
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id
    assert [len(part["event"]) for part in sent] == [1000, len("(at) admin call a@b.example ") + 500]
    assert sent[0]["event"].startswith("(at) admin call a@b.example x")
    assert sent[0]["source"] == "customer"


def test_note_is_refused_when_the_answer_says_285(aura: Rig) -> None:
    """The callout is over: nobody reads it."""
    alarm = aura.created()
    fail(aura, f"/panic-api/v2/callouts/{alarm}/events", 285, {"callout": {"id": int(alarm), "status": "closed"}})
    assert note(aura, alarm, "hello") == Permanent("the callout is over", 285)


def test_messages_are_read_with_ours_among_them(aura: Rig) -> None:
    """Oldest first, each with its id; an entry without a text is no message."""
    alarm = aura.created()
    outcome = note(aura, alarm, "Blue gate")
    aura.step(alarm, "CALLOUT_EVENTS_CHANGED", note="Which gate?")
    assert aura.provider.note_stream is not None
    found = aura.provider.note_stream.messages(aura.call(), aura.account, alarm)
    assert isinstance(outcome, Accepted)
    assert [(one.text, one.sender) for one in found] == [("Blue gate", "customer"), ("Which gate?", "controlroom")]
    assert found[0].id == outcome.provider_id


@pytest.mark.parametrize("body", [{"calloutEvents": [{"id": 7, "event": "Hi"}, {"id": 8, "event": {"type": "x"}}, 9]}])
def test_messages_are_read_when_they_are_wrapped(aura: Rig, body: dict[str, Any]) -> None:
    """An object that holds the list, with a plain text in it."""
    alarm = aura.created()
    fail(aura, f"/panic-api/v2/callouts/{alarm}/events", 200, body)
    assert aura.provider.note_stream is not None
    found = aura.provider.note_stream.messages(aura.call(), aura.account, alarm)
    assert [(one.id, one.text, one.at) for one in found] == [("7", "Hi", None)]


def test_cancel_is_done_when_the_answer_says_285(aura: Rig) -> None:
    """The read that follows tells that it is over."""
    alarm = aura.created()
    aura.step(alarm, "CALLOUT_CLOSED")
    fail(aura, f"/panic-api/v2/callouts/{alarm}/cancel", 285, {"callout": {"id": int(alarm), "status": "closed"}})
    outcome = aura.provider.dispatch.cancel(aura.call(), aura.account, alarm, None)
    assert isinstance(outcome, Accepted)
    assert outcome.settled


def test_note_is_in_the_earlier_style_when_configured(aura: Rig) -> None:
    """`message` alone."""
    alarm = aura.created()
    path = f"/panic-api/v2/callouts/{alarm}/events"
    fail(aura, path, 201, {"calloutEvent": {"id": 5}})
    aura.account = replace(aura.account, options={"note_payload": "message"})
    assert note(aura, alarm, "hello") == Accepted("5", http_status=201)
    assert notes(aura, alarm) == [{"message": "hello"}]


@pytest.mark.parametrize(("fault", "rule"), [("fail", {"status": 500, "body": ""}), ("drop_answer", {})])
def test_note_is_unknown_when_its_answer_is_lost(aura: Rig, fault: str, rule: dict[str, Any]) -> None:
    """It may stand there already."""
    alarm = aura.created()
    aura.control(**{fault: [{"path": f"/panic-api/v2/callouts/{alarm}/events", "times": 1, **rule}]})
    assert isinstance(note(aura, alarm, "hello"), Unknown)


def test_note_is_refused_when_the_callout_is_closed(aura: Rig) -> None:
    """The operator reads that it was not delivered."""
    alarm = aura.created()
    aura.step(alarm, "CALLOUT_CLOSED")
    assert isinstance(note(aura, alarm, "hello"), Permanent)


# Sites.


def test_site_is_stored_with_text_coordinates(aura: Rig) -> None:
    """AURA wants strings; notes and gate travel along."""
    site = replace(SITE, reference="s2", notes="dog", gate_instructions="code\n at desk")
    outcome = put(aura, site)
    stored = next(record for record in locations(aura) if record["externalReferenceId"] == "s2")
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id == str(stored["id"])
    assert (stored["latitude"], stored["longitude"]) == ("-26.1000000", "28.0500000")
    assert stored["locationAdditionalInformation"] == "GATE: code at desk | NOTES: dog"
    assert stored["formattedAddress"] == "123 Some Street, St. Louis, MO, 63101-1234"


@pytest.mark.parametrize("look_first", [False, True])
def test_site_is_replaced_when_its_twin_exists(aura: Rig, look_first: bool) -> None:
    """Found by the reference after a 409, or before the create: one record stays."""
    (old,) = locations(aura)
    outcome = put(aura, replace(SITE, name="Renamed"), look_first=look_first)
    (new,) = locations(aura)
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id == str(old["id"])
    assert new["locationDescription"] == "Renamed"


def test_site_is_replaced_by_its_id_when_known(aura: Rig) -> None:
    """No listing is needed."""
    site_id = str(locations(aura)[0]["id"])
    assert isinstance(put(aura, replace(SITE, name="Renamed", provider_site_id=site_id)), Accepted)
    assert [entry["method"] for entry in aura.log(f"{SITES}/{site_id}")] == ["PUT"]


def test_site_is_a_conflict_when_two_records_carry_its_reference(aura: Rig) -> None:
    """Nobody can say to which a responder would be sent."""
    aura.control(allow_duplicate_references=True)
    put(aura, SITE)
    outcome = put(aura, SITE, look_first=True)
    assert outcome == Permanent("conflict: 2 records carry this reference")


def test_site_is_unknown_when_the_answer_of_its_create_is_lost(aura: Rig) -> None:
    """The repeat looks first, and finds it."""
    site = replace(SITE, reference="s2")
    aura.control(drop_answer=[{"path": SITES, "method": "POST", "times": 1}])
    assert isinstance(put(aura, site), Unknown)
    assert isinstance(put(aura, site, look_first=True), Accepted)
    assert len(locations(aura)) == 2


def test_site_is_not_created_when_the_listing_fails(aura: Rig) -> None:
    """Not found in half a list is not absent."""
    fail(aura, SITES, 500, method="GET")
    assert isinstance(put(aura, replace(SITE, reference="s2"), look_first=True), Temporary)
    assert len(locations(aura)) == 1


def test_listing_of_sites_ends_when_a_page_brings_nothing_new(aura: Rig) -> None:
    """A provider that ignores paging answers the same for ever."""
    aura.account = replace(aura.account, options={"paging": "page", "page_size": 1})
    assert isinstance(put(aura, SITE, look_first=True), Accepted)
    listed = [entry["query"] for entry in aura.log(SITES) if entry["method"] == "GET"]
    assert listed == [{"page": "1", "limit": "1"}, {"page": "2", "limit": "1"}]


def test_token_survives_when_the_clock_is_read_as_utc(aura: Rig) -> None:
    """The renewal is a tenth of a short life early, 60 s of a long one."""
    token = aura.tokens.kept["aura"]
    left = token.renew_at - datetime.now(UTC)
    assert timedelta(seconds=3500) < left <= timedelta(seconds=3540)
