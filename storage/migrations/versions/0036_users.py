"""Users, API tokens, log-in links and sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"

ROLES = "role IN ('viewer', 'operator', 'admin')"


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("folded_name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("password_digest", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="users_key"),
        sa.CheckConstraint(ROLES, name="user_role_is_known"),
    )
    op.create_index("users_named", "users", ["folded_name"], unique=True)
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("bots", sa.JSON(none_as_null=True)),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger),
        sa.Column("last_used_at_ms", sa.BigInteger),
        sa.Column("revoked_at_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="api_tokens_key"),
        sa.CheckConstraint(ROLES, name="token_role_is_known"),
    )
    op.create_index("api_tokens_of_user", "api_tokens", ["user_id"])
    op.create_table(
        "login_links",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="login_links_key"),
    )
    op.create_index("login_links_of_user", "login_links", ["user_id"])
    op.create_index("login_links_expire", "login_links", ["expires_at_ms"])
    op.create_table(
        "api_sessions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("token_id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="api_sessions_key"),
    )
    op.create_index("ix_sessions_token_active_expires", "api_sessions", ["token_id", "is_active", "expires_at"])
    op.create_index("ix_sessions_expires_active", "api_sessions", ["expires_at", "is_active"])
    op.create_index("api_sessions_of_user", "api_sessions", ["user_id"])


def downgrade() -> None:
    for table in ("api_sessions", "login_links", "api_tokens", "users"):
        op.drop_table(table)
