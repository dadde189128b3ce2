"""the spine: tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "job",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("every_s", sa.Double(), nullable=False),
        sa.Column("next_run_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("token", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job")),
    )
    op.create_table(
        "platform",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("writeback_url", sa.String(), server_default="", nullable=False),
        sa.Column("writeback_secret", sa.LargeBinary(), nullable=True),
        sa.Column("escalation_url", sa.String(), server_default="", nullable=False),
        sa.Column("escalation_secret", sa.LargeBinary(), nullable=True),
        sa.Column("words", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("policies", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform")),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("site_ref", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_api_key_platform_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_key_hash")),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("told", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("heard_by_platform", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("heard_by_escalation", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("once", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_notice_platform_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index(
        "ix_notice_due",
        "notice",
        ["next_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL AND acknowledged_at IS NULL"),
    )
    op.create_index("uq_notice_open", "notice", ["subject"], unique=True, postgresql_where=sa.text("ended_at IS NULL"))
    op.create_table(
        "provider_account",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("site_mode", sa.String(), server_default="rest", nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("webhook_secrets", sa.LargeBinary(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=True),
        sa.Column("token_renew_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("webhook_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_provider_account_platform_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_account")),
        sa.UniqueConstraint(
            "platform_id", "provider", "name", name=op.f("uq_provider_account_platform_id_provider_name")
        ),
    )
    op.create_index(
        "uq_provider_account_default",
        "provider_account",
        ["provider"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "repeat_key",
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("incident_ref", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_repeat_key_platform_id")),
        sa.PrimaryKeyConstraint("platform_id", "incident_ref", "key", name=op.f("pk_repeat_key")),
    )
    op.create_table(
        "site",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("provider_site_id", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lng", sa.Double(), nullable=True),
        sa.Column("account_number", sa.String(), server_default="", nullable=False),
        sa.Column("contacts", sa.LargeBinary(), nullable=True),
        sa.Column("gate_instructions", sa.String(), server_default="", nullable=False),
        sa.Column("notes", sa.String(), server_default="", nullable=False),
        sa.Column("sync_state", sa.String(), server_default="local", nullable=False),
        sa.Column("sync_error", sa.String(), server_default="", nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("synced_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_site_account_id")),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_site_platform_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
        sa.UniqueConstraint("account_id", "reference", name=op.f("uq_site_account_id_reference")),
        sa.UniqueConstraint("platform_id", "reference", name=op.f("uq_site_platform_id_reference")),
    )
    op.create_index(
        "uq_site_provider_site_id",
        "site",
        ["account_id", "provider_site_id"],
        unique=True,
        postgresql_where=sa.text("provider_site_id IS NOT NULL"),
    )
    op.create_table(
        "incident",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("incident_ref", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("predecessor_id", sa.String(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("site_id", sa.BigInteger(), nullable=True),
        sa.Column("site_ref", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("services", postgresql.ARRAY(sa.TEXT()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("origin", sa.String(), server_default="platform", nullable=False),
        sa.Column("test", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(), server_default="received", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("cancel", sa.String(), nullable=True),
        sa.Column("cancel_reason", sa.String(), nullable=True),
        sa.Column("after_authorities", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("possible_double", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("eta_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("moments", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("seq", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_incident_account_id")),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_incident_platform_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_incident_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
        sa.UniqueConstraint(
            "platform_id", "incident_ref", "generation", name=op.f("uq_incident_platform_id_incident_ref_generation")
        ),
    )
    op.create_index(
        "ix_incident_cancelling", "incident", ["id"], unique=False, postgresql_where=sa.text("cancel = 'requested'")
    )
    op.create_index("ix_incident_listing", "incident", ["platform_id", "received_at", "id"], unique=False)
    op.create_index(
        "ix_incident_open",
        "incident",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("NOT (status IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded'))"),
    )
    op.create_index(
        "ix_incident_site",
        "incident",
        ["site_id"],
        unique=False,
        postgresql_where=sa.text("NOT (status IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded'))"),
    )
    op.create_index(
        "ix_incident_waiting",
        "incident",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('received', 'holding', 'requesting')"),
    )
    op.create_table(
        "dispatch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(), server_default="pending", nullable=False),
        sa.Column("provider_alarm_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("services", postgresql.ARRAY(sa.TEXT()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("test", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("possible_double", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("cancel", sa.String(), nullable=True),
        sa.Column("sending_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sending_token", sa.Integer(), nullable=True),
        sa.Column("unknown_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("complete_lookups", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("arrived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("authorities", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_dispatch_account_id")),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_dispatch_incident_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_dispatch_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatch")),
        sa.UniqueConstraint("account_id", "provider_alarm_id", name=op.f("uq_dispatch_account_id_provider_alarm_id")),
        sa.UniqueConstraint("id", "outcome", name=op.f("uq_dispatch_id_outcome")),
    )
    op.create_index(
        "ix_dispatch_doubt",
        "dispatch",
        ["sending_at"],
        unique=False,
        postgresql_where=sa.text("outcome IN ('sending', 'unknown')"),
    )
    op.create_index(
        "ix_dispatch_live_site",
        "dispatch",
        ["site_id"],
        unique=False,
        postgresql_where=sa.text("outcome IN ('pending', 'sending', 'unknown', 'accepted')"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("incident_id", sa.String(), nullable=True),
        sa.Column("api_key_id", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("50"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("token", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("worked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_inbox_account_id")),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_inbox_incident_id")),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_inbox_platform_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("account_id", "event_id", name=op.f("uq_inbox_account_id_event_id")),
    )
    op.create_index(
        "ix_inbox_due", "inbox", ["priority", "id"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index(
        "ix_inbox_parked",
        "inbox",
        ["account_id", "subject"],
        unique=False,
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.create_index(
        "ix_inbox_pending_incident",
        "inbox",
        ["incident_id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_inbox_set_aside",
        "inbox",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('set_aside', 'unmatched')"),
    )
    op.create_index(
        "ix_inbox_stream", "inbox", ["stream", "id"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index(
        "uq_inbox_unworked_digest",
        "inbox",
        ["account_id", "digest"],
        unique=True,
        postgresql_where=sa.text("event_id IS NULL AND source = 'webhook' AND state = 'pending' AND attempts = 0"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("50"), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("incident_id", sa.String(), nullable=True),
        sa.Column("leg_id", sa.BigInteger(), nullable=True),
        sa.Column("site_id", sa.BigInteger(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("urgent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("worse", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("single", sa.String(), nullable=True),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lost_leases", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("errors", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("token", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["provider_account.id"], name=op.f("fk_outbox_account_id")),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_outbox_incident_id")),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_outbox_platform_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_dead", "outbox", ["id"], unique=False, postgresql_where=sa.text("state = 'dead'"))
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["lane", "priority", "next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_outbox_leased",
        "outbox",
        ["destination"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND lease_until IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_order", "outbox", ["incident_id", "seq"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index(
        "ix_outbox_site",
        "outbox",
        ["site_id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND site_id IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_worse",
        "outbox",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND worse"),
    )
    op.create_index(
        "uq_outbox_single",
        "outbox",
        ["single"],
        unique=True,
        postgresql_where=sa.text("state = 'pending' AND single IS NOT NULL"),
    )
    op.create_table(
        "timeline",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("leg_id", sa.BigInteger(), nullable=True),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("entry", sa.String(), nullable=False),
        sa.Column("effect", sa.String(), nullable=True),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_timeline_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timeline")),
    )
    op.create_index("ix_timeline_incident", "timeline", ["incident_id", "id"], unique=False)
    op.create_index(
        "uq_timeline_effect",
        "timeline",
        ["incident_id", "effect"],
        unique=True,
        postgresql_where=sa.text("effect IS NOT NULL"),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.Column("leg_id", sa.BigInteger(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("provider_id", sa.String(), nullable=True),
        sa.Column("late", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_attempt_outbox_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index("ix_attempt_outbox", "attempt", ["outbox_id", "id"], unique=False)
    op.create_table(
        "incident_leg",
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("leg_id", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("joined", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_incident_leg_incident_id")),
        sa.ForeignKeyConstraint(
            ["leg_id", "outcome"], ["dispatch.id", "dispatch.outcome"], name="fk_incident_leg_leg", onupdate="CASCADE"
        ),
        sa.PrimaryKeyConstraint("incident_id", "leg_id", name=op.f("pk_incident_leg")),
    )
    op.create_index("ix_incident_leg_leg", "incident_leg", ["leg_id"], unique=False)
    op.create_index(
        "uq_incident_leg_live",
        "incident_leg",
        ["incident_id"],
        unique=True,
        postgresql_where=sa.text("left_at IS NULL AND outcome IN ('pending', 'sending', 'unknown', 'accepted')"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index(
        "uq_incident_leg_live",
        table_name="incident_leg",
        postgresql_where=sa.text("left_at IS NULL AND outcome IN ('pending', 'sending', 'unknown', 'accepted')"),
    )
    op.drop_index("ix_incident_leg_leg", table_name="incident_leg")
    op.drop_table("incident_leg")
    op.drop_index("ix_attempt_outbox", table_name="attempt")
    op.drop_table("attempt")
    op.drop_index("uq_timeline_effect", table_name="timeline", postgresql_where=sa.text("effect IS NOT NULL"))
    op.drop_index("ix_timeline_incident", table_name="timeline")
    op.drop_table("timeline")
    op.drop_index(
        "uq_outbox_single", table_name="outbox", postgresql_where=sa.text("state = 'pending' AND single IS NOT NULL")
    )
    op.drop_index("ix_outbox_worse", table_name="outbox", postgresql_where=sa.text("state = 'pending' AND worse"))
    op.drop_index(
        "ix_outbox_site", table_name="outbox", postgresql_where=sa.text("state = 'pending' AND site_id IS NOT NULL")
    )
    op.drop_index("ix_outbox_order", table_name="outbox", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index(
        "ix_outbox_leased",
        table_name="outbox",
        postgresql_where=sa.text("state = 'pending' AND lease_until IS NOT NULL"),
    )
    op.drop_index("ix_outbox_due", table_name="outbox", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index("ix_outbox_dead", table_name="outbox", postgresql_where=sa.text("state = 'dead'"))
    op.drop_table("outbox")
    op.drop_index(
        "uq_inbox_unworked_digest",
        table_name="inbox",
        postgresql_where=sa.text("event_id IS NULL AND source = 'webhook' AND state = 'pending' AND attempts = 0"),
    )
    op.drop_index("ix_inbox_stream", table_name="inbox", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index(
        "ix_inbox_set_aside", table_name="inbox", postgresql_where=sa.text("state IN ('set_aside', 'unmatched')")
    )
    op.drop_index("ix_inbox_pending_incident", table_name="inbox", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index("ix_inbox_parked", table_name="inbox", postgresql_where=sa.text("state = 'parked'"))
    op.drop_index("ix_inbox_due", table_name="inbox", postgresql_where=sa.text("state = 'pending'"))
    op.drop_table("inbox")
    op.drop_index(
        "ix_dispatch_live_site",
        table_name="dispatch",
        postgresql_where=sa.text("outcome IN ('pending', 'sending', 'unknown', 'accepted')"),
    )
    op.drop_index(
        "ix_dispatch_doubt", table_name="dispatch", postgresql_where=sa.text("outcome IN ('sending', 'unknown')")
    )
    op.drop_table("dispatch")
    op.drop_index(
        "ix_incident_waiting",
        table_name="incident",
        postgresql_where=sa.text("status IN ('received', 'holding', 'requesting')"),
    )
    op.drop_index(
        "ix_incident_site",
        table_name="incident",
        postgresql_where=sa.text("NOT (status IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded'))"),
    )
    op.drop_index(
        "ix_incident_open",
        table_name="incident",
        postgresql_where=sa.text("NOT (status IN ('closed', 'cancelled', 'completed', 'dropped', 'recorded'))"),
    )
    op.drop_index("ix_incident_listing", table_name="incident")
    op.drop_index("ix_incident_cancelling", table_name="incident", postgresql_where=sa.text("cancel = 'requested'"))
    op.drop_table("incident")
    op.drop_index(
        "uq_site_provider_site_id", table_name="site", postgresql_where=sa.text("provider_site_id IS NOT NULL")
    )
    op.drop_table("site")
    op.drop_table("repeat_key")
    op.drop_index("uq_provider_account_default", table_name="provider_account", postgresql_where=sa.text("is_default"))
    op.drop_table("provider_account")
    op.drop_index("uq_notice_open", table_name="notice", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index(
        "ix_notice_due", table_name="notice", postgresql_where=sa.text("ended_at IS NULL AND acknowledged_at IS NULL")
    )
    op.drop_table("notice")
    op.drop_table("api_key")
    op.drop_table("platform")
    op.drop_table("job")
    op.drop_table("heartbeat")
    op.drop_table("audit")
