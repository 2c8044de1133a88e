"""Handles of messages that wait, and what refers to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("messages", sa.Column("item_ids", sa.JSON))
    op.create_table(
        "handles",
        sa.Column("bot_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.CheckConstraint("number < 0", name="handle_is_negative"),
        sa.CheckConstraint("item < 0", name="item_is_from_the_end"),
        sa.PrimaryKeyConstraint("bot_id", "number", name="handles_key"),
    )
    op.create_index("handles_of_message", "handles", ["message_id", "item"], unique=True)
    op.create_table(
        "last_handles",
        sa.Column("bot_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", name="last_handles_key"),
    )
    op.create_table(
        "referrals",
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("target_id", sa.Text, primary_key=True),
        sa.Column("is_named", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("message_id", "target_id", name="referrals_key"),
    )
    op.create_index("referrals_of_target", "referrals", ["target_id"])


def downgrade() -> None:
    op.drop_table("referrals")
    op.drop_table("last_handles")
    op.drop_table("handles")
    with op.batch_alter_table("messages") as table:
        table.drop_column("item_ids")
