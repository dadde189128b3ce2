"""The registry, and what every provider declares."""

from __future__ import annotations

import pytest

from shared.providers import registry

CAPABILITIES = [
    "lookup",
    "notes",
    "note_stream",
    "registration",
    "verifier",
    "events",
    "locations",
    "people",
    "person",
    "certificates",
    "sites",
    "bulk",
]


def test_registry_finds_every_folder() -> None:
    """By the folder, not by a list."""
    assert registry.names() == ["aura", "noonlight"]


def test_registry_names_what_it_does_not_know() -> None:
    """A named exception that is also a KeyError."""
    with pytest.raises(registry.UnknownProvider):
        registry.get("nobody")


@pytest.mark.parametrize("name", ["aura", "noonlight"])
def test_provider_says_why_when_it_lacks_a_capability(name: str) -> None:
    """What is missing has words, and nothing else has."""
    provider = registry.get(name)
    assert provider.name == name
    assert set(provider.cannot) == {part for part in CAPABILITIES if getattr(provider, part) is None}
