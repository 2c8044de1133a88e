"""What follows when Telegram refuses a bot's token outside of sending."""

from __future__ import annotations

from tempogram.bot.fleet.fleet import Fleet
from tempogram.engine.ports import Broker, Ledger
from tempogram.engine.recovery.settings_sync import pause_without_token


class RevokedTokens:
    """Pauses the bots whose tokens are revoked, as a refused send does."""

    def __init__(self, *, fleet: Fleet, ledger: Ledger, broker: Broker) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._broker = broker

    async def pause(self, bot_id: int, token: str | None) -> bool:
        """Pause a bot until it has a valid token; False if it has another one than this by now.

        Raises:
            LedgerError: Perhaps it is not paused; calling it again does no harm.
        """
        if await self._fleet.reload_token(bot_id) != token:
            return False
        await pause_without_token(self._ledger, self._broker, bot_id)
        await self._fleet.reload([bot_id])  # so that the end of the pause is noticed, wherever it is ended
        return True
