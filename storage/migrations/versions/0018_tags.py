"""A message may have a tag, by which what waits of a campaign is found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

IS_OPEN_WITH_TAG = sa.text("tag IS NOT NULL AND status IN ('queued', 'sending')")


def upgrade() -> None:
    op.add_column("messages", sa.Column("tag", sa.Text))
    op.create_index(
        "messages_open_with_tag",
        "messages",
        ["tag", "id"],
        sqlite_where=IS_OPEN_WITH_TAG,
        postgresql_where=IS_OPEN_WITH_TAG,
    )


def downgrade() -> None:
    op.drop_index("messages_open_with_tag", "messages")
    op.drop_column("messages", "tag")
