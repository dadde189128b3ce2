"""What a complete listing teaches of our sites: the provider's id, its coverage, whether a reference is ambiguous."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.drift import NAMED
from shared.domain.lanes import Lane
from shared.providers.base import Account
from shared.store import reconciling as store
from shared.store.models import Site
from shared.store.reconciling import Learnt, Pair
from shared.store.site_saving import send
from workers.services.ledger import Ledger


def learn(book: Ledger, account: Account, pairs: Sequence[Pair], unjudged: frozenset[str]) -> None:
    """Bring our rows up to date. Nothing is sent but a save that a conflict had kept from the provider."""
    news: list[Learnt] = []
    taken: set[str] = set()
    for pair in pairs:
        one = _news(pair, may_adopt=account.site_mode == "csv" or pair.reference not in unjudged)
        if one is None or one.provider_site_id in taken:
            continue
        news.append(one)
        if one.provider_site_id is not None:
            taken.add(one.provider_site_id)
        if pair.site is not None and pair.site.sync_state == "conflict" and not one.conflict:
            _send_what_was_held(book, pair.site.id)
    store.learn(book.session, account.id, news)


def _news(pair: Pair, *, may_adopt: bool) -> Learnt | None:
    """What is new about one site; None when nothing is."""
    site = pair.site
    if site is None or site.deleted_at is not None:
        return None
    living = [record for record in pair.theirs if not record.deleted]
    conflict = ""
    if len(living) > 1:
        count = str(len(living)) if len(living) <= NAMED else f"more than {NAMED}"
        conflict = f"{count} records carry it"
    one = living[0] if len(living) == 1 else None
    adopted = one.provider_site_id if one is not None and may_adopt and site.provider_site_id is None else None
    coverage = dict(one.coverage) if one is not None else site.coverage
    held = site.sync_state == "conflict" and one is not None
    if adopted is None and conflict == site.conflict and coverage == site.coverage and not held:
        return None
    return Learnt(site.id, adopted, conflict, coverage)


def _send_what_was_held(book: Ledger, site_id: int) -> None:
    """The provider had refused it as a duplicate, and one record is left: that one gets what was saved here."""
    site = book.session.get_one(Site, site_id, with_for_update=True)
    if site.sync_state == "conflict":
        site.sync_state, site.sync_error = "pending", ""
        book.end_notice(f"site:{site.id}")
        book.session.flush()
        send(book.session, site)
        book.ring(Lane.OUTGOING)
