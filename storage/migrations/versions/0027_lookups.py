"""Indexes by which messages are found: by Telegram's number, and what came in for a bot by its time.

``tasks_due`` goes: no query uses it, since the scheduler knows the times of its tasks.

While one is created, PostgreSQL lets nothing be written into ``messages``; ``docs/operations.md`` says for how long.
Not ``CONCURRENTLY``: all migrations are one transaction, in which that is refused.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

INDEXES = {
    "ix_messages_chat_telegram_msg": (
        ["chat_id", "telegram_message_id"],
        "telegram_message_id IS NOT NULL AND substr(chat_id, 1, 1) IN ('-', '@')",
    ),
    "ix_messages_reply_lookup": (
        ["chat_id", "bot_id", "telegram_message_id"],
        "telegram_message_id IS NOT NULL AND direction = 'out'",
    ),
    "ix_messages_incoming": (["bot_id", "submitted_at_ms", "chat_id"], "direction = 'in'"),
}


def upgrade() -> None:
    for name, (columns, where) in INDEXES.items():
        op.create_index(
            name,
            "messages",
            columns,
            if_not_exists=True,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )
    op.drop_index("tasks_due", "tasks")


def downgrade() -> None:
    op.create_index("tasks_due", "tasks", ["next_due_ms"])
    for name in INDEXES:
        op.drop_index(name, "messages")
