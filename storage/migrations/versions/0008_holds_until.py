"""Holds are found by their end: those that are over are removed, and a start reads only those that stand."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("holds_until", "holds", ["until_ms"])


def downgrade() -> None:
    op.drop_index("holds_until", "holds")
