"""Files that messages carry: their bytes while they are needed, and Telegram's names for them afterwards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="uploads_key"),
    )
    op.create_table(
        "upload_parts",
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sha256", "number", name="upload_parts_key"),
    )
    op.create_table(
        "attachments",
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text),
        sa.Column("needs_bytes", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("message_id", "name", name="attachments_key"),
    )
    op.create_index("attachments_of_file", "attachments", ["sha256", "needs_bytes"])
    op.create_table(
        "file_ids",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("file_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", "sha256", "kind", name="file_ids_key"),
    )
    op.create_index("file_ids_of_file", "file_ids", ["sha256"])


def downgrade() -> None:
    for table in ("file_ids", "attachments", "upload_parts", "uploads"):
        op.drop_table(table)
