"""Sources of watches whose pace is slowed, and indexes of the items of one source: checked in an hour, failing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"

IS_FAILING = sa.text("failures > 0")


def upgrade() -> None:
    op.create_table(
        "watch_paces",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("pause_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", name="watch_paces_key"),
    )
    op.drop_index("watch_items_attempted", "watch_items")
    op.create_index("watch_items_attempted", "watch_items", ["source", "attempted_at_ms"])
    op.create_index(
        "watch_items_failing", "watch_items", ["source"], sqlite_where=IS_FAILING, postgresql_where=IS_FAILING
    )


def downgrade() -> None:
    op.drop_index("watch_items_failing", "watch_items")
    op.drop_index("watch_items_attempted", "watch_items")
    op.create_index("watch_items_attempted", "watch_items", ["attempted_at_ms"])
    op.drop_table("watch_paces")
