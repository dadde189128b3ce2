"""Every operation of the door, taken from its own table: who may, who may not, and for whom a row does not exist."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from shared.store.keys import SCOPES as ALL_SCOPES
from shared.store.keys import create_key, revoke_key
from shared.store.models import Platform
from tests.integration.door_stage import HOME, SCOPES, Reply, Stage, close_stage, open_stage
from tests.security import samples
from webhooks_app.door import KEY_MEMORY_S
from webhooks_app.routes import ROUTES, Route

CLOSED = samples.closed()
each_closed = pytest.mark.parametrize("route", CLOSED, ids=samples.name)
# Nobody is refused for his number here.
UNLIMITED: dict[str, Any] = {
    "key_reads_per_minute": 0, "address_reads_per_minute": 0, "address_failures_per_minute": 0
}  # fmt: skip


@pytest.fixture(scope="module")
def door(database: str, redis_url: str) -> Iterator[Stage]:
    """A door whose platform owns one row of each kind."""
    made = open_stage(database, redis_url, **UNLIMITED)
    made.account("noonlight")
    made.account("aura", site_mode="csv")
    yield made
    close_stage(made)


@pytest.fixture(scope="module")
def own(door: Stage) -> dict[str, str | int]:
    """The rows of the door's platform, by the name of their id in paths."""
    site = {"name": "Home", **HOME["location"], "provider": "noonlight"}
    assert door.put("/v1/sites/house-1", site).status_code == 201
    csv = b"site_ref,name,latitude,longitude\nbulk-1,Bulk,1,2\n"
    taken = door.client.post("/v1/site-imports", data=csv, content_type="text/csv", headers=door.headers())
    alarm = {"incident_ref": "secret-ref", "kind": "burglary", "site_ref": "house-1"}
    incident = door.post("/v1/alarms", alarm).json["incident_id"]
    door.change(
        "INSERT INTO notice (platform_id, subject, incident_id, kind, text, once)"
        " VALUES (:own, 'incident:' || :id, :id, 'failed', 'secret words', false)",
        own=door.platform_id, id=incident,
    )  # fmt: skip
    return {
        "incident_id": incident,
        "notice_id": door.rows("SELECT id FROM notice WHERE incident_id = :id", id=incident)[0].id,
        "run_id": door.post("/v1/site-reconciliations", {}).json["reconciliations"][0]["id"],
        "certificate_id": door.post("/v1/certificates", {"address": HOME["location"]["address"]}).json["id"],
        "import_id": taken.get_json()["id"],
        "site_ref": "house-1",
    }


@pytest.fixture(scope="module")
def neighbour(door: Stage) -> Stage:
    """Another platform at the same door, with a key of every scope and accounts of its own."""
    platform_id = f"p-{uuid4().hex[:8]}"
    with Session(door.engine) as session:
        session.add(Platform(id=platform_id, name="Neighbour"))
        session.flush()
        _, key = create_key(session, platform_id, "test", SCOPES)
        session.commit()
    made = replace(door, platform_id=platform_id, key=key)
    made.account("noonlight")
    made.account("aura")
    return made


def ask(stage: Stage, route: Route, authorization: str | None, **values: str | int) -> Reply:
    """The operation's sample with this header."""
    headers = {} if authorization is None else {"Authorization": authorization}
    address = samples.path(route, **values)
    return Reply.of(stage.client.open(address, method=route.method, headers=headers, **samples.request(route)))


def everything(stage: Stage) -> list[Any]:
    """How many rows each table has, and when a platform or a site was changed last."""
    tables = ("incident", "inbox", "outbox", "site", "notice", "reconciliation_run", "site_import", "audit")
    counts = [stage.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables]
    return [*counts, stage.rows("SELECT id, name, version FROM site ORDER BY id")]


def test_every_route_is_in_the_table(door: Stage) -> None:
    """And says whom it asks for: a route that asks for no key is listed with what protects it instead."""
    served = {(method, rule.rule) for rule in door.app.url_map.iter_rules() for method in rule.methods or ()}

    assert {pair for pair in served if pair[0] != "HEAD"} == {(route.method, route.path) for route in ROUTES}
    assert {(route.method, route.path) for route in ROUTES if not route.scopes} == set(samples.OPEN)
    assert {(route.method, route.path) for route in CLOSED} == set(samples.BODIES)
    assert all(set(route.scopes) <= set(ALL_SCOPES) for route in ROUTES)


