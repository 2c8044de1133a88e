"""The files of a broadcast, why it was paused, and what was paid for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"

HAS_MEDIA = sa.text("media IS NOT NULL")

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
    op.create_index("broadcasts_media", "broadcasts", ["media"], sqlite_where=HAS_MEDIA, postgresql_where=HAS_MEDIA)


def downgrade() -> None:
    op.drop_index("broadcasts_media", "broadcasts")
    for name in COLUMNS:
        op.drop_column("broadcasts", name)
