"""What is known of a chat besides its name, and the fence of the messages of campaigns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

IS_UNSUBMITTED = sa.text("message_id IS NULL")


def upgrade() -> None:
    with op.batch_alter_table("chats") as chats:
        chats.add_column(sa.Column("last_message_out_at_ms", sa.BigInteger))
        chats.add_column(sa.Column("language", sa.Text))
        chats.add_column(sa.Column("opted_out_at_ms", sa.BigInteger))
        chats.add_column(sa.Column("quiet_from", sa.Integer))
        chats.add_column(sa.Column("quiet_until", sa.Integer))
        chats.create_check_constraint("quiet_hours_have_both_ends", "(quiet_from IS NULL) = (quiet_until IS NULL)")
    op.create_index("chats_by_activity", "chats", ["bot_id", "time_zone", "last_message_in_at_ms"])
    op.create_table(
        "chat_tags",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", "tag", "chat_id", name="chat_tags_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("chat_tags_of_chat", "chat_tags", ["bot_id", "chat_id"])
    op.create_table(
        "campaign_claims",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("local_date", sa.Text, nullable=False),
        sa.Column("campaign", sa.Text, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("not_before_ms", sa.BigInteger),
        sa.Column("day_ends_ms", sa.BigInteger, nullable=False),
        sa.Column("claimed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.Text),
        sa.PrimaryKeyConstraint("bot_id", "chat_id", "local_date", "campaign", name="campaign_claims_key"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "campaign_claims_slots", "campaign_claims", ["bot_id", "chat_id", "local_date", "slot"], unique=True
    )
    op.create_index(
        "campaign_claims_unsubmitted",
        "campaign_claims",
        ["bot_id", "campaign", "chat_id"],
        sqlite_where=IS_UNSUBMITTED,
        postgresql_where=IS_UNSUBMITTED,
    )
    op.create_index("campaign_claims_by_end", "campaign_claims", ["day_ends_ms"])


def downgrade() -> None:
    op.drop_table("campaign_claims")
    op.drop_table("chat_tags")
    op.drop_index("chats_by_activity", "chats")
    with op.batch_alter_table("chats") as chats:
        chats.drop_constraint("quiet_hours_have_both_ends", type_="check")
        for name in ("quiet_until", "quiet_from", "opted_out_at_ms", "language", "last_message_out_at_ms"):
            chats.drop_column(name)
