"""The role of a process: everything, or one part beside other processes that share its queue."""

from __future__ import annotations

from enum import Enum

from tempogram.bot.config.data_dir import database_url
from tempogram.bot.config.settings import Settings
from tempogram.engine.model.errors import SettingsError


class ProcessRole(Enum):
    """One role for each command, and ``EMBEDDED``: within a user's own program, which has a Dispatcher of its own.

    Attributes:
        takes_in: Serves the API and the webhooks, and runs the handlers of their updates.
        sends: Leases messages and sends them.
        update_sources: Polls, and sets webhooks.
    """

    RUN = "run", True, True, True
    API = "api", True, False, False
    WORKER = "worker", False, True, False
    SCHEDULER = "scheduler", False, False, True
    EMBEDDED = "embedded", False, True, False

    def __init__(self, command: str, takes_in: bool, sends: bool, update_sources: bool) -> None:  # noqa: FBT001 - see above
        self.command = command
        self.takes_in = takes_in
        self.sends = sends
        self.update_sources = update_sources

    @property
    def handles_updates(self) -> bool:
        """Tell whether the process runs handlers: a scheduler does, too, as it polls."""
        return self.takes_in or self.update_sources

    @property
    def is_embedded(self) -> bool:
        return self is ProcessRole.EMBEDDED

    @property
    def only_sends(self) -> bool:
        """Tell whether no call is made here: a worker sends what others have composed, and needs no aiogram."""
        return self is ProcessRole.WORKER

    @property
    def runs_own_bots(self) -> bool:
        """Tell whether the process adds the bots of ``BOT_TOKENS``.

        An embedding program makes its own. A worker finds them in the database: no message is accepted before.
        """
        return not self.is_embedded and not self.only_sends

    @property
    def unused_settings(self) -> tuple[str, ...]:
        """Return the settings that the process does not act upon; an embedding program has variables like these."""
        return () if self.runs_own_bots else ("bot_tokens", "bot_tokens_file", "behaviours")

    @property
    def does_upkeep(self) -> bool:
        """Tell whether the process may do what one does for all: run tasks, complete removals, say alerts."""
        return self.update_sources or self.is_embedded


def check(role: ProcessRole, settings: Settings) -> None:
    """Refuse a role whose process could not share its queue.

    Raises:
        SettingsError: There is no Redis, or no database that several processes can share.
    """
    if role in {ProcessRole.RUN, ProcessRole.EMBEDDED}:
        return
    if not settings.redis_url:
        raise SettingsError(
            f"tempogram {role.command} shares its queue over Redis; set REDIS_URL, or use tempogram run"
        )
    from tempogram.storage.database.engines import is_sqlite, parse  # SQLAlchemy, which no client of the API needs

    if is_sqlite(parse(database_url(settings))):
        raise SettingsError(
            f"tempogram {role.command} shares its database with other processes, which SQLite cannot do; "
            "set DATABASE_URL to a PostgreSQL, or use tempogram run"
        )
