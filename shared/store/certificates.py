"""Certificates as a platform asks for them: one per idempotency key, its call written in the same transaction."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.crypto import Box
from shared.domain.lanes import Lane
from shared.store.models import Certificate, Outbox, ProviderAccount

PRIORITY = 70


class KeyUsed(Exception):
    """The idempotency key was used for another address or account."""


def ask(
    session: Session, platform_id: str, account_id: str, key: str | None, address: Mapping[str, Any], box: Box
) -> tuple[Certificate, bool]:
    """The certificate, and whether it is a new one. Raises KeyUsed."""
    made = session.scalar(
        insert(Certificate)
        .values(
            id=f"crt_{secrets.token_hex(16)}",
            platform_id=platform_id,
            account_id=account_id,
            idempotency_key=key,
            address=box.seal(dict(address)),
        )
        .on_conflict_do_nothing(index_elements=["platform_id", "idempotency_key"])
        .returning(Certificate)
    )
    if made is None:
        kept = session.scalars(
            select(Certificate).where(Certificate.platform_id == platform_id, Certificate.idempotency_key == key)
        ).one()
        if kept.account_id != account_id or box.open(kept.address) != dict(address):
            raise KeyUsed
        return kept, False
    session.add(
        Outbox(
            lane=Lane.OUTGOING.value,
            kind="certificate",
            destination=f"account:{account_id}",
            platform_id=platform_id,
            account_id=account_id,
            priority=PRIORITY,
            body={"certificate_id": made.id},
        )
    )
    return made, True


def find(session: Session, platform_id: str, certificate_id: str) -> Row[Certificate, str] | None:
    """A certificate with its provider; None when the platform has no such certificate."""
    return session.execute(
        select(Certificate, ProviderAccount.provider)
        .join(ProviderAccount, ProviderAccount.id == Certificate.account_id)
        .where(Certificate.id == certificate_id, Certificate.platform_id == platform_id)
    ).first()
