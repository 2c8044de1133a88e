"""Alerts, their notices, and dead letters by the time at which they were given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

IS_OPEN = sa.text("ended_at_ms = 0")
IS_DEAD = sa.text("status = 'dead'")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger, nullable=False),
        sa.Column("said_at_ms", sa.BigInteger, nullable=False),
        sa.Column("reminded_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=False),
        sa.Column("end_said_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="alerts_key"),
    )
    op.create_index(
        "alerts_open", "alerts", ["kind", "key"], unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN
    )
    op.create_index("alerts_ended", "alerts", ["ended_at_ms"])
    op.create_table(
        "alert_notices",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_try_ms", sa.BigInteger, nullable=False),
        sa.Column("is_set_aside", sa.Boolean, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=False),
        sa.Column("is_accepted", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", "channel", name="alert_notices_key"),
    )
    op.create_index(
        "alert_notices_waiting", "alert_notices", ["channel", "id"], sqlite_where=IS_OPEN, postgresql_where=IS_OPEN
    )
    op.create_index("alert_notices_ended", "alert_notices", ["ended_at_ms"])
    op.create_table(
        "alert_sightings",
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("process", "kind", "key", name="alert_sightings_key"),
    )
    op.create_index("alert_sightings_at", "alert_sightings", ["at_ms"])

    op.create_index(
        "messages_dead_by_time", "messages", ["settled_at_ms"], sqlite_where=IS_DEAD, postgresql_where=IS_DEAD
    )


def downgrade() -> None:
    op.drop_index("messages_dead_by_time", "messages")
    op.drop_table("alert_sightings")
    op.drop_table("alert_notices")
    op.drop_table("alerts")
