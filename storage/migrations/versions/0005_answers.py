"""Which items of an album arrived, and why a bot is paused: what follows from Telegram's answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("delivered_items", sa.Integer))
    op.add_column("bots", sa.Column("paused_by", sa.Text))


def downgrade() -> None:
    op.drop_column("bots", "paused_by")
    op.drop_column("attempts", "delivered_items")
