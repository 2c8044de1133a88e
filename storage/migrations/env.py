"""What Alembic runs for each migration; ``migrate`` passes the connection, with an open transaction."""

from __future__ import annotations

from alembic import context

from tempogram.storage.database.models import metadata


def run() -> None:
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


if hasattr(context, "config"):  # Alembic sets it when it runs this file; a mere import does not
    run()
