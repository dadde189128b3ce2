"""Law 12 on the running stack: a whole story for both providers, and nothing personal or secret where it leaks."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator

import pytest
import redis
import requests

from deploy.embedded_server import environment
from shared.store.keys import create_key
from tests.e2e.stack import Stack, open_stack

# Words that occur nowhere else, so that a hit is a leak.
PERSON = {"name": "Quintessa Vandermolen", "phone": "+12025550173", "pin": "836294"}
ADDRESS = {"line1": "7741 Zephyrmoor Lane", "city": "Quarrelton", "state": "MO", "zip": "63144"}
GATE = "Xylograph code 55190"
NOTE = "The dog Brunhilde bites"
PERSONAL = (
    "Quintessa",
    "Vandermolen",
    "2025550173",
    "836294",
    "Zephyrmoor",
    "Quarrelton",
    "Xylograph",
    "55190",
    "Brunhilde",
)
# What the API gives back to the operator who sent it: his own site.
OPERATORS_OWN = ("Zephyrmoor", "Quarrelton", "Xylograph", "55190")


class Monitor:
    """Everything that Redis is told, as `MONITOR` prints it."""

    def __init__(self, stack: Stack) -> None:
        """Listen from now on."""
        self.lines: list[str] = []
        self._client = stack.redis()
        self._monitor = self._client.monitor()  # type: ignore[no-untyped-call]
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for command in self._monitor.listen():
                self.lines.append(str(command))
        except (redis.ConnectionError, ValueError, OSError, AttributeError):  # closed
            return

    def text(self) -> str:
        """What it heard."""
        return "\n".join(self.lines)

    def close(self) -> None:
        """Hear no more."""
        self._client.close()
        if self._monitor.connection is not None:
            self._monitor.connection.disconnect()
        self._thread.join(10)


@pytest.fixture(scope="module", params=["DEBUG", "INFO"])
def told(request: pytest.FixtureRequest) -> Iterator[tuple[Stack, Monitor, list[str]]]:
    """A stack that has lived through a story, Redis's own record of it, and the answers that the door gave."""
    with open_stack(
        without=(),
        log_level=request.param,
        environment={"FLOWER_BASIC_AUTH": "ops:flowerword", "FLOWER_UNAUTHENTICATED_API": ""},
    ) as stack:
        monitor = Monitor(stack)
        try:
            yield stack, monitor, live(stack)
        finally:
            monitor.close()


