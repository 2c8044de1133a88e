"""Which SECRET_KEY the database has, whether it is being changed, and under which one each digest is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"

DIGESTED = ("api_tokens", "login_links", "api_sessions")
OF_THE_DATABASE = ("key_fingerprint", "changing_from", "changing_to")


def upgrade() -> None:
    for name in OF_THE_DATABASE:
        op.add_column("identity", sa.Column(name, sa.BigInteger))
    for table in DIGESTED:
        op.add_column(table, sa.Column("key_fingerprint", sa.BigInteger))


def downgrade() -> None:
    for table in DIGESTED:
        op.drop_column(table, "key_fingerprint")
    for name in reversed(OF_THE_DATABASE):
        op.drop_column("identity", name)
