"""Of each service, what stands for its declaration: another one raises the version of its limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("services", sa.Column("declared", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("services", "declared")
