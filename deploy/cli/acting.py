"""An action on an incident, written into the inbox as the door does it: what it does, the work decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.cli.faults import CommandError
from deploy.cli.reach import Reach
from shared.crypto import digest
from shared.domain.lanes import Lane
from shared.store import reading
from shared.store.models import Inbox


def ask(here: Reach, platform_id: str, incident_id: str, action: str, body: Mapping[str, Any]) -> str:
    """Add the row and its audit; return the incident's status as it is now. Raises CommandError."""
    found = reading.target(here.session, platform_id, incident_id)
    if found is None:
        raise CommandError(f"the platform {platform_id} has no incident {incident_id}")
    sealed = here.box.seal(dict(body))
    row = Inbox(
        source=action,
        platform_id=platform_id,
        account_id=found.account_id,
        incident_id=found.id,
        digest=digest(sealed),
        stream=found.id,
        priority=0,  # a person's word goes first
        body=sealed,
    )
    here.session.add(row)
    here.write_down(platform_id, f"incident.{action}", found.id, {"by": body.get("by")})
    here.ring(Lane.INTAKE)
    return found.status
