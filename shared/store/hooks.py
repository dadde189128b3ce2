"""The account behind a webhook's address."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.store.models import ProviderAccount


def hook_account(session: Session, provider: str, account_id: str | None) -> ProviderAccount | None:
    """The named account of the provider, or its default."""
    query = select(ProviderAccount).where(ProviderAccount.provider == provider)
    if account_id is None:
        return session.scalar(query.where(ProviderAccount.is_default))
    return session.scalar(query.where(ProviderAccount.id == account_id))
