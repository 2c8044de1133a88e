"""A ledger has an id, so that a queue in Redis can say to which it belongs, and shows which SECRET_KEY is its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "identity",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("ledger_id", sa.Text, nullable=False),
        sa.Column("key_check", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="identity_key"),
        sa.CheckConstraint("id = 1", name="there_is_one_identity"),
    )


def downgrade() -> None:
    op.drop_table("identity")
