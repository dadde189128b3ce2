"""Rows as the values that providers and decisions use: accounts, and the defaults of the environment."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.crypto import Box
from shared.providers.base import Account
from shared.store.models import Platform, ProviderAccount

DEFAULT_PLATFORM = "default"


def account_value(row: ProviderAccount, box: Box) -> Account:
    """The account as providers see it, with its credentials opened."""
    return Account(
        id=row.id,
        provider=row.provider,
        base_url=row.base_url,
        environment=row.environment,
        site_mode=row.site_mode,
        credentials=box.open(row.credentials),
        webhook_secrets=tuple(box.open(row.webhook_secrets)),
        options=row.options,
    )


def account(session: Session, account_id: str, box: Box) -> Account:
    """The account of an id. Raises KeyError."""
    row = session.get(ProviderAccount, account_id)
    if row is None:
        raise KeyError(account_id)
    return account_value(row, box)


def default_account(session: Session, provider: str, box: Box) -> Account | None:
    """The account that `/webhooks/<provider>` and site-less alarms use."""
    row = session.scalar(
        select(ProviderAccount).where(ProviderAccount.provider == provider, ProviderAccount.is_default)
    )
    return None if row is None else account_value(row, box)


def ensure_defaults(session: Session, described: list[dict[str, Any]], box: Box) -> None:
    """Make the default platform and bring the environment's accounts up to date."""
    session.execute(insert(Platform).values(id=DEFAULT_PLATFORM, name="Default platform").on_conflict_do_nothing())
    for wanted in described:
        values = {
            "base_url": wanted["base_url"],
            "environment": wanted["environment"],
            "credentials": box.seal(wanted["credentials"]),
            "webhook_secrets": box.seal(wanted["webhook_secrets"]),
            "options": wanted["options"],
            # They belonged to the credentials before, which may have been rotated.
            "token": None,
            "token_renew_at": None,
        }
        session.execute(
            insert(ProviderAccount)
            .values(
                id=wanted["provider"],
                platform_id=DEFAULT_PLATFORM,
                provider=wanted["provider"],
                name="default",
                is_default=True,
                **values,
            )
            .on_conflict_do_update(index_elements=["id"], set_=values)
        )
