"""A hold has the time at which it began, so that it keeps its length over a clock that is set back; and counters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("holds", sa.Column("since_ms", sa.BigInteger))
    op.create_table(
        "totals",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="totals_key"),
    )


def downgrade() -> None:
    op.drop_table("totals")
    op.drop_column("holds", "since_ms")
