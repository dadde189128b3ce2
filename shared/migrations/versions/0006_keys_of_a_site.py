"""What recognises a repeat is of a site: another site's event of the same number takes nothing away from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("repeat_key", sa.Column("site_ref", sa.String(), nullable=False, server_default=""))
    op.execute(
        "UPDATE repeat_key k SET site_ref = i.site_ref FROM incident i"
        " WHERE i.id = k.incident_id AND i.site_ref IS NOT NULL"
    )
    op.drop_constraint("pk_repeat_key", "repeat_key")
    op.create_primary_key("pk_repeat_key", "repeat_key", ["platform_id", "incident_ref", "site_ref", "key"])


def downgrade() -> None:
    """Undo; of two sites' equal keys the younger stays."""
    op.execute(
        "DELETE FROM repeat_key a USING repeat_key b WHERE a.platform_id = b.platform_id"
        " AND a.incident_ref = b.incident_ref AND a.key = b.key AND (a.seen_at, a.site_ref) < (b.seen_at, b.site_ref)"
    )
    op.drop_constraint("pk_repeat_key", "repeat_key")
    op.create_primary_key("pk_repeat_key", "repeat_key", ["platform_id", "incident_ref", "key"])
    op.drop_column("repeat_key", "site_ref")
