"""A platform's own row: its words, its addresses, its policies."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.store.models import Platform


def words(session: Session, platform_id: str) -> dict[str, str | None]:
    """The platform's own words, by status."""
    return dict(session.scalar(select(Platform.words).where(Platform.id == platform_id)) or {})


def policies(session: Session, platform_id: str) -> dict[str, Any]:
    """The platform's policies as they were saved."""
    return dict(session.scalar(select(Platform.policies).where(Platform.id == platform_id)) or {})


def own(session: Session, platform_id: str) -> Platform:
    """The platform's row."""
    return session.get_one(Platform, platform_id)


def locked(session: Session, platform_id: str) -> Platform:
    """The platform's row, held until the transaction ends; what refers to it can be inserted meanwhile."""
    query = select(Platform).where(Platform.id == platform_id).with_for_update(key_share=True)
    return session.execute(query).scalar_one()
