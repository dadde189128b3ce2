"""A door on a migrated database, for those who would break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.embedded import Embedded
from shared.store import migrate
from tests.conftest import fresh_database
from tests.integration.door_stage import Stage, close_stage, open_stage


@pytest.fixture(scope="module")
def database(embedded: Embedded) -> str:
    """A migrated database of the module."""
    url = fresh_database(embedded, "security")
    migrate.upgrade(url)
    return url


@pytest.fixture
def stage(database: str, redis_url: str) -> Iterator[Stage]:
    """A door with a platform of its own, and nothing remembered."""
    made = open_stage(database, redis_url)
    yield made
    close_stage(made)
