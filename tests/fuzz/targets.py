"""What must hold of each verifier, decoder and mapper whatever bytes it is given: one function of bytes for each."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import ijson
from flask import Flask
from requests.structures import CaseInsensitiveDict
from standardwebhooks import Webhook, WebhookVerificationError

from shared.domain import portfolio
from shared.domain.outcome import Accepted, Permanent, Temporary, Unknown
from shared.platforms import endpoints, location_source
from shared.platforms.location_source import SourceFailed
from shared.providers import answers, registry
from shared.providers.aura import client as aura
from shared.providers.aura import listing, notes, token
from shared.providers.base import Account, BadDelivery, BadSignature, ReadFailed
from shared.providers.guard import Guard
from shared.providers.http import Answer
from shared.providers.noonlight import calls
from webhooks_app import queries
from webhooks_app.bodies import AlarmBody, CancelBody, EventBody, PlatformBody, SiteBody
from webhooks_app.errors import Problem
from webhooks_app.intake import MAX_NODES, json_body, parse

Target = Callable[[bytes], None]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
STATUSES = (200, 201, 204, 301, 400, 401, 404, 409, 422, 429, 500, 502, 503)
_door = Flask("fuzz")


def _account(provider: str, **options: Any) -> Account:
    return Account("a", provider, "https://x.example", "staging", webhook_secrets=("secret",), options=options)


def _answer(data: bytes) -> Answer:
    """The first byte chooses a status, the line after it a header, the rest is the body."""
    status = STATUSES[data[0] % len(STATUSES)] if data else 200
    head, _, body = data[1:].partition(b"\n")
    text = head.decode("latin-1")
    headers = CaseInsensitiveDict({"Retry-After": text, "Date": text})
    return Answer(status, headers, body, None)


def _storable(value: object) -> None:
    """What a column of Postgres takes: no NUL, no half surrogate pair, at every depth."""
    if isinstance(value, dict):
        _storable([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            _storable(item)
    elif isinstance(value, str):
        value.encode()
        assert "\x00" not in value


def _printable(texts: Iterable[str]) -> None:
    assert all(text.isprintable() for text in texts)


# -- webhooks ---------------------------------------------------------------------------------------------------------


def aura_verifier(data: bytes) -> None:
    """Only the secret itself passes."""
    given = data.decode("latin-1")
    with contextlib.suppress(BadSignature):
        registry.get("aura").webhooks.verify(_account("aura"), [("Authorization", given)], data)
        assert given == "Bearer secret"


def noonlight_verifier(data: bytes) -> None:
    """Only the signature over these very bytes passes, whatever stands before the first line break."""
    head, _, raw = data.partition(b"\n")
    hook = registry.get("noonlight").webhooks
    right = base64.b64encode(hmac.digest(b"secret", raw, hashlib.sha256)).decode()
    hook.verify(_account("noonlight"), [("X-Noonlight-Signature", right)], raw)
    for account in (_account("noonlight"), _account("noonlight", signature_canonical_fallback=True)):
        with contextlib.suppress(BadSignature):
            hook.verify(account, [("x-noonlight-signature", head.decode("latin-1"))], raw)
            assert account.options or head.decode("latin-1") == right


def _events(provider: str, data: bytes) -> None:
    hook, account = registry.get(provider).webhooks, _account(provider, eta_unit="seconds")
    try:
        deliveries = hook.split(data)
    except BadDelivery:
        return
    for delivered in deliveries:
        json.loads(delivered.body)
        event = hook.interpret(account, delivered.body)
        _storable([event.name, event.event_id, event.provider_alarm_id, event.site_provider_id, event.entry])
        assert event.entry.isprintable()
        assert event.at is None or event.at.tzinfo is not None
        if delivered.body.startswith(b"{"):
            (again,) = hook.split(delivered.body)
            assert (again.event_id, again.subject) == (delivered.event_id, delivered.subject)


def aura_events(data: bytes) -> None:
    """What is split is kept, read, and split again to the same."""
    _events("aura", data)


def noonlight_events(data: bytes) -> None:
    """The same, for arrays and bare objects."""
    _events("noonlight", data)


# -- the door's own input ----------------------------------------------------------------------------------------------


def json_bodies(data: bytes) -> None:
    """A problem, or a value of bounded size that can be kept; and each model takes or refuses it by name."""
    with _door.test_request_context("/", method="POST", data=data, content_type="application/json"):
        try:
            value = json_body(65_536)
        except Problem:
            return
    _storable(value)
    assert len(json.dumps(value)) < 20 * 65_536
    assert json.dumps(value).count(",") < 2 * MAX_NODES
    for model in (AlarmBody, EventBody, CancelBody, SiteBody, PlatformBody):
        try:
            found = parse(model, value)
        except Problem as problem:
            _printable(word for pair in problem.errors for word in pair)
        else:
            _storable(found.model_dump(mode="json"))


def cursors(data: bytes) -> None:
    """A cursor of that list, or a problem."""
    text = data.decode("latin-1")
    for decode in (queries.moment_cursor, queries.number_cursor, queries.text_cursor):
        with contextlib.suppress(Problem):
            _storable(decode(text))
    parts = (text.replace("\x00", ""),)
    assert queries.text_cursor(queries.cursor_of(*parts)) == parts[0]


def portfolios(data: bytes) -> None:
    """Rows with a site or with faults; what was read is written and read again to the same."""
    try:
        sites = [entry.site for entry in portfolio.read(data) if entry.site is not None]
    except portfolio.NoPortfolio as refused:
        _printable([refused.fault.what])
        return
    for site in sites:
        _storable([site.reference, site.name, site.notes])
    again = list(portfolio.read("".join(portfolio.write(sites)).encode()))
    assert [entry.faults for entry in again] == [()] * len(sites)
    assert [(entry.site.reference, entry.site.name) for entry in again if entry.site] == [
        (site.reference, site.name) for site in sites
    ]


def addresses(data: bytes) -> None:
    """A URL that is taken names a public host in plain ASCII."""
    url = data.decode("utf-8", "replace")
    if not endpoints.problems(url, Guard(allow_loopback=False)):
        assert url.lower().startswith("https://")
        assert not any(char.isspace() or char in "\\\x00" for char in url.partition("//")[2].partition("/")[0])
    if not location_source.problems(url, Guard(), ("x.example",)):
        filled = location_source.filled(url, {"incident_ref": url, "incident_id": url})
        assert filled.lower().partition("//")[2].startswith(("x.example", "localhost", "127.", "[::1]", "["))


# -- what providers and platforms answer ------------------------------------------------------------------------------


def positions(data: bytes) -> None:
    """Fixes on this planet, or a failure in fixed words."""
    try:
        fixes = location_source._fixes(_answer(data))
    except SourceFailed as failed:
        _printable([failed.reason])
        return
    for fix in fixes:
        assert -90 <= fix["lat"] <= 90
        assert -180 <= fix["lng"] <= 180
        assert fix["time"] is None or datetime.fromisoformat(fix["time"]).tzinfo is not None


def words(data: bytes) -> None:
    """Moments, pauses, ids and quoted words of distrusted text."""
    text, answer = data.decode("utf-8", "replace"), _answer(data)
    at, pause = answers.moment(text), answers.retry_after(answer)
    assert at is None or at.tzinfo is UTC
    assert pause is None or pause >= 0
    assert answers.one_line(text).isprintable()
    assert answers.text_id(text).isprintable()
    assert len(answers.quoted(text, {"a": [text[:50]]})) <= 200
    with contextlib.suppress(ValueError):
        json.dumps(answers.parse_json(data), allow_nan=False)


def create_answers(data: bytes) -> None:
    """One of the four outcomes; nothing that a 2xx, a 409 or a 5xx says is taken for a refusal of the alarm."""
    answer = _answer(data)
    for outcome in (aura._created(answer, "ref-1"), calls.refused(answer, {"name": "Ann"})):
        assert isinstance(outcome, Accepted | Temporary | Permanent | Unknown)
        _storable(vars(outcome))
        assert not (answer.status >= 500 and isinstance(outcome, Permanent))
        assert not (answer.status == 429 and not isinstance(outcome, Temporary))
    outcome = aura._created(answer, "ref-1")
    assert not (200 <= answer.status < 300 and not isinstance(outcome, Accepted | Unknown))


def aura_reads(data: bytes) -> None:
    """Listings of callouts, messages and sites, and tokens: values that can be kept, or a failed read."""
    answer, account = _answer(data), _account("aura", eta_unit="minutes")
    with contextlib.suppress(ReadFailed):
        entries, _ = aura._entries(answer)
        for entry in entries:
            reading = aura._reading(account, entry, "", listed=True)
            if reading is not None:
                _storable([reading.provider_alarm_id, reading.raw_status, reading.site_provider_id])
    with contextlib.suppress(ReadFailed, ValueError):
        for entry in notes._entries(answers.parse_json(answer.body)):
            message = notes._message(entry)
            assert message is None or message.text.strip()
    with contextlib.suppress(token.TokenFailed):
        found = token._token(answer)
        assert found.value.isascii()
        assert found.renew_at.tzinfo is not None


def aura_listing(data: bytes) -> None:
    """A listing as a stream, in pieces that fall anywhere."""
    size = 1 + (data[0] if data else 0)
    pieces = [data[at : at + size] for at in range(1, len(data), size)]
    with contextlib.suppress(ijson.JSONError, ValueError, OverflowError, RecursionError):
        for value in listing._elements(iter(pieces)):
            if isinstance(value, dict):
                with contextlib.suppress(ReadFailed):
                    _storable([str(part) for part in vars(listing._listed(value)).values()])


def write_backs(data: bytes) -> None:
    """What we sign verifies by the published scheme, and by nothing else."""
    now = datetime.now(UTC)
    text = data.decode("utf-8", "replace")
    signature = Webhook(SECRET).sign("m-1", now, text)
    headers = {"webhook-id": "m-1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    Webhook(SECRET).verify(text, headers, json_parse=False)
    try:
        Webhook(SECRET).verify(text + "x", headers, json_parse=False)
    except WebhookVerificationError:
        return
    raise AssertionError("another body passed")


def signing_secrets(data: bytes) -> None:
    """A secret that may be saved can sign."""
    text = "whsec_" + data.decode("latin-1")
    try:
        parse(PlatformBody, {"writeback_secret": text})
    except Problem:
        return
    assert Webhook(text).sign("m-1", datetime.now(UTC), "{}").startswith("v1,")


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        aura_verifier, noonlight_verifier, aura_events, noonlight_events, json_bodies, cursors, portfolios, addresses,
        positions, words, create_answers, aura_reads, aura_listing, write_backs, signing_secrets,
    )
}  # fmt: skip
