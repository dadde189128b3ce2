"""Webhooks of every provider: who is believed, and that no junk raises anything but the named exceptions."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.providers import registry
from shared.providers.base import Account, BadDelivery, BadSignature, HookNotConfigured, Provider

HEADERS = {"noonlight": "X-Noonlight-Signature", "aura": "Authorization"}
each_provider = pytest.mark.parametrize(
    "provider", [registry.get(name) for name in registry.names()], ids=lambda p: p.name
)


def account(provider: Provider, *secrets: str, **options: object) -> Account:
    """An account that knows these secrets."""
    return Account(
        provider.name, provider.name, "http://localhost", "staging", webhook_secrets=secrets, options=options
    )


@each_provider
@pytest.mark.parametrize("secrets", [(), ("",)])
def test_hook_is_not_configured_when_no_secret_is_set(provider: Provider, secrets: tuple[str, ...]) -> None:
    """An empty secret is none: anybody could sign with it."""
    with pytest.raises(HookNotConfigured):
        provider.webhooks.verify(account(provider, *secrets), [], b"{}")


@each_provider
@pytest.mark.parametrize("times", [0, 2])
def test_signature_is_bad_when_its_header_is_not_there_once(provider: Provider, times: int) -> None:
    """None, or two of which one might be right."""
    header = (HEADERS[provider.name], "Bearer s")
    with pytest.raises(BadSignature):
        provider.webhooks.verify(account(provider, "s"), [header] * times, b"{}")


@each_provider
@given(value=st.text(), raw=st.binary(), canonical=st.booleans())
def test_verify_raises_only_bad_signature_when_fed_junk(
    provider: Provider, value: str, raw: bytes, canonical: bool
) -> None:
    """Any header text, any body: a 401, never a 500."""
    known = account(provider, "one", "zwei ü", signature_canonical_fallback=canonical)
    with pytest.raises(BadSignature):
        provider.webhooks.verify(known, [(HEADERS[provider.name], value)], raw)


FIELDS = ("event_id", "event_type", "event_time", "meta", "alarm_id", "message", "callout", "id", "incidentInformation")
WORDS = st.text() | st.sampled_from((*FIELDS, "predefinedLocationId", "eta"))
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=12,
)


@each_provider
@given(raw=st.binary() | JUNK.map(lambda value: json.dumps(value).encode()))
def test_split_and_interpret_raise_only_bad_delivery_when_fed_junk(provider: Provider, raw: bytes) -> None:
    """What can be split can be stored as JSON and interpreted."""
    known = account(provider, "s", eta_unit="seconds")
    with contextlib.suppress(BadDelivery):
        for delivered in provider.webhooks.split(raw):
            json.loads(delivered.body, parse_constant=pytest.fail)
            event = provider.webhooks.interpret(known, delivered.body)
            assert event.known or event.status is None
            assert "\x00" not in f"{delivered.event_id}{delivered.subject}{event.name}{event.entry}"


@each_provider
@pytest.mark.parametrize(
    "raw", [b"", b"[" * 100_000, b"1", b'"x"', b"\xff\xfe{}", b'{"a": NaN}', b'{"a": 1e999}', b"{" + b'"a":' * 9]
)
def test_delivery_is_bad_when_it_is_no_json_object(provider: Provider, raw: bytes) -> None:
    """Deep, infinite, or not text at all."""
    with pytest.raises(BadDelivery):
        provider.webhooks.split(raw)


@each_provider
@given(body=st.binary())
def test_interpret_never_raises_when_the_stored_body_is_junk(provider: Provider, body: bytes) -> None:
    """A row that is there must be workable."""
    assert not provider.webhooks.interpret(replace(account(provider, "s")), body).known
