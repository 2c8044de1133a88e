"""The first key of a claim whose chat or date is another by now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.add_column("campaign_claims", sa.Column("first_key", sa.Text))


def downgrade() -> None:
    op.drop_column("campaign_claims", "first_key")
