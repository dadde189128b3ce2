"""open alarms polled, our own notes recognised, reports recorded, alarms verified first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.add_column("dispatch", sa.Column("poll_at", _MOMENT, nullable=True))
    op.execute(
        "UPDATE dispatch SET poll_at = now() WHERE outcome IN ('accepted', 'surplus') AND provider_alarm_id IS NOT NULL"
    )
    op.create_index("ix_dispatch_poll", "dispatch", ["poll_at"], postgresql_where=sa.text("poll_at IS NOT NULL"))
    op.add_column("provider_account", sa.Column("poll_at", _MOMENT, nullable=True))
    op.add_column(
        "provider_account", sa.Column("polled_steps", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column(
        "provider_account", sa.Column("unheard_steps", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("provider_account", sa.Column("unheard_at", _MOMENT, nullable=True))
    op.add_column("provider_account", sa.Column("registered_hook", sa.LargeBinary(), nullable=True))
    op.add_column("provider_account", sa.Column("registered_hook_at", _MOMENT, nullable=True))
    op.add_column("incident", sa.Column("report_url", sa.String(), nullable=True))
    op.add_column("incident", sa.Column("reported_by", sa.String(), nullable=True))
    op.add_column("incident", sa.Column("reported_at", _MOMENT, nullable=True))
    op.create_index(
        "ix_incident_unreported",
        "incident",
        ["platform_id", "received_at", "id"],
        postgresql_where=sa.text("status = 'closed' AND report_url IS NULL"),
    )
    op.create_table(
        "own_note",
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("leg_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("note_id", sa.String(), nullable=True),
        sa.Column("written_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_own_note_outbox_id")),
        sa.ForeignKeyConstraint(["leg_id"], ["dispatch.id"], name=op.f("fk_own_note_leg_id")),
        sa.PrimaryKeyConstraint("outbox_id", "part", name=op.f("pk_own_note")),
    )
    op.create_index("ix_own_note_leg", "own_note", ["leg_id"])
    _create_verification()


def _create_verification() -> None:
    op.create_table(
        "verification",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="waiting", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("late", sa.String(), server_default="", nullable=False),
        sa.Column("asked_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("ends_at", _MOMENT, nullable=False),
        sa.Column("answered_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_verification_incident_id")),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_verification_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verification")),
    )
    op.create_index("ix_verification_incident", "verification", ["incident_id"])
    op.create_index(
        "ix_verification_waiting", "verification", ["ends_at"], postgresql_where=sa.text("state = 'waiting'")
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("verification")
    op.drop_table("own_note")
    op.drop_index("ix_incident_unreported", table_name="incident")
    for name in ("reported_at", "reported_by", "report_url"):
        op.drop_column("incident", name)
    for name in ("registered_hook_at", "registered_hook", "unheard_at", "unheard_steps", "polled_steps", "poll_at"):
        op.drop_column("provider_account", name)
    op.drop_index("ix_dispatch_poll", table_name="dispatch")
    op.drop_column("dispatch", "poll_at")
