"""What a process sees to when it starts: the duties' rows, the environment's accounts, and the providers' code."""

from __future__ import annotations

import structlog

from shared.accounts import ensure_defaults
from shared.providers import registry
from shared.providers.base import Account
from workers.deps import Deps
from workers.services.jobs import ensure_jobs

log = structlog.get_logger(__name__)


def prepare(deps: Deps) -> None:
    """Bring the rows up to date. An account whose host and environment disagree is not saved, and logged."""
    ensure_jobs(deps)
    fitting = []
    for described in deps.settings.default_accounts():
        account = Account(
            id=described["provider"],
            provider=described["provider"],
            base_url=described["base_url"],
            environment=described["environment"],
            credentials=described["credentials"],
            webhook_secrets=tuple(described["webhook_secrets"]),
            options=described["options"],
        )
        problems = registry.get(account.provider).check_account(account)
        if problems:
            log.error("account.refused", provider=account.provider, problems=list(problems))
        else:
            fitting.append(described)
    with deps.sessions.begin() as session:
        ensure_defaults(session, fitting, deps.box)
