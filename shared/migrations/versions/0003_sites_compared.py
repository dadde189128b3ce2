"""sites deleted, compared with their provider's listing, and imported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.add_column("site", sa.Column("coverage", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("site", sa.Column("conflict", sa.String(), server_default="", nullable=False))
    op.add_column("site", sa.Column("deleted_at", _MOMENT, nullable=True))
    op.add_column("site", sa.Column("import_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_site_changed", "site", ["account_id", "updated_at"])
    _create_run()
    _create_listed_site()
    _create_drift()
    _create_site_import()


def _create_run() -> None:
    op.create_table(
        "reconciliation_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="wanted", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        *(
            sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
            for name in ("sites", "listed", "compared")
        ),
        sa.Column("counts", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        *(
            sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
            for name in ("opened", "cleared", "repairs")
        ),
        sa.Column("withheld", sa.String(), server_default="", nullable=False),
        sa.Column("asked_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=True),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("token", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_reconciliation_run_platform_id")),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_reconciliation_run_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation_run")),
    )
    for state in ("wanted", "running"):
        op.create_index(
            f"uq_reconciliation_run_{state}",
            "reconciliation_run",
            ["account_id"],
            unique=True,
            postgresql_where=sa.text(f"state = '{state}'"),
        )
    op.create_index("ix_reconciliation_run_account", "reconciliation_run", ["account_id", "id"])
    op.create_index("ix_reconciliation_run_platform", "reconciliation_run", ["platform_id", "id"])


def _create_listed_site() -> None:
    op.create_table(
        "listed_site",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("provider_site_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lng", sa.Double(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("in_coverage", sa.Boolean(), nullable=True),
        sa.Column("coverage", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "reference", "provider_site_id", name=op.f("pk_listed_site")),
        prefixes=["UNLOGGED"],
    )


def _create_drift() -> None:
    op.create_table(
        "drift",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=True),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("provider_site_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("entry", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("first_run_id", sa.BigInteger(), nullable=False),
        sa.Column("last_run_id", sa.BigInteger(), nullable=False),
        sa.Column("repair_asked_at", _MOMENT, nullable=True),
        sa.Column("opened_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("cleared_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_drift_platform_id")),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_drift_account_id")),
        sa.ForeignKeyConstraint(["first_run_id"], ["reconciliation_run.id"], name=op.f("fk_drift_first_run_id")),
        sa.ForeignKeyConstraint(["last_run_id"], ["reconciliation_run.id"], name=op.f("fk_drift_last_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
    )
    still_open = sa.text("cleared_at IS NULL")
    op.create_index(
        "uq_drift_open", "drift", ["account_id", "kind", "subject"], unique=True, postgresql_where=still_open
    )
    op.create_index("ix_drift_reference", "drift", ["account_id", "reference"], postgresql_where=still_open)
    op.create_index("ix_drift_listing", "drift", ["platform_id", "id"])


def _create_site_import() -> None:
    op.create_table(
        "site_import",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="wanted", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        *(
            sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)
            for name in ("dry_run", "keep_absent", "allow_fall")
        ),
        sa.Column("delimiter", sa.String(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        *(
            sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
            for name in ("good", "bad", "saved", "removed", "uploaded")
        ),
        sa.Column("faults", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("callback", sa.LargeBinary(), nullable=True),
        sa.Column("callback_at", _MOMENT, nullable=True),
        sa.Column("wait_until", _MOMENT, nullable=True),
        sa.Column("reconciliation_id", sa.BigInteger(), nullable=True),
        sa.Column("next_attempt_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("token", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_site_import_platform_id")),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_site_import_account_id")),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"], ["reconciliation_run.id"], name=op.f("fk_site_import_reconciliation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_import")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_site_import_secret_hash")),
    )
    op.create_index("ix_site_import_platform", "site_import", ["platform_id", "id"])
    op.create_index(
        "uq_site_import_open",
        "site_import",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    """Undo."""
    for table in ("site_import", "drift", "listed_site", "reconciliation_run"):
        op.drop_table(table)
    op.drop_index("ix_site_changed", table_name="site")
    for column in ("import_id", "deleted_at", "conflict", "coverage"):
        op.drop_column("site", column)
