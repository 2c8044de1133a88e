"""The files of a broadcast, why it was paused, and what was paid for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0029"

COLUMNS = {
    "media": sa.Text,
    "problem": sa.Text,
    "purse_places": sa.BigInteger,
    "nanostars_billed": sa.BigInteger,
    "stars_asked_at_ms": sa.BigInteger,
}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("broadcasts", sa.Column(name, kind()))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("broadcasts", name)