def live(stack: Stack) -> list[str]:
    """Both providers from alarm to end, a cancel with its PIN, wrong input, strangers, and a worker that stumbles."""
    answers: list[str] = []

    def say(answer: requests.Response) -> requests.Response:
        answers.append(f"{answer.request.method} {answer.request.path_url} {answer.status_code} {answer.text}")
        return answer

    site = {
        "provider": "aura",
        "name": "Zephyrmoor Depot",
        "address": {"line1": "7741 Zephyrmoor Lane", "city": "Quarrelton", "state": "WC", "zip": "8001"},
        "coordinates": {"lat": -33.92, "lng": 18.42},
        "gate_instructions": GATE,
        "contacts": [{"name": PERSON["name"], "phone": PERSON["phone"]}],
    }
    bearer = {"Authorization": f"Bearer {stack.key}"}
    say(requests.put(f"{stack.url}/v1/sites/depot", json=site, headers=bearer, timeout=20))
    home = {"provider": "noonlight", "person": PERSON, "location": {"address": ADDRESS}}
    with stack.sessions.begin() as session:
        _, panel = create_key(session, "default", "panel", ["panel"], "depot")
    say(stack.post("/v1/alarms", {"incident_ref": "p-home", "kind": "burglary", "message": NOTE, **home}))
    say(stack.post("/v1/alarms", {"incident_ref": "p-panic", "kind": "panic", "site_ref": "depot"}, key=panel))
    say(stack.post("/v1/alarms", {"incident_ref": "p-false", "kind": "fire", **home}))
    ids = {row[0]: row[1] for row in stack.rows("SELECT incident_ref, id FROM incident")}
    stack.until(lambda: all(stack.heard(ref, "requested") for ref in ids), within_s=20)
    false = f"/v1/incidents/{ids['p-false']}/cancel"
    say(stack.post(false, {"reason": "false_alarm", "pin": "000000", "note": NOTE}))
    say(stack.post(false, {"reason": "false_alarm", "pin": PERSON["pin"], "by": "Ann"}))
    say(stack.post(f"/v1/incidents/{ids['p-home']}/notes", {"text": NOTE, "by": "Ann"}))
    stack.until(lambda: stack.status(ids["p-false"]) == "cancelled")
    for alarm in stack.alarms():
        stack.noonlight("_step", id=alarm["id"], event="alarm.psap_contacted")
        stack.noonlight("_step", id=alarm["id"], event="alarm.closed")
    for event in (
        "RESPONDER_MANUALLY_DISPATCHED",
        "RESPONDER_ARRIVED_ON_SCENE",
        "RESPONDER_COMPLETED",
        "CALLOUT_CLOSED",
    ):
        stack.aura("_step", id=stack.callouts()[0]["id"], event=event)
    stack.until(lambda: all(stack.status(ids[ref]) == "closed" for ref in ("p-home", "p-panic")))
    stumble(stack)
    bad = {"incident_ref": "bad", "kind": "burglary", "provider": "noonlight", "location": {"address": ADDRESS}}
    say(stack.post("/v1/alarms", bad | {"person": {**PERSON, "phone": f"call {PERSON['name']}"}}))
    say(stack.post("/v1/alarms", bad | {"person": PERSON, "kind": PERSON["name"]}))
    say(stack.post("/v1/alarms", bad | {PERSON["phone"]: PERSON["pin"], "person": PERSON}))
    say(requests.post(f"{stack.url}/webhooks/noonlight", json=[{"x": PERSON["name"]}], timeout=20))
    for path in ("/healthz", "/readyz", "/metrics", "/v1/incidents", *(f"/v1/incidents/{one}" for one in ids.values())):
        say(requests.get(f"{stack.url}{path}", headers=bearer, timeout=20))
    say(requests.get(f"{stack.url}/v1/notices", headers=bearer, timeout=20))
    return answers


def stumble(stack: Stack) -> None:
    """Make handlers raise with everything in their hands: spoilt rows of the inbox and of the outbox."""
    stack.change("UPDATE job SET lease_until = now() + interval '1 hour'")
    body = {"incident_ref": "p-spoilt", "kind": "burglary", "provider": "noonlight", "person": PERSON}
    with stack.sessions.begin() as session:
        session.connection().exec_driver_sql("ALTER TABLE dispatch RENAME COLUMN services TO services_")
    stack.post("/v1/alarms", body | {"location": {"address": ADDRESS}})
    stack.until(lambda: stack.one("SELECT count(*) FROM inbox WHERE last_error <> ''"), within_s=20)
    with stack.sessions.begin() as session:
        session.connection().exec_driver_sql("ALTER TABLE dispatch RENAME COLUMN services_ TO services")
    stack.until(lambda: stack.one("SELECT status FROM incident WHERE incident_ref = 'p-spoilt'") == "requested")
    stack.change("UPDATE job SET lease_until = NULL")


def secrets(stack: Stack) -> list[str]:
    """Every credential of the stack, and what is made of them."""
    given = stack.sandbox.config
    issued = [str(found) for found in stack.aura("_state").get("tokens", [])]
    return [
        stack.key, stack.encryption_key, given.aura.client_secret, given.aura.webhook_secret, given.noonlight.token,
        given.noonlight.webhook_secret, given.platform.writeback_secret, given.platform.escalation_secret,
        str(stack.engine.url.password), *issued,
    ]  # fmt: skip


def leaks(text: str, words: list[str]) -> list[str]:
    """Which of the words stand in the text, and around what; digits inside a longer id are no ZIP and no PIN."""
    return [
        text[max(0, at.start() - 120) : at.end() + 20]
        for word in words
        for at in re.finditer(rf"(?<![0-9a-f]){word}(?![0-9a-f])" if word.isdigit() else re.escape(word), text)
    ]


