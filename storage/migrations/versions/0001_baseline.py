"""The first tables. See ``storage.database.models`` for what they mean."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_messages()
    _create_payloads()
    _create_attempts()
    _create_updates()
    _create_holds()
    _create_bots()
    _create_chats()


def downgrade() -> None:
    for table in ("chats", "bots", "holds", "updates", "attempts", "payloads", "messages"):
        op.drop_table(table)


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("bot_id", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.Text),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("cost", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("guarantee", sa.Text, nullable=False),
        sa.Column("dedup_key", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("submitted_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ready_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger),
        sa.Column("settled_at_ms", sa.BigInteger),
        sa.Column("telegram_message_id", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="messages_key"),
        sa.CheckConstraint("direction IN ('in', 'out')", name="direction_is_known"),
        sa.CheckConstraint(
            "status IN ('queued', 'sending', 'sent', 'dead', 'cancelled', 'expired', 'uncertain', 'received')",
            name="status_is_known",
        ),
        sa.CheckConstraint("(direction = 'in') = (status = 'received')", name="only_incoming_is_received"),
        sa.CheckConstraint(
            "(status IN ('queued', 'sending')) = (settled_at_ms IS NULL)",
            name="settled_has_time",
        ),
        sa.CheckConstraint("status <> 'dead' OR reason IS NOT NULL", name="dead_has_reason"),
        sa.CheckConstraint("attempt >= 0", name="attempt_is_not_negative"),
        sqlite_with_rowid=False,
    )
    _create_index("messages_once_in", "messages", ["bot_id", "dedup_key"], "dedup_key IS NOT NULL", unique=True)
    _create_index("messages_open", "messages", ["id"], "status IN ('queued', 'sending')")
    _create_index("messages_dead", "messages", ["id"], "status = 'dead'")
    op.create_index("messages_of_chat", "messages", ["bot_id", "chat_id", "id"])


def _create_payloads() -> None:
    op.create_table(
        "payloads",
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("params", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="payloads_key"),
        sqlite_with_rowid=False,
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("bot_id", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.Text),
        sa.Column("cost", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger),
        sa.Column("counted_at_ms", sa.BigInteger),
        sa.Column("recorded_at_ms", sa.BigInteger, nullable=False),
        sa.Column("code", sa.Integer),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="attempts_key"),
    )
    op.create_index("attempts_of_message", "attempts", ["message_id"])
    _create_index("attempts_counted", "attempts", ["counted_at_ms"], "counted_at_ms IS NOT NULL")


def _create_updates() -> None:
    op.create_table(
        "updates",
        sa.Column("bot_id", sa.BigInteger, nullable=False),
        sa.Column("update_id", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("received_at_ms", sa.BigInteger, nullable=False),
        sa.Column("handled_at_ms", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("bot_id", "update_id", name="updates_key"),
        sa.CheckConstraint("status IN ('received', 'handled', 'failed')", name="update_status_is_known"),
        sa.CheckConstraint("(status = 'received') = (handled_at_ms IS NULL)", name="handled_has_time"),
        sa.CheckConstraint("status <> 'failed' OR reason IS NOT NULL", name="failed_has_reason"),
    )
    _create_index("updates_received", "updates", ["received_at_ms", "update_id", "bot_id"], "status = 'received'")
    _create_index("updates_handled", "updates", ["handled_at_ms"], "handled_at_ms IS NOT NULL")


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("bot_id", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", "chat_id", name="holds_key"),
    )


def _create_bots() -> None:
    op.create_table(
        "bots",
        sa.Column("bot_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("sealed_token", sa.LargeBinary),
        sa.Column("sealed_webhook_secret", sa.LargeBinary),
        sa.Column("username", sa.Text, nullable=False, server_default=""),
        sa.Column("first_name", sa.Text, nullable=False, server_default=""),
        sa.Column("behaviours", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("weight", sa.Integer, nullable=False, server_default="1"),
        sa.Column("added_at_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("bot_id", name="bots_key"),
        sa.CheckConstraint("weight >= 1", name="weight_is_at_least_1"),
    )


def _create_chats() -> None:
    op.create_table(
        "chats",
        sa.Column("bot_id", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("reachable", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("reason", sa.Text),
        sa.Column("alias_of", sa.Text),
        sa.Column("last_message_in_at_ms", sa.BigInteger),
        sa.Column("title", sa.Text),
        sa.Column("type", sa.Text),
        sa.Column("time_zone", sa.Text),
        sa.PrimaryKeyConstraint("bot_id", "chat_id", name="chats_key"),
        sa.CheckConstraint("reachable OR reason IS NOT NULL", name="unreachable_has_reason"),
        sa.CheckConstraint("alias_of <> chat_id", name="alias_is_another_chat"),
    )
    op.create_index("chats_by_alias", "chats", ["bot_id", "alias_of"])


def _create_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
