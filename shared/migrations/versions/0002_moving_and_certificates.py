"""moving alarms, their fixes and sources; monitoring certificates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ENDED = "status IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded')"


def upgrade() -> None:
    """Apply."""
    op.add_column("platform", sa.Column("location_source_url", sa.String(), server_default="", nullable=False))
    op.add_column("platform", sa.Column("location_source_secret", sa.LargeBinary(), nullable=True))
    op.add_column(
        "platform", sa.Column("location_source_interval_s", sa.Double(), server_default=sa.text("10"), nullable=False)
    )
    op.add_column("incident", sa.Column("moving", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index(
        "ix_incident_moving", "incident", ["received_at"], postgresql_where=sa.text(f"moving AND NOT ({_ENDED})")
    )
    op.create_table(
        "location_fix",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("leg_id", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("point", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), server_default="held", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_location_fix_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_location_fix")),
    )
    op.create_index("ix_location_fix_incident", "location_fix", ["incident_id", "taken_at"])
    op.create_index("ix_location_fix_held", "location_fix", ["incident_id"], postgresql_where=sa.text("state = 'held'"))
    op.create_table(
        "certificate",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_certificate_account_id")),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_certificate_platform_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificate")),
        sa.UniqueConstraint("platform_id", "idempotency_key", name=op.f("uq_certificate_platform_id_idempotency_key")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("certificate")
    op.drop_table("location_fix")
    op.drop_index("ix_incident_moving", table_name="incident")
    op.drop_column("incident", "moving")
    op.drop_column("platform", "location_source_interval_s")
    op.drop_column("platform", "location_source_secret")
    op.drop_column("platform", "location_source_url")
