"""Once a day: is the webhook that a provider has registered still ours, as far as that can be known?"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.domain.lanes import Lane
from shared.providers import registry
from shared.providers.base import ReadFailed
from shared.providers.hook_records import hook_url, stale
from shared.store.models import Outbox, ProviderAccount
from shared.store.outbox import Lease, add_single, fenced, finish
from workers.deps import Deps
from workers.services import calling
from workers.services.ledger import Ledger

PRIORITY = 55


def begin(deps: Deps) -> None:
    """The duty `webhooks.check`: a row for each account whose provider lets webhooks be registered."""
    able = [name for name in registry.names() if registry.get(name).registration is not None]
    with deps.sessions.begin() as session:
        for account_id in session.scalars(select(ProviderAccount.id).where(ProviderAccount.provider.in_(able))):
            add_single(
                session,
                lane=Lane.OUTGOING.value,
                kind="hook",
                destination=f"account:{account_id}",
                account_id=account_id,
                priority=PRIORITY,
                single=f"hook:{account_id}",
            )
    deps.ringer.ring(Lane.OUTGOING)


def check(deps: Deps, lease: Lease) -> None:
    """Compare what is registered with what would be; where it cannot be read, what we registered last."""
    with deps.sessions() as session:
        account_id = session.get_one(Outbox, lease.id).account_id
        row = session.get_one(ProviderAccount, account_id)
        account = Ledger(session, deps).account(row.id)
        url = hook_url(deps.settings.public_url, account, is_default=row.is_default)
        record = deps.box.open(row.registered_hook)
    registration = registry.get(account.provider).registration
    if registration is None or not calling.may_start(deps, lease):
        return
    try:
        found = registration.registered(calling.frame(deps, lease), account)
        wrong = None if found == url else "another address is registered"
    except ReadFailed:
        wrong = stale(record, account, url)
    deps.record(lambda session: _settle(session, deps, lease, account.id, wrong))


def _settle(session: Session, deps: Deps, lease: Lease, account_id: str, wrong: str | None) -> None:
    book = Ledger(session, deps)
    row = fenced(session, lease)
    if row is None:
        return
    finish(row, book.now, "done", wrong or "")
    subject = f"hook:{account_id}"
    if wrong is None:
        book.end_notice(subject)
        return
    words = f"The webhook of account {account_id} is not as it should be: {wrong} (tocsin webhook register)"
    book.notice(session.get_one(ProviderAccount, account_id).platform_id, subject, "webhook_stale", words, once=True)
