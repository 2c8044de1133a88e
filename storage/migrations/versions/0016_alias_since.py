"""Another name of a chat has the time at which it was learned, so that a start knows how old it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("chats", sa.Column("alias_since_ms", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("chats") as table:
        table.drop_column("alias_since_ms")
