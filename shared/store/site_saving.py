"""Sites as a platform saves and reads them; what a provider must learn goes out in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from shared.crypto import Box
from shared.domain.lanes import Lane
from shared.domain.lifecycle import ENDED
from shared.store.models import Incident, ProviderAccount, Site
from shared.store.outbox import add_single

SITE_PRIORITY = 60


_LIVES = Incident.status.not_in([status.value for status in ENDED])


class SiteInUse(Exception):
    """The site has an incident that has not ended."""


@dataclass(frozen=True)
class Wanted:
    """A site as it was sent; `contacts` are sealed when saved. `listed`: the provider keeps a directory."""

    account_id: str
    reference: str
    listed: bool
    columns: Mapping[str, Any] = field(repr=False)
    contacts: Sequence[Mapping[str, Any]] = field(repr=False)


@dataclass(frozen=True)
class Saved:
    """What the saving did."""

    site: Site
    created: bool
    goes_out: bool


def find(session: Session, platform_id: str, reference: str) -> Row[Site, str] | None:
    """A site with its provider; None when the platform has no such site."""
    return session.execute(
        select(Site, ProviderAccount.provider)
        .join(ProviderAccount, ProviderAccount.id == Site.account_id)
        .where(Site.platform_id == platform_id, Site.reference == reference, Site.sync_state != "deleted")
    ).first()


def page(session: Session, platform_id: str, *, after: str | None, limit: int) -> Sequence[Row[Site, str]]:
    """Sites by reference; one more than `limit` when there are more."""
    query = (
        select(Site, ProviderAccount.provider)
        .join(ProviderAccount, ProviderAccount.id == Site.account_id)
        .where(Site.platform_id == platform_id, Site.sync_state != "deleted")
        .order_by(Site.reference)
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(Site.reference > after)
    return session.execute(query).all()


def accounts(session: Session, platform_id: str) -> Sequence[ProviderAccount]:
    """The platform's provider accounts."""
    return session.scalars(
        select(ProviderAccount)
        .where(ProviderAccount.platform_id == platform_id)
        .order_by(ProviderAccount.created_at, ProviderAccount.id)
    ).all()


def save(session: Session, platform_id: str, wanted: Wanted, box: Box) -> Saved:
    """Create or replace a site. Raises IntegrityError when the account has the reference for somebody else."""
    site = session.execute(
        select(Site).where(Site.platform_id == platform_id, Site.reference == wanted.reference).with_for_update()
    ).scalar_one_or_none()
    created = site is None or site.sync_state == "deleted"
    if site is None:
        site = Site(platform_id=platform_id, reference=wanted.reference, version=1, synced_version=0)
        session.add(site)
    elif _unchanged(site, wanted, box):
        return Saved(site, created=False, goes_out=False)
    else:
        site.version += 1
        site.updated_at = func.now()
    if site.account_id != wanted.account_id:
        # The new account's directory has not heard of it.
        site.account_id = wanted.account_id
        site.provider_site_id = None
        site.synced_version = 0
        site.coverage, site.conflict = {}, ""
    for name, value in wanted.columns.items():
        setattr(site, name, value)
    site.contacts = box.seal(list(wanted.contacts))
    site.sync_state = "pending" if wanted.listed else "local"
    site.sync_error = ""
    site.deleted_at = None
    session.flush()
    if wanted.listed:
        send(session, site)
    session.refresh(site)
    return Saved(site, created=created, goes_out=wanted.listed)


def delete(session: Session, platform_id: str, reference: str, *, listed: bool) -> Saved | None:
    """Take a site out; the row stays for its incidents. None when there is none. Raises SiteInUse.

    Under the row's lock, which the incident of an alarm waits for: it finds the site deleted, and fails at once.
    """
    site = session.scalar(
        select(Site)
        .where(Site.platform_id == platform_id, Site.reference == reference, Site.sync_state != "deleted")
        .with_for_update()
    )
    if site is None:
        return None
    living = session.scalar(select(Incident.id).where(Incident.site_id == site.id, _LIVES).limit(1))
    if living is not None:
        raise SiteInUse
    if site.sync_state == "deleting":
        return Saved(site, created=False, goes_out=True)
    site.version += 1
    site.updated_at = site.deleted_at = func.now()
    site.contacts, site.gate_instructions, site.notes = None, "", ""
    site.sync_state, site.sync_error = ("deleting" if listed else "deleted"), ""
    session.flush()
    if listed:
        send(session, site)
    session.refresh(site)
    return Saved(site, created=False, goes_out=listed)


def _unchanged(site: Site, wanted: Wanted, box: Box) -> bool:
    """True when nothing differs and the provider was not left behind by a failure."""
    if site.account_id != wanted.account_id or site.sync_state in ("failed", "conflict", "deleting", "deleted"):
        return False
    if wanted.listed != (site.sync_state != "local"):
        return False
    if any(getattr(site, name) != value for name, value in wanted.columns.items()):
        return False
    return list(box.open(site.contacts) or []) == list(wanted.contacts)


def send(session: Session, site: Site) -> None:
    """Let the provider's directory be told of the site as it is now, deletion included."""
    add_single(
        session,
        lane=Lane.OUTGOING.value,
        kind="site",
        destination=f"account:{site.account_id}",
        priority=SITE_PRIORITY,
        platform_id=site.platform_id,
        account_id=site.account_id,
        site_id=site.id,
        single=f"site:{site.id}",
    )
