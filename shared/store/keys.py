"""API keys: made once, stored hashed, looked up by hash."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.crypto import hash_api_key, new_api_key
from shared.store.models import ApiKey

SCOPES = ("alarms", "incidents", "sites", "platform", "panel")


def create_key(
    session: Session, platform_id: str, name: str, scopes: list[str], site_ref: str | None = None
) -> tuple[ApiKey, str]:
    """A new key and its text, which is shown once. Raises ValueError for an unknown scope or a panel without a site."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise ValueError(f"scopes are {', '.join(SCOPES)}")
    if ("panel" in scopes) != (site_ref is not None):
        raise ValueError("a panel key is bound to exactly one site, and only a panel key is")
    if "panel" in scopes and len(scopes) > 1:
        raise ValueError("a panel key has no other scope")
    text = new_api_key()
    row = ApiKey(platform_id=platform_id, name=name, hash=hash_api_key(text), scopes=scopes, site_ref=site_ref)
    session.add(row)
    session.flush()
    return row, text


def find_key(session: Session, text: str) -> ApiKey | None:
    """The key that is not revoked, by its text."""
    return session.scalar(select(ApiKey).where(ApiKey.hash == hash_api_key(text), ApiKey.revoked_at.is_(None)))


def revoke_key(session: Session, platform_id: str, key_id: int) -> bool:
    """Revoke at once; False when there is no such live key."""
    done = session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.platform_id == platform_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
    )
    return done.first() is not None
