"""Messages that wait for others are found without reading all that refer to another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

IS_PARKED = sa.text("settled_at_ms IS NULL AND ready_at_ms = 90000000000000")


def upgrade() -> None:
    op.create_index("messages_parked", "messages", ["id"], sqlite_where=IS_PARKED, postgresql_where=IS_PARKED)


def downgrade() -> None:
    op.drop_index("messages_parked", "messages")
