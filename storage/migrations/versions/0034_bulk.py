"""How far each named bulk is, beside sweeps, and which of its items failed or were under way at a kill."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.add_column("sweeps", sa.Column("under_way", sa.Text, nullable=False, server_default=""))
    op.add_column("sweeps", sa.Column("items_crc", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("sweeps", sa.Column("run", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "bulk_marks",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("index", sa.BigInteger, nullable=False),
        sa.Column("was_under_way", sa.Boolean, nullable=False),
        sa.Column("is_given_up", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", "index", name="bulk_marks_key"),
    )


def downgrade() -> None:
    """Forget named bulks: an older version would take their rows for sweeps."""
    op.drop_table("bulk_marks")
    op.execute("DELETE FROM sweeps WHERE run <> ''")
    for name in ("run", "items_crc", "under_way"):
        op.drop_column("sweeps", name)