def test_redis_hears_nothing_personal_or_secret(told: tuple[Stack, Monitor, list[str]]) -> None:
    """Not one command of the whole story, and no key at its end."""
    stack, monitor, _ = told
    words = [*PERSONAL, *secrets(stack)]
    assert len(monitor.lines) > 100
    assert leaks(monitor.text(), words) == []
    with stack.redis() as client:
        dump = "".join(f"{key!r} {client.dump(key)!r}" for key in client.keys("*"))
    assert leaks(dump, words) == []
    appended = (stack.folder / "data" / "redis").rglob("*.aof")
    assert leaks("".join(file.read_text(errors="replace") for file in appended), words) == []


def test_logs_hold_nothing_personal_or_secret(told: tuple[Stack, Monitor, list[str]]) -> None:
    """Of no process, whatever the level, tracebacks of stumbling workers included; nor does Postgres's log."""
    stack, _, _ = told
    words = [*PERSONAL, *secrets(stack), str(stack.redis().connection_pool.connection_kwargs["password"])]
    said = {name: stack.log(name).read_text(errors="replace") for name in stack.processes}
    assert "row_failed" in said["worker_intake_1"] + said["worker_intake_2"]
    assert {name: leaks(text, words) for name, text in said.items() if leaks(text, words)} == {}
    written = postgres_log(stack)
    assert "ready to accept connections" in written
    assert leaks(written, words) == []


def test_answers_hold_nothing_personal_or_secret(told: tuple[Stack, Monitor, list[str]]) -> None:
    """What an operator must see are his own site's name and address, and nothing else."""
    stack, _, answers = told
    words = [word for word in (*PERSONAL, *secrets(stack)) if word not in OPERATORS_OWN]
    shown = [answer for answer in answers if not answer.startswith("PUT /v1/sites/")]
    assert any(" 422 " in answer for answer in shown)
    assert leaks("\n".join(shown), [*words, *OPERATORS_OWN]) == []


def test_flower_shows_nothing_personal_or_secret(told: tuple[Stack, Monitor, list[str]]) -> None:
    """It asks for a password, and behind it stand ids."""
    stack, _, _ = told
    url = f"http://127.0.0.1:{stack.flower_port}"
    stack.until(lambda: answers(f"{url}/healthcheck"), within_s=30)
    assert requests.get(f"{url}/tasks", timeout=20).status_code == 401
    ops = ("ops", "flowerword")
    pages = [requests.get(f"{url}/{page}", auth=ops, timeout=20).text for page in ("tasks", "workers", "broker", "")]
    listed = requests.get(f"{url}/api/tasks", auth=ops, timeout=20)
    assert "dispatch.create" in listed.text
    pages += [requests.get(f"{url}/task/{task}", auth=ops, timeout=20).text for task in list(listed.json())[:50]]
    words = [*PERSONAL, *secrets(stack), str(stack.redis().connection_pool.connection_kwargs["password"])]
    assert leaks("".join([*pages, listed.text]), words) == []


def test_database_holds_pin_phone_and_credentials_only_encrypted(told: tuple[Stack, Monitor, list[str]]) -> None:
    """A dump of every table, read as text."""
    stack, _, _ = told
    tables = [row[0] for row in stack.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    dump = "".join(str(stack.rows(f"SELECT t::text FROM {table} t")) for table in tables)
    sealed = ("836294", "2025550173", "Vandermolen", "Brunhilde")
    assert leaks(dump, [*sealed, *secrets(stack)[:-1]]) == []


def test_command_lines_hold_no_secret(told: tuple[Stack, Monitor, list[str]]) -> None:
    """Any user of the machine may list them."""
    stack, _, _ = told
    pids = [str(process.pid) for process in stack.processes.values()]
    listed = subprocess.run(
        ["ps", "-o", "args=", "-p", ",".join(pids)], env=environment(), capture_output=True, text=True, check=True
    )
    assert leaks(listed.stdout, secrets(stack)) == []


def postgres_log(stack: Stack) -> str:
    """All that Postgres wrote down."""
    return "".join(file.read_text(errors="replace") for file in stack.embedded.postgres.home.rglob("*.log"))


def answers(url: str) -> bool:
    """True when somebody listens there."""
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
