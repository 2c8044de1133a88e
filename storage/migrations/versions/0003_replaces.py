"""What an edit changes, so that after a restart the newest one still replaces those before it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("messages", sa.Column("replaces", sa.Text))


def downgrade() -> None:
    op.drop_column("messages", "replaces")
