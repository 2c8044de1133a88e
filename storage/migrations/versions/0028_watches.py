"""What is watched, by which chats, what was observed, and what is still to be said of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

IS_IN_NO_DIGEST = sa.text("digest_at_ms = 0")
IS_IN_A_DIGEST = sa.text("digest_at_ms > 0")


def upgrade() -> None:
    op.create_table(
        "watch_items",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("phase", sa.BigInteger, nullable=False),
        sa.Column("priority", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("viewed_at_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("checked_at_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempted_at_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("not_before_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("fields", sa.JSON(none_as_null=True)),
        sa.CheckConstraint("priority >= 1", name="watch_priority_is_at_least_1"),
        sa.PrimaryKeyConstraint("source", "key", name="watch_items_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("watch_items_attempted", "watch_items", ["attempted_at_ms"])
    op.create_index("watch_items_checked", "watch_items", ["checked_at_ms"])
    op.create_table(
        "watch_subscriptions",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("added_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", "chat_id", "source", "key", name="watch_subscriptions_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("watch_subscriptions_of_item", "watch_subscriptions", ["source", "key"])
    op.create_table(
        "watch_observations",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("before", sa.JSON(none_as_null=True)),
        sa.Column("fields", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "key", "at_ms", name="watch_observations_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("watch_observations_by_time", "watch_observations", ["at_ms"])
    op.create_table(
        "watch_notices",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("due_at_ms", sa.BigInteger, nullable=False),
        sa.Column("digest_at_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("bot_id", "chat_id", "source", "key", "at_ms", name="watch_notices_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("watch_notices_by_time", "watch_notices", ["at_ms"])
    op.create_index(
        "watch_notices_due",
        "watch_notices",
        ["due_at_ms"],
        sqlite_where=IS_IN_NO_DIGEST,
        postgresql_where=IS_IN_NO_DIGEST,
    )
    op.create_index(
        "watch_notices_digests",
        "watch_notices",
        ["digest_at_ms"],
        sqlite_where=IS_IN_A_DIGEST,
        postgresql_where=IS_IN_A_DIGEST,
    )
    op.create_table(
        "watch_plans",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("items_max", sa.Integer, nullable=False),
        sa.Column("interval_ms", sa.BigInteger, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.CheckConstraint("items_max >= 0", name="watch_items_max_is_not_negative"),
        sa.CheckConstraint("interval_ms > 0", name="watch_interval_is_positive"),
        sa.PrimaryKeyConstraint("name", name="watch_plans_key"),
    )
    op.create_table(
        "watch_members",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("plan", sa.Text),
        sa.PrimaryKeyConstraint("bot_id", "chat_id", name="watch_members_key"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for name in ("members", "plans", "notices", "observations", "subscriptions", "items"):
        op.drop_table(f"watch_{name}")
