"""A bot says where its behaviours come from, and has defaults of its own for the parameters of its calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("bots", sa.Column("behaviours_by", sa.Text, nullable=False, server_default="earlier"))
    op.add_column("bots", sa.Column("defaults", sa.JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("bots", "defaults")
    op.drop_column("bots", "behaviours_by")
