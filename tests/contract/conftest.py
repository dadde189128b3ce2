"""A rig per provider, each on a sandbox of its own."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from deploy.sandbox import AuraConfig, NoonlightConfig
from deploy.sandbox.aura import Aura
from deploy.sandbox.noonlight import Noonlight
from shared.domain.outcome import Accepted
from shared.providers import registry
from shared.providers.base import Account
from tests.contract.rig import SITE, Rig


@pytest.fixture
def noonlight() -> Iterator[Rig]:
    """Noonlight, with an empty sandbox."""
    service = Noonlight(NoonlightConfig())
    service.start()
    account = Account(
        id="noonlight",
        provider="noonlight",
        base_url=service.url,
        environment="staging",
        credentials={"token": service.config.token},
        webhook_secrets=(service.config.webhook_secret,),
    )
    yield Rig(registry.get("noonlight"), account, service, "/dispatch/v1/alarms")
    service.stop()


@pytest.fixture
def aura() -> Iterator[Rig]:
    """AURA, with one registered site."""
    service = Aura(AuraConfig())
    service.start()
    account = Account(
        id="aura",
        provider="aura",
        base_url=service.url,
        environment="staging",
        credentials={"client_id": service.config.client_id, "client_secret": service.config.client_secret},
        webhook_secrets=(service.config.webhook_secret,),
    )
    path = f"/panic-api/v2/predefinedLocations/externalRef/{quote(SITE.reference, safe='')}/callouts"
    rig = Rig(registry.get("aura"), account, service, path)
    assert rig.provider.sites is not None
    assert isinstance(rig.provider.sites.put_site(rig.call(), account, SITE, look_first=False), Accepted)
    yield rig
    service.stop()


@pytest.fixture(params=["noonlight", "aura"])
def rig(request: pytest.FixtureRequest) -> Rig:
    """Each provider in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Rig)
    return found
