"""An update bears the number of the process that stored it, so that another takes over what a dead one left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("updates", sa.Column("owner", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("updates") as table:
        table.drop_column("owner")
