"""Which loops of which processes run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "loop_beats",
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("loop", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("every_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("process", "loop", name="loop_beats_key"),
    )


def downgrade() -> None:
    op.drop_table("loop_beats")
