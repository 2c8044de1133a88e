"""Many processes: which schedule leases come from, and since when a call that must not be repeated is under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "epochs",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("begun_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="epochs_key"),
        sa.CheckConstraint("id = 1", name="there_is_one_epoch"),
        sa.CheckConstraint("source IN ('redis', 'keeper')", name="epoch_source_is_known"),
    )
    op.add_column("messages", sa.Column("sending_since_ms", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("messages", "sending_since_ms")
    op.drop_table("epochs")