@each_closed
def test_nothing_happens_without_a_key(door: Stage, own: dict[str, str | int], route: Route) -> None:
    """401 before anything is read of the request, whatever stands in the header."""
    before = everything(door)
    key = door.key
    junk = ["", "Bearer", "Bearer ", "Bearer ' OR 1=1 --", "Bearer \x00", "Bearer ü", "Bearer " + "x" * 9000]
    near = [f"Bearer {key[:-1]}", f"Bearer {key}x", f"Bearer {key.upper()}", f"Bearer {key} {key}",
            f"Bearer {key}, Bearer {key}", f"Basic {key}", f"Token {key}", key]  # fmt: skip
    for header in [None, *junk, *near]:
        answer = ask(door, route, header, **own)
        assert answer.status_code == 401, header
        assert answer.json["errors"] == []
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert everything(door) == before


@each_closed
def test_key_is_refused_when_its_scope_is_another(door: Stage, own: dict[str, str | int], route: Route) -> None:
    """403 with each single scope that the operation does not name; a panel's key included."""
    before = everything(door)
    for scope in set(ALL_SCOPES) - set(route.scopes):
        key = door.new_key([scope], "house-1" if scope == "panel" else None)
        assert ask(door, route, f"Bearer {key}", **own).status_code == 403, scope
    assert everything(door) == before


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_head_and_options_need_what_get_needs(door: Stage, path: str) -> None:
    """HEAD comes with GET by itself; nothing answers OPTIONS or TRACE, and no method is smuggled in a header."""
    routes = [route for route in ROUTES if route.path == path]
    address = samples.path(routes[0]).replace("<plain:provider_name>", "aura").replace("<plain:secret>", "x")
    methods = {route.method for route in routes}
    if "GET" in methods and routes[0].scopes:
        assert door.client.head(address).status_code == 401
    for method in {"OPTIONS", "TRACE", "CONNECT", "DELETE", "PATCH"} - methods:
        assert door.client.open(address, method=method, headers=door.headers()).status_code in (404, 405)
    override = {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE", "X-Method-Override": "DELETE"}
    if "DELETE" in methods:
        answer = door.client.get(address, headers=door.headers(door.new_key(["incidents"])) | override)
        assert answer.status_code == 403


@pytest.mark.parametrize("route", [route for route in CLOSED if "_id>" in route.path], ids=samples.name)
def test_row_of_another_platform_reads_as_absent(
    door: Stage, own: dict[str, str | int], neighbour: Stage, route: Route
) -> None:
    """The same answer to the byte as for an id that nobody has, and nothing happens to the row."""
    before = everything(door)
    theirs = ask(neighbour, route, f"Bearer {neighbour.key}", **own)
    nobodys = ask(neighbour, route, f"Bearer {neighbour.key}", incident_id="inc_none", certificate_id="crt_none")

    assert theirs.status_code == 404
    assert (theirs.text, _plain(theirs)) == (nobodys.text, _plain(nobodys))
    assert everything(door) == before


def _plain(answer: Reply) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}


def test_lists_hold_own_rows_only(door: Stage, own: dict[str, str | int], neighbour: Stage) -> None:
    """Whatever the filter; every operation that lists is asked."""
    listing = [route for route in CLOSED if route.method == "GET" and ">" not in route.path]
    for route in listing:
        for query in ("", "?site_ref=house-1", "?limit=200"):
            answer = neighbour.get(route.path + query)
            assert answer.status_code in (200, 422)
            for word in ("secret-ref", "secret words", "house-1", "bulk-1", str(own["incident_id"]), door.platform_id):
                assert word not in answer.text, (route.path, word)


def test_site_reference_belongs_to_its_platform(door: Stage, own: dict[str, str | int], neighbour: Stage) -> None:
    """The same reference is another site next door."""
    site = door.get("/v1/sites/house-1").json
    assert neighbour.get("/v1/sites/house-1").status_code == 404
    assert Reply.of(neighbour.client.delete("/v1/sites/house-1", headers=neighbour.headers())).status_code == 404
    body = {"name": "Theirs", **HOME["location"], "provider": "noonlight"}
    assert neighbour.put("/v1/sites/house-1", body).status_code == 201
    assert door.get("/v1/sites/house-1").json == site


