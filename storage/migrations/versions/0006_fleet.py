"""Where a bot's updates come from, what Telegram was told of its webhook, and that it was removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ADDED = ("removal", "updates", "webhook_told", "sealed_next_webhook_secret")


def upgrade() -> None:
    op.add_column("bots", sa.Column("sealed_next_webhook_secret", sa.LargeBinary))
    # In words, because Alembic adds no column with a constraint to SQLite.
    op.execute("ALTER TABLE bots ADD COLUMN webhook_told TEXT")
    op.execute(
        "ALTER TABLE bots ADD COLUMN updates TEXT "
        "CONSTRAINT source_is_known CHECK (updates IN ('webhook', 'polling', 'none'))"
    )
    op.execute(
        "ALTER TABLE bots ADD COLUMN removal TEXT "
        "CONSTRAINT removal_is_known CHECK (removal IN ('keep', 'cancel', 'done')) "
        "CONSTRAINT removed_has_no_token CHECK (removal IS NULL OR sealed_token IS NULL)"
    )


def downgrade() -> None:
    for name in ADDED:  # each goes with its constraints
        op.drop_column("bots", name)
