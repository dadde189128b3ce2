"""Provider tokens, kept encrypted in the account's row so that every process shares one."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from shared.crypto import Box
from shared.providers.base import Token
from shared.store.models import ProviderAccount


class StoredTokens:
    """A TokenStore on the database. Never in Redis, never in a log."""

    def __init__(self, sessions: sessionmaker[Session], box: Box) -> None:
        """Keep what opens short transactions."""
        self._sessions = sessions
        self._box = box

    def get(self, account_id: str) -> Token | None:
        """The shared token, None when there is none or it is due for renewal."""
        with self._sessions() as session:
            row = session.execute(
                select(ProviderAccount.token, ProviderAccount.token_renew_at).where(
                    ProviderAccount.id == account_id, ProviderAccount.token_renew_at > func.now()
                )
            ).first()
        if row is None or row.token is None or row.token_renew_at is None:
            return None
        return Token(self._box.open(row.token), row.token_renew_at)

    def put(self, account_id: str, token: Token) -> None:
        """Keep a token."""
        with self._sessions.begin() as session:
            session.execute(
                update(ProviderAccount)
                .where(ProviderAccount.id == account_id)
                .values(token=self._box.seal(token.value), token_renew_at=token.renew_at)
            )

    def drop(self, account_id: str, value: str) -> None:
        """Forget a refused token, unless another process has put a newer one meanwhile."""
        with self._sessions.begin() as session:
            # Not the key: else no webhook of the account could be stored meanwhile.
            sealed = session.scalar(
                select(ProviderAccount.token).where(ProviderAccount.id == account_id).with_for_update(key_share=True)
            )
            if sealed is not None and self._box.open(sealed) == value:
                session.execute(update(ProviderAccount).where(ProviderAccount.id == account_id).values(token=None))
