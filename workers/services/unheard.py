"""Steps that polling found and no webhook had told: counted, and told to a person when they come in a row."""

from __future__ import annotations

from sqlalchemy import text

from workers.services.ledger import Ledger

IN_A_ROW = 3

_COUNT = text("""
    UPDATE provider_account SET polled_steps = polled_steps + 1, unheard_at = now(),
        unheard_steps = CASE WHEN webhook_seen_at > unheard_at THEN 1 ELSE unheard_steps + 1 END
    WHERE id = :id RETURNING platform_id, unheard_steps, webhook_seen_at
""")
_HEARD = text("""
    UPDATE notice n SET ended_at = now() FROM provider_account a
    WHERE n.ended_at IS NULL AND n.kind = 'webhooks_lost' AND n.subject = 'webhooks:' || a.id
        AND a.webhook_seen_at > n.opened_at
""")


def count(book: Ledger, account_id: str) -> None:
    """One more; the third in a row raises a notice, if webhooks of this account ever worked."""
    row = book.session.execute(_COUNT, {"id": account_id}).one()
    if row.unheard_steps < IN_A_ROW or row.webhook_seen_at is None:
        return
    words = f"The webhooks of account {account_id} seem to be lost: polling found {IN_A_ROW} steps that none had told"
    book.notice(row.platform_id, f"webhooks:{account_id}", "webhooks_lost", words, once=True)


def end_notices(book: Ledger) -> None:
    """A webhook arrived since."""
    book.session.execute(_HEARD)
