"""Whether somebody saw in a picture what an alarm says, asked before anybody is sent."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.store.models.base import Base, Moment, Stamped


class Verification(Base):
    """One question about one incident; its id is that of the provider's task.

    `state`: waiting (until `ends_at`), yes, no, inconclusive (the provider could not say), timeout (nobody answered in
    time), failed (it could not be asked), overtaken (a further signal came). What came later than the decision stands
    in `late`.
    """

    __tablename__ = "verification"

    id: Mapped[str] = mapped_column(primary_key=True)
    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id"))
    account_id: Mapped[str] = mapped_column(ForeignKey("provider_account.id"))
    state: Mapped[str] = mapped_column(server_default="waiting")
    reason: Mapped[str] = mapped_column(server_default="")
    late: Mapped[str] = mapped_column(server_default="")
    asked_at: Mapped[Stamped]
    ends_at: Mapped[Moment]
    answered_at: Mapped[Moment | None]

    __table_args__ = (
        Index("ix_verification_incident", "incident_id"),
        Index("ix_verification_waiting", "ends_at", postgresql_where=text("state = 'waiting'")),
    )
