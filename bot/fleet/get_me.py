"""Asks Telegram who a token belongs to."""

from __future__ import annotations

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import ClientDecodeError, TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError
from aiogram.types import User

from tempogram.api.core.ports import TelegramUnreachable, UnknownToken
from tempogram.bot.fleet.token_rate_limit import TokenRateLimit
from tempogram.bot.telegram.tokens import bot_id_of


def aiogram_bot(token: str, session: BaseSession) -> Bot:
    """Return a bot that makes its calls by this session, but for those that ``session.install`` leads elsewhere."""
    return Bot(token, session=session, default=DefaultBotProperties())


class GetMe:
    """Introduces each token to Telegram when its turn has come."""

    def __init__(self, *, session: BaseSession, token_rate_limit: TokenRateLimit) -> None:
        self._session = session
        self._token_rate_limit = token_rate_limit

    async def turn(self, token: str, *, within_s: float | None = None) -> None:
        """Return when Telegram may be asked about a token that is new to it.

        Raises:
            TelegramUnreachable: That is not within this time.
        """
        if not await self._token_rate_limit.turn(token, within_s=within_s):
            raise TelegramUnreachable(
                f"Telegram takes only so many new bots at a time from one address; add bot {bot_id_of(token)} later"
            )

    async def ask(self, token: str) -> User:
        """Return what Telegram calls the bot.

        Raises:
            UnknownToken: It knows none by this token.
            TelegramUnreachable: It said nothing of use.
        """
        try:
            return await aiogram_bot(token, self._session).get_me()
        except (TelegramUnauthorizedError, TelegramNotFound):
            raise UnknownToken(
                f"Telegram does not know the token of bot {bot_id_of(token)}; @BotFather has the valid one"
            ) from None
        except (TelegramAPIError, ClientDecodeError) as error:
            raise TelegramUnreachable(
                f"Telegram could not be asked about bot {bot_id_of(token)} ({type(error).__name__}); try again"
            ) from None