def test_account_of_another_platform_reads_as_absent(door: Stage, own: dict[str, str | int], neighbour: Stage) -> None:
    """Wherever a body or a query may name an account."""
    account = door.rows("SELECT id FROM provider_account WHERE platform_id = :p", p=door.platform_id)[0].id

    def tries(name: str) -> list[tuple[int, str]]:
        body = {"name": "x", **HOME["location"], "account": name}
        found = [
            neighbour.put("/v1/sites/house-2", body),
            neighbour.post("/v1/site-reconciliations", {"account": name}),
            neighbour.post("/v1/certificates", {"address": HOME["location"]["address"], "account": name}),
        ]
        csv = neighbour.client.post(
            f"/v1/site-imports?account={name}", data=b"x", content_type="text/csv", headers=neighbour.headers()
        )
        return [(one.status_code, one.text) for one in [*found, Reply.of(csv)]]

    assert tries(account) == tries("nobodys")
    assert {status for status, _ in tries(account)} == {422}


def test_reference_of_an_alarm_belongs_to_its_platform(
    door: Stage, own: dict[str, str | int], neighbour: Stage
) -> None:
    """The neighbour's alarm of the same reference, event and moment is an incident of its own."""
    alarm = {"incident_ref": "shared", "kind": "fire", "event_id": "e", "occurred_at": "2026-01-01T00:00:00Z", **HOME}
    mine = door.post("/v1/alarms", alarm | {"provider": "noonlight"}).json
    theirs = neighbour.post("/v1/alarms", alarm | {"provider": "noonlight"}).json

    assert (mine["repeat"], theirs["repeat"]) == (None, None)
    assert mine["incident_id"] != theirs["incident_id"]


def test_revoked_key_opens_nothing(door: Stage, own: dict[str, str | int]) -> None:
    """Forgotten within the two seconds that are documented, at every operation, though it was in use until then."""
    with Session(door.engine) as session:
        row, key = create_key(session, door.platform_id, "to be revoked", SCOPES)
        session.commit()
        assert door.get("/v1/sites", key).status_code == 200
        revoke_key(session, door.platform_id, row.id)
        session.commit()
    ends = time.monotonic() + KEY_MEMORY_S + 0.5
    while door.get("/v1/sites", key).status_code == 200:
        assert time.monotonic() < ends, "a revoked key is remembered for longer than documented"
        time.sleep(0.05)
    assert {ask(door, route, f"Bearer {key}", **own).status_code for route in CLOSED} == {401}


def test_panel_reaches_its_own_site_only(door: Stage, own: dict[str, str | int]) -> None:
    """The incident next door reads as one that nobody has; its own may be cancelled and added to, and not be read."""
    panel, other = door.new_key(["panel"], "house-1"), door.new_key(["panel"], "house-9")
    acting = [route for route in CLOSED if "panel" in route.scopes and "<" in route.path]
    assert {samples.name(route).rpartition("/")[2] for route in acting} == {"cancel", "events"}

    for route in acting:
        theirs = ask(door, route, f"Bearer {other}", **own)
        nobodys = ask(door, route, f"Bearer {other}", incident_id="inc_none")
        assert (theirs.status_code, theirs.text) == (404, nobodys.text)
        assert ask(door, route, f"Bearer {panel}", **own).status_code == 202


def test_wrong_and_right_keys_cost_the_same_look_up(door: Stage) -> None:
    """A key is found by the hash of all of it, so no answer's time says how much of a guess is right."""
    statements: list[tuple[str, Any]] = []
    engine = door.app.extensions["tocsin"].database.engine
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append((args[2], args[3])))
    key = door.new_key(["platform"])
    asked = []
    for text in (door.new_key(["sites"]), key[:-1] + ("A" if key[-1] != "A" else "B"), "tcs_" + "x" * 43):
        statements.clear()
        door.get("/v1/notices", text)
        asked.append([sql for sql, _ in statements])
        assert all(text not in str(values) for _, values in statements)

    assert asked[0] == asked[1] == asked[2]
    assert len(asked[0]) == 1
    assert "hash" in asked[0][0]
