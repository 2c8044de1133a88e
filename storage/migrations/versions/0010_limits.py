"""Limits that were changed at run time outlive a restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "limits",
        sa.Column("one", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("one", name="limits_key"),
        sa.CheckConstraint("one", name="limits_are_one_row"),
    )


def downgrade() -> None:
    op.drop_table("limits")
