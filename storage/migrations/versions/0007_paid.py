"""What is paid for: a message waits as such after a restart, and what a bot has spent is still spent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

IS_PAID = sa.text("is_paid")


def upgrade() -> None:
    op.add_column("messages", sa.Column("is_paid", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("attempts", sa.Column("is_paid", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("attempts_paid", "attempts", ["counted_at_ms"], sqlite_where=IS_PAID, postgresql_where=IS_PAID)


def downgrade() -> None:
    op.drop_index("attempts_paid", "attempts")
    op.drop_column("attempts", "is_paid")
    op.drop_column("messages", "is_paid")
