"""Chats whose data was erased, by a keyed digest of their id."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    op.create_table(
        "erased_chats",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("bot_id", sa.BigInteger),
        sa.Column("chat_id", sa.Text),
        sa.Column("erased_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="erased_chats_key"),
    )
    op.create_index(
        "erased_chats_pending",
        "erased_chats",
        ["erased_at_ms"],
        sqlite_where=sa.text("chat_id IS NOT NULL"),
        postgresql_where=sa.text("chat_id IS NOT NULL"),
    )
    op.add_column("identity", sa.Column("sealed_erasure_key", sa.LargeBinary))


def downgrade() -> None:
    op.drop_column("identity", "sealed_erasure_key")
    op.drop_table("erased_chats")
