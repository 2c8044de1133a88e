"""What was said lately, for bots whose answers a text generator writes. See decision 0008."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "texts",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("update_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("by_bot", sa.Boolean, nullable=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("speaker", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("said_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", "update_id", "by_bot", name="texts_key"),
    )
    op.create_index("texts_of_chat", "texts", ["bot_id", "chat_id", "said_at_ms"])
    op.create_index("texts_said", "texts", ["said_at_ms"])


def downgrade() -> None:
    op.drop_table("texts")
