"""The files of a broadcast, and why it was paused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0029"

COLUMNS = ("media", "problem")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("broadcasts", sa.Column(name, sa.Text))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("broadcasts", name)
