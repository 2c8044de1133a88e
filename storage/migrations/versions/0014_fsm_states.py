"""Where each user stands in a conversation outlives a restart, and all processes agree on it. See decision 0020."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

IS_CLEARED = sa.text("state IS NULL AND data IS NULL")


def upgrade() -> None:
    op.create_table(
        "fsm_states",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("chat_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("thread_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("business_connection_id", sa.Text, nullable=False),
        sa.Column("destiny", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
        sa.Column("data", sa.LargeBinary),
        sa.Column("update_id", sa.BigInteger),
        sa.Column("run", sa.BigInteger),
        sa.Column("state_before", sa.Text),
        sa.Column("data_before", sa.LargeBinary),
        sa.PrimaryKeyConstraint(
            "bot_id", "chat_id", "user_id", "thread_id", "business_connection_id", "destiny", name="fsm_states_key"
        ),
        sa.CheckConstraint("(update_id IS NULL) = (run IS NULL)", name="run_is_of_an_update"),
    )
    op.create_index(
        "fsm_states_cleared",
        "fsm_states",
        ["update_id"],
        sqlite_where=IS_CLEARED,
        postgresql_where=IS_CLEARED,
    )


def downgrade() -> None:
    op.drop_table("fsm_states")
