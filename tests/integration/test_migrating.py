"""A schema that has data in it is brought up to date, and what was remembered is remembered still."""

from __future__ import annotations

from alembic import command
from sqlalchemy import create_engine, text

from deploy.embedded import Embedded
from shared.store import migrate
from tests.conftest import fresh_database

BEFORE = """
    INSERT INTO platform (id, name) VALUES ('p', 'P');
    INSERT INTO incident (id, platform_id, incident_ref, site_ref, kind, details, occurred_at)
        VALUES ('inc_gate', 'p', 'r', 'gate', 'fire', '', now()), ('inc_none', 'p', 's', NULL, 'fire', '', now());
    INSERT INTO repeat_key (platform_id, incident_ref, key, incident_id)
        VALUES ('p', 'r', 'e:1', 'inc_gate'), ('p', 's', 'e:1', 'inc_none'), ('p', 'r', 'e:2', 'inc_gone');
"""
OTHER_SITE = """
    INSERT INTO repeat_key (platform_id, incident_ref, site_ref, key, incident_id, seen_at)
    SELECT platform_id, incident_ref, 'fence', key, 'inc_other', now() + interval '1 s'
    FROM repeat_key WHERE incident_id = 'inc_gate'
"""
KEYS = "SELECT incident_ref, key, incident_id FROM repeat_key ORDER BY 1, 2"


def test_keys_are_of_their_incidents_site_when_they_were_there_before(embedded: Embedded) -> None:
    """Forward, and back again."""
    url = fresh_database(embedded, "older")
    migrate.upgrade(url, "0005")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(BEFORE)
        known = connection.execute(text(KEYS)).all()

    migrate.upgrade(url)
    with engine.begin() as connection:
        sites = connection.execute(text("SELECT incident_id, site_ref FROM repeat_key ORDER BY 1")).all()
        assert [tuple(row) for row in sites] == [("inc_gate", "gate"), ("inc_gone", ""), ("inc_none", "")]
        connection.execute(text(OTHER_SITE))

    with engine.connect() as connection:
        command.downgrade(migrate.config(connection), "0005")
        connection.commit()
        left = connection.execute(text(KEYS)).all()
    engine.dispose()
    assert [tuple(row) for row in left] == [("r", "e:1", "inc_other"), *[tuple(row) for row in known[1:]]]
