"""What an edit changes, and who made a bot say something: after a restart both count as before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("messages", sa.Column("replaces", sa.Text))
    op.add_column("messages", sa.Column("user_id", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("messages", "user_id")
    op.drop_column("messages", "replaces")
