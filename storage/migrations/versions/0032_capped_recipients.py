"""Recipients of broadcasts that the daily cap left out are counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.add_column("broadcasts", sa.Column("daily_cap", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Count them as those that opted out, whose outcome is as final: a broadcast ends when all its outcomes count."""
    op.execute("UPDATE broadcast_recipients SET outcome = 'opted_out' WHERE outcome = 'daily_cap'")
    op.execute("UPDATE broadcasts SET opted_out = opted_out + daily_cap")
    op.drop_column("broadcasts", "daily_cap")
