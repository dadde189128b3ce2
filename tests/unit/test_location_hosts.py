"""Which hosts a location source may name: those that this installation lists, and loopback."""

from __future__ import annotations

import pytest

from shared.clock import boot_time
from shared.platforms import location_source
from shared.platforms.location_source import Source, SourceFailed
from shared.providers.guard import Guard

LISTED = ("fleet.example.com", "fleet.example.com:8443")


@pytest.mark.parametrize(
    "url",
    [
        "https://fleet.example.com/{incident_ref}",
        "https://FLEET.example.com:443/{incident_ref}",
        "https://fleet.example.com:8443/",
        "http://127.0.0.1:8000/",
    ],
)
def test_source_is_taken_when_its_host_is_listed(url: str) -> None:
    """Whatever its case; a port other than https' own is named in the list."""
    assert location_source.problems(url, Guard(), LISTED) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://fleet.example.com.evil.example/",
        "https://a.fleet.example.com/",
        "https://fleet.example.com:22/",
    ],
)
def test_source_is_refused_when_its_host_is_not_listed(url: str) -> None:
    """A name that only contains a listed one is another."""
    (reason,) = location_source.problems(url, Guard(), LISTED)
    assert "TOCSIN_LOCATION_HOSTS" in reason


def test_source_is_not_asked_when_its_host_is_listed_no_more() -> None:
    """What was saved once does not outlast the list."""
    with pytest.raises(SourceFailed, match="TOCSIN_LOCATION_HOSTS"):
        location_source.fetch(Source("https://fleet.example.com/", ""), {}, boot_time() + 1)
