"""What Alembic runs for each migration; ``migrate`` hands it the connection, with the transaction open."""

from __future__ import annotations

from alembic import context

from tempogram.storage.database.models import metadata


def run() -> None:
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


if hasattr(context, "config"):  # Alembic runs this file; whoever only imports it has none
    run()
