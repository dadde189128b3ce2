"""One account asked from the command line, with a token of this command's own."""

from __future__ import annotations

from shared.clock import boot_time
from shared.domain.outcome import Accepted, Outcome, Permanent
from shared.providers import registry
from shared.providers.base import Account, Call, Token


class OwnTokens:
    """A TokenStore for one command: what it fetches is known to nobody else."""

    def __init__(self) -> None:
        self._kept: dict[str, Token] = {}

    def get(self, account_id: str) -> Token | None:
        """The token of this command."""
        return self._kept.get(account_id)

    def put(self, account_id: str, token: Token) -> None:
        """Keep it until the command ends."""
        self._kept[account_id] = token

    def drop(self, account_id: str, value: str) -> None:
        """Forget it."""
        self._kept.pop(account_id, None)


def call_now(call_s: float) -> Call:
    """The frame of one call that begins now and is over after `call_s` seconds."""
    return Call(deadline=boot_time() + call_s, tokens=OwnTokens())


def ask(account: Account, call_s: float) -> Outcome:
    """Whether the account can be used."""
    capability = registry.get(account.provider).probe
    if capability is None:
        return Permanent("this provider cannot be asked")
    return capability.probe(call_now(call_s), account)


def reason_of(outcome: Outcome) -> str:
    """Why not; empty when it was accepted."""
    return "" if isinstance(outcome, Accepted) else outcome.reason
