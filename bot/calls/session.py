"""The session under every ``Bot`` of this process, so that no call bypasses the engine.

``install`` makes ``Bot.session`` a property that wraps the session a bot is given, so ``bot.send_message(…)``,
``message.answer(…)`` and a ``Bot`` that a user built all end here. What does not pass the queue (``methods.DIRECT``)
goes through the session that the bot was given.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.methods import SendChatAction, TelegramMethod
from aiogram.methods.base import TelegramType

from tempogram.api.core.redaction import origin
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.telegram.methods import QUEUED
from tempogram.engine.model.errors import SettingsError

ELSEWHERE = (
    "the session of this bot speaks with {its}, but TELEGRAM_API_URL, where its messages would go, is {ours}; "
    "give both the same address"
)


class EngineSession(BaseSession):
    """Sends through the engine, and what does not pass the queue through ``direct``; both in the engine's loop.

    Args:
        only_base: The Bot API with which the engine speaks, as ``TelegramAPIServer.base`` is written: a call of a bot
            that speaks with another one is refused. None: any bot's calls go where the engine's do.
    """

    def __init__(self, direct: BaseSession, gateway: Gateway, *, only_base: str | None = None) -> None:
        super().__init__(direct.api, direct.json_loads, direct.json_dumps, direct.timeout)
        self.direct = direct
        self.middleware = direct.middleware
        self.gateway = gateway
        self._only_base = only_base

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        timeout: int | None = None,  # noqa: ASYNC109 - aiogram's own signature
    ) -> TelegramType:
        if self.gateway.has_ended and method.__api_method__ not in QUEUED:
            return await self.direct.make_request(bot, method, timeout)
        return await self.gateway.loop.run(self._make_request(bot, method, timeout))

    async def _make_request(
        self, bot: Bot, method: TelegramMethod[TelegramType], timeout_s: int | None
    ) -> TelegramType:
        rule = QUEUED.get(method.__api_method__)
        if rule is not None:
            self.check_base()
            return cast("TelegramType", await self.gateway.call(bot, method, rule))
        if isinstance(method, SendChatAction):
            return cast("TelegramType", await self.gateway.show_action(self.direct, bot, method, timeout_s))
        method = await self.gateway.with_numbers(bot, method)
        return await self.direct.make_request(bot, method, timeout_s)

    def check_base(self) -> None:
        """Refuse a bot that speaks with another Bot API than the engine.

        Raises:
            SettingsError: Which is which, and the way out.
        """
        if self._only_base not in {None, self.direct.api.base}:
            raise SettingsError(ELSEWHERE.format(its=_url(self.direct.api.base), ours=_url(str(self._only_base))))

    async def close(self) -> None:
        closing = self.direct.close()
        await (closing if self.gateway.loop.has_ended else self.gateway.loop.run(closing))

    async def stream_content(
        self,
        url: str,
        headers: dict[str, Any] | None = None,
        timeout: int = 30,  # noqa: ASYNC109 - aiogram's own signature
        chunk_size: int = 65536,
        raise_for_status: bool = True,  # noqa: FBT001, FBT002 - aiogram's own signature
    ) -> AsyncGenerator[bytes, None]:
        content = self.direct.stream_content(url, headers, timeout, chunk_size, raise_for_status)
        try:
            while (chunk := await self.gateway.loop.run(_next(content))) is not None:
                yield chunk
        finally:
            await self.gateway.loop.run(_end(content))


async def _next(content: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(content, None)


async def _end(content: AsyncGenerator[bytes, None]) -> None:
    await content.aclose()


def _url(base: str) -> str:
    return origin(base)


def is_installed() -> bool:
    """Tell whether an engine runs in this program: its session is under every ``Bot``."""
    return "session" in vars(Bot)


def install(gateway: Gateway, *, only_base: str | None = None) -> Callable[[], None]:
    """Put our session under every ``Bot`` from now on; return a function that undoes it.

    ``only_base``: see ``EngineSession``.
    """

    def get(bot: Bot) -> BaseSession:
        session: BaseSession = bot.__dict__["session"]
        if not _is_ours(session):  # built before
            put(bot, session)
        return cast("BaseSession", bot.__dict__["session"])

    def put(bot: Bot, session: BaseSession) -> None:
        if not _is_ours(session):
            direct = session.direct if isinstance(session, EngineSession) else session  # of an engine that has ended
            session = EngineSession(direct, gateway, only_base=only_base)
        bot.__dict__["session"] = session  # where aiogram keeps it, so that the bot works after ``remove``

    def _is_ours(session: BaseSession) -> bool:
        return isinstance(session, EngineSession) and session.gateway is gateway

    setattr(Bot, "session", property(get, put))  # noqa: B010 - aiogram declares it on the instance only

    def remove() -> None:
        delattr(Bot, "session")

    return remove
