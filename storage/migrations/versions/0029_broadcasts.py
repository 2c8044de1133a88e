"""Broadcasts, and the rows of their recipients: each is the fence of its message."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"

IS_WAITING = sa.text("message_id IS NULL AND outcome IS NULL")
IS_UNDER_WAY = sa.text("message_id IS NOT NULL AND outcome IS NULL")
HAS_FAILED = sa.text("outcome IN ('dead', 'expired', 'refused')")
IS_ACTIVE = sa.text("is_active")

OUTCOMES = ("sent", "dead", "cancelled", "expired", "uncertain", "unreachable", "opted_out", "refused")


def upgrade() -> None:
    op.create_table(
        "broadcasts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("bot_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("plan", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("is_gathered", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("gathered_to", sa.Text, nullable=False, server_default=""),
        sa.Column("is_retrying", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("recipients", sa.BigInteger, nullable=False, server_default="0"),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in OUTCOMES),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger),
        sa.Column("ended_at_ms", sa.BigInteger),
        sa.CheckConstraint(
            "state IN ('draft', 'running', 'paused', 'done', 'cancelled')", name="broadcast_state_is_known"
        ),
        sa.PrimaryKeyConstraint("id", name="broadcasts_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("broadcasts_active", "broadcasts", ["id"], sqlite_where=IS_ACTIVE, postgresql_where=IS_ACTIVE)
    op.create_index("broadcasts_ended", "broadcasts", ["ended_at_ms"])
    op.create_table(
        "broadcast_recipients",
        sa.Column("broadcast_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("due_at_ms", sa.BigInteger, nullable=False),
        sa.Column("round", sa.Integer, nullable=False, server_default="0"),
        sa.Column("message_id", sa.Text),
        sa.Column("outcome", sa.Text),
        sa.PrimaryKeyConstraint("broadcast_id", "chat_id", name="broadcast_recipients_key"),
        sqlite_with_rowid=False,
    )
    for name, columns, where in (
        ("waiting", ["broadcast_id", "due_at_ms", "chat_id"], IS_WAITING),
        ("under_way", ["broadcast_id", "message_id"], IS_UNDER_WAY),
        ("failed", ["broadcast_id", "outcome"], HAS_FAILED),
    ):
        op.create_index(
            f"broadcast_recipients_{name}",
            "broadcast_recipients",
            columns,
            sqlite_where=where,
            postgresql_where=where,
        )


def downgrade() -> None:
    op.drop_table("broadcast_recipients")
    op.drop_table("broadcasts")
