"""Asks Telegram which bot a token belongs to."""

from __future__ import annotations

from aiogram.client.session.base import BaseSession
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError
from aiogram.types import User

from tempogram.api.core.ports import TelegramUnreachable, UnknownToken
from tempogram.bot.fleet.bot_objects import aiogram_bot
from tempogram.bot.fleet.token_rate_limit import TokenRateLimit
from tempogram.bot.proxy.errors import why_unanswered
from tempogram.bot.telegram.tokens import bot_id_of


class GetMe:
    """Calls ``getMe`` for new tokens, no faster than the rate limit allows."""

    def __init__(self, *, session: BaseSession, token_rate_limit: TokenRateLimit) -> None:
        self._session = session
        self._token_rate_limit = token_rate_limit

    async def wait_for_slot(self, token: str, *, within_s: float | None = None) -> None:
        """Wait until Telegram may be asked about a new token.

        Raises:
            TelegramUnreachable: There is no slot within ``within_s``.
        """
        if not await self._token_rate_limit.wait_for_slot(token, within_s=within_s):
            raise TelegramUnreachable(
                f"Telegram limits how many new bots one address may add; add bot {bot_id_of(token)} again later"
            )

    async def ask(self, token: str) -> User:
        """Return the bot's user as Telegram knows it.

        Raises:
            UnknownToken: Telegram refused the token.
            TelegramUnreachable: Telegram gave no usable answer.
        """
        try:
            return await aiogram_bot(token, self._session).get_me()
        except (TelegramUnauthorizedError, TelegramNotFound):
            raise UnknownToken(
                f"Telegram does not know the token of bot {bot_id_of(token)}; @BotFather has the valid one"
            ) from None
        except (TelegramAPIError, ClientDecodeError) as error:
            raise TelegramUnreachable(
                f"Telegram could not be asked about bot {bot_id_of(token)} ({why_unanswered(error)}); try again"
            ) from None
