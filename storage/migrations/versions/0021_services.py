"""Services: what was changed of them, and what of their long windows is used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "services",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", name="services_key"),
    )
    op.create_table(
        "call_uses",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("limiter", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="call_uses_key"),
    )
    op.create_index("call_uses_by_limiter", "call_uses", ["limiter", "at_ms"])
    op.create_index("call_uses_by_time", "call_uses", ["at_ms"])


def downgrade() -> None:
    op.drop_table("call_uses")
    op.drop_table("services")
