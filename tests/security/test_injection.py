"""Texts that would be more than texts: in logs, in SQL, in headers, on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli.show import show, show_all
from shared.clock import boot_time
from shared.domain.outcome import Accepted, Temporary
from shared.platforms import location_source
from shared.platforms.delivery import Endpoint, deliver
from shared.providers.answers import one_line, quoted
from shared.providers.http import NotSent, exchange
from tests.integration.door_stage import HOME, Stage, granian
from tests.raw_server import RawServer, answering, read_request
from tests.security import samples
from webhooks_app.routes import ROUTES

FORGED = '{"event":"forged","level":"error"}'
LINES = [
    f"a\n{FORGED}\n", f"a\r\n{FORGED}", f"a\u2028{FORGED}\u2029", f"\x1b[2J\x1b[1;31m{FORGED}\x1b[0m", f"\x85{FORGED}",
    "\x9b31m\u202e\u0007\x08\x7f", "%0a" + FORGED, "${jndi:ldap://x}", "%s%n%x", "{0.__class__}", "\ufeff\ufffe",
]  # fmt: skip
SQL = [
    "' OR '1'='1", "'; DROP TABLE incident; --", "\" OR 1=1 --", "1) OR (1=1", "%' OR '%'='", "\\'; SELECT 1; --",
    "$$; SELECT 1; $$", "%(site_ref)s", ":site_ref", "{}", "a%b_c", "E'\\x27'", "pg_sleep(5)", "1 UNION SELECT 1",
]  # fmt: skip
NAMES = ("cursor", "status", "site_ref", "since", "kind", "account")


def texts(stage: Stage, evil: str) -> None:
    """Post it in every text that the door keeps, and ask for it in every path, query and header that it reads."""
    place = {"address": HOME["location"]["address"] | {"line1": evil, "line2": evil}}
    person = {"name": evil, "phone": evil, "pin": evil}
    device = dict.fromkeys(("attribute", "value", "name", "model", "manufacturer"), evil)
    alarm = {"incident_ref": evil, "kind": "fire", "provider": "noonlight", "person": person, "location": place,
             "device": device, "event_id": evil, "zone": evil, "message": evil, "severity": evil}  # fmt: skip
    for field in [None, *alarm]:
        body = alarm if field is None else {"incident_ref": "plain", "kind": "fire", **HOME} | {field: alarm[field]}
        assert stage.post("/v1/alarms", body).status_code in (202, 400, 422)
    for route in samples.closed():
        address = samples.path(route, incident_id=quote(evil, safe=""), site_ref=quote(evil, safe=""))
        query = "&".join(
            f"{name}={quote(evil)}" for name in ("cursor", "status", "site_ref", "since", "kind", "account")
        )
        body = samples.request(route)
        given = body.get("json")
        if isinstance(given, dict):
            body = {"json": {name: evil if isinstance(value, str) else value for name, value in given.items()}}
        answer = stage.client.open(f"{address}?{query}", method=route.method, headers=stage.headers(), **body)
        assert answer.status_code < 500
    for name in ("X-Request-Id", "Authorization", "User-Agent", "X-Forwarded-For", "Idempotency-Key", "Content-Type"):
        value = evil.encode("latin-1", "replace").decode("latin-1").replace("\r", "").replace("\n", "")
        assert stage.client.post("/v1/alarms", data=b"{}", headers={name: value}).status_code < 500


@pytest.mark.parametrize("evil", SQL)
def test_text_is_never_a_part_of_a_statement(stage: Stage, evil: str) -> None:
    """Everything is still there, nothing sleeps, and a filter finds exactly what has that very text."""
    stage.account("noonlight")
    house = {"name": evil, **HOME["location"]}
    assert stage.put(f"/v1/sites/{quote(evil, safe='')}", house).status_code == 201
    assert stage.post("/v1/alarms", {"incident_ref": "x", "kind": "fire", "site_ref": evil}).status_code == 202
    assert stage.post("/v1/alarms", {"incident_ref": "y", "kind": "fire", **HOME}).status_code == 202
    before = stage.rows("SELECT count(*) FROM incident")[0][0]
    texts(stage, evil)

    found = stage.get(f"/v1/incidents?site_ref={quote(evil)}").json["incidents"]
    assert {incident["site_ref"] for incident in found} == {evil}
    assert stage.get(f"/v1/sites/{quote(evil, safe='')}").json["name"] == evil
    assert stage.get("/v1/sites/house%25").status_code == 404
    assert stage.rows("SELECT count(*) FROM incident")[0][0] >= before


def test_log_has_one_line_of_json_per_event_whatever_is_sent(stage: Stage, tmp_path: Path) -> None:
    """No text forges a line, none reaches the terminal of who reads it, and none is quoted at all."""
    import requests

    log = tmp_path / "log"
    with granian(stage, before=f"exec 2>{log};", TOCSIN_LOG_LEVEL="DEBUG") as address:
        for evil in LINES:
            body = {"incident_ref": "plain", "kind": "fire", **HOME, "message": evil, "zone": evil}
            requests.post(f"{address}/v1/alarms", json=body, headers=stage.headers(), timeout=10)
            requests.get(f"{address}/v1/sites/{quote(evil)}?cursor={quote(evil)}", headers=stage.headers(), timeout=10)
            plain = "".join(char for char in evil if char.isascii() and char.isprintable())
            for name in ("X-Request-Id", "Authorization", "User-Agent", "Referer"):
                requests.get(f"{address}/v1/sites", headers={name: plain}, timeout=10)
        stage.change("UPDATE platform SET policies = '[1]' WHERE id = :own", own=stage.platform_id)
        accident = {"incident_ref": LINES[0].replace("\n", ""), "kind": "fire", "message": LINES[0], **HOME}
        assert (
            requests.post(f"{address}/v1/alarms", json=accident, headers=stage.headers(), timeout=10).status_code == 500
        )

    lines = log.read_text().splitlines()
    assert lines
    for line in lines:
        assert line.isprintable()
        assert json.loads(line)["event"] != "forged"
        assert "forged" not in line


@given(st.text(max_size=300))
def test_words_of_a_provider_are_one_printable_line(text: str) -> None:
    """Before they stand on a timeline, in a write-back or in a log."""
    for words in (one_line(text), quoted(text), quoted({"a": text})):
        assert words.isprintable()
        assert len(quoted(text)) <= 200


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_position_is_asked_at_its_source_whatever_the_reference_says(reference: str) -> None:
    """A reference becomes one piece of the path: no host, no query, no header."""
    url = location_source.filled("https://fleet.example.com/a/{incident_ref}/b?x={incident_id}",
                                 {"incident_ref": reference, "incident_id": reference})  # fmt: skip
    path = url.removeprefix("https://fleet.example.com/a/")
    assert url.isascii()
    assert url.isprintable()
    assert path.count("/") == 1
    assert not set(" \r\n#@\\") & set(path)


@pytest.mark.parametrize(
    "evil", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\x00", "a\u2028b", "\r\n\r\nGET / HTTP/1.1"]
)
def test_line_break_never_leaves_in_a_header(evil: str) -> None:
    """Nothing of such a request is sent."""
    with RawServer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        with pytest.raises(NotSent):
            exchange("POST", server.url, deadline=boot_time() + 5, headers={"X-A": evil}, body=b"")
        with pytest.raises(NotSent):
            exchange("POST", server.url, deadline=boot_time() + 5, headers={evil: "a"}, body=b"")
        outcome = deliver(Endpoint(server.url, ""), evil, {}, datetime.now(UTC), boot_time() + 5)
        assert isinstance(outcome, Temporary)


def test_body_of_a_write_back_is_one_json_value_whatever_it_says() -> None:
    """Texts are escaped, and the request has exactly the headers that were meant."""
    seen: list[bytes] = []

    def handle(connection: Any) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with RawServer(handle) as server:
        for evil in LINES:
            body = {"id": "m-1", "entry": evil, evil: evil}
            outcome = deliver(Endpoint(server.url, ""), "m-1", body, datetime.now(UTC), boot_time() + 5)
            assert isinstance(outcome, Accepted)
            head, _, raw = seen.pop().partition(b"\r\n\r\n")
            assert json.loads(raw) == body
            assert b"forged" not in head
            assert len(head.split(b"\r\n")) == 9


@pytest.mark.parametrize("evil", LINES)
def test_text_on_a_terminal_moves_no_cursor(capsys: pytest.CaptureFixture[str], evil: str) -> None:
    """What `tocsin` prints is another's text: references, names, what responders write."""
    show({"incident_ref": evil, "entry": evil}, as_json=False)
    show_all([{"incident_ref": evil, "reason": evil}], as_json=False)
    show({"incident_ref": evil}, as_json=True)

    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


def test_answers_name_no_header_of_the_sender(stage: Stage) -> None:
    """A request id that is none is replaced; nothing else comes back."""
    for evil in ("a b", "ü" * 10, "x" * 65, "<script>alert(1)</script>", "%0d%0aX-Evil: 1", "short"):
        value = evil.encode("latin-1").decode("latin-1")
        answer = stage.client.get("/healthz", headers={"X-Request-Id": value, "Origin": "https://evil.example"})
        assert answer.headers["X-Request-Id"] != evil
        assert "evil" not in str(answer.headers).lower()
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.fixture
def every_get(stage: Stage) -> Iterator[list[str]]:
    """Each path that answers a browser."""
    return [samples.path(route) for route in ROUTES if route.method == "GET"]  # type: ignore[return-value]


def test_no_answer_is_a_page_of_the_senders_making(stage: Stage, every_get: list[str]) -> None:
    """Nothing that was sent is shown as HTML, framed, sniffed or kept."""
    for path in every_get:
        answer = stage.client.get(f"{path}?x=<script>", headers=stage.headers())
        assert "<script>" not in answer.get_data(as_text=True)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
