"""What a process does: all of it, or one part beside others that share its queue."""

from __future__ import annotations

from enum import Enum

from tempogram.bot.config.data_dir import database_url
from tempogram.bot.config.settings import Settings
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.engines import is_sqlite, parse


class ProcessRole(Enum):
    """One command each.

    Attributes:
        takes_in: Serves the API and the webhooks, and runs the handlers of what came in by them.
        sends: Leases messages and sends them.
        feeds: Polls, sets webhooks, and keeps the books tidy.
    """

    RUN = "run", True, True, True
    API = "api", True, False, False
    WORKER = "worker", False, True, False
    SCHEDULER = "scheduler", False, False, True

    def __init__(self, command: str, takes_in: bool, sends: bool, update_sources: bool) -> None:  # noqa: FBT001 - see above
        self.command = command
        self.takes_in = takes_in
        self.sends = sends
        self.update_sources = update_sources


def check(role: ProcessRole, settings: Settings) -> None:
    """Refuse a role that needs what other processes can reach too.

    Raises:
        SettingsError: There is no Redis, or no database that many processes can share.
    """
    if role is ProcessRole.RUN:
        return
    if not settings.redis_url:
        raise SettingsError(
            f"tempogram {role.command} shares its queue over Redis; set REDIS_URL, or use tempogram run"
        )
    if is_sqlite(parse(database_url(settings))):
        raise SettingsError(
            f"tempogram {role.command} shares its books with other processes, which SQLite cannot; "
            "set DATABASE_URL to a PostgreSQL, or use tempogram run"
        )
