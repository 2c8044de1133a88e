"""An epoch says by which form of the schedule it goes, so that two versions may run side by side."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("epochs", sa.Column("form", sa.Integer, nullable=False, server_default="0"))
    op.add_column("epochs", sa.Column("bypassed", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("epochs") as table:
        table.drop_column("bypassed")
        table.drop_column("form")
