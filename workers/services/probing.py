"""Asks each provider account whether it can be used, so that a dead one is found before an alarm finds it.

One outbox row per account keeps the rhythm; its `attempts` count the failures in a row.
"""

from __future__ import annotations

from sqlalchemy import text

from shared.domain.lanes import Lane
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.providers import registry
from shared.providers.base import Account
from shared.store.models import Outbox
from shared.store.outbox import Lease, fenced, finish, release
from workers.deps import Deps
from workers.services import calling
from workers.services.ledger import Ledger

FAILURES_BEFORE_TOLD = 2
# After a failure the next look comes sooner; it takes two to call an account dead.
AGAIN_S = 60.0
# Of a process that has just started more important things are asked first.
FIRST_AFTER_S = 60.0

# A destination of its own: an account that hangs in a probe holds back nothing.
_BEGIN = text("""
    INSERT INTO outbox (lane, kind, destination, platform_id, account_id, priority, single, next_attempt_at)
    SELECT :lane, 'probe', 'probe:' || a.id, a.platform_id, a.id, 90, 'probe:' || a.id,
        now() + make_interval(secs => least(:first_s, :every_s))
    FROM provider_account a WHERE a.provider = ANY(:able)
    ON CONFLICT (single) WHERE state = 'pending' AND single IS NOT NULL DO NOTHING
""")


def begin(deps: Deps) -> None:
    """The duty `accounts.probe`: a row for each account that has none; an interval of 0 asks nobody."""
    every_s = deps.settings.probe_every_s
    if not every_s:
        return
    able = [name for name in registry.names() if registry.get(name).probe is not None]
    values = {"lane": Lane.OUTGOING.value, "able": able, "first_s": FIRST_AFTER_S, "every_s": every_s}
    with deps.sessions.begin() as session:
        session.execute(_BEGIN, values)


def probe(deps: Deps, lease: Lease) -> None:
    """Ask once, and be due again after the interval."""
    with deps.sessions() as session:
        account = Ledger(session, deps).account(session.get_one(Outbox, lease.id).account_id or "")
    capability = registry.get(account.provider).probe
    if not calling.may_start(deps, lease):
        return
    outcome: Outcome = Permanent("this provider cannot be asked")
    if capability is not None:
        outcome = capability.probe(calling.frame(deps, lease), account)
    book = deps.record(lambda session: _settle(Ledger(session, deps), lease, account, outcome))
    book.ring_out()


def _settle(book: Ledger, lease: Lease, account: Account, outcome: Outcome) -> Ledger:
    row = fenced(book.session, lease)
    if row is None:
        return book
    every_s = book.deps.settings.probe_every_s
    subject = f"account:{account.id}"
    if isinstance(outcome, Accepted):
        row.attempts, row.last_error = 0, ""
        book.end_notice(subject)
        release(row, book.now, book.in_seconds(every_s))
    else:
        row.attempts, row.last_error = row.attempts + 1, outcome.reason[:500]
        if row.attempts >= FAILURES_BEFORE_TOLD and row.platform_id is not None:
            words = f"The account {account.id} cannot be used, alarms through it would fail: {row.last_error}"
            book.notice(row.platform_id, subject, "account", words)
        release(row, book.now, book.in_seconds(min(AGAIN_S, every_s)))
    if not every_s:
        finish(row, book.now, "void", "probing was switched off")
    return book
