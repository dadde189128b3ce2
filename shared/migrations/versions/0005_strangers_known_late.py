"""an id that is learnt late finds its events, also those that were given up as unmatched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_inbox_unmatched", "inbox", ["account_id", "subject"], postgresql_where=sa.text("state = 'unmatched'")
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_inbox_unmatched", table_name="inbox")
