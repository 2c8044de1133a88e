"""A bot's name costs no update a call."""

from __future__ import annotations

import asyncio

from aiogram import Bot
from aiogram.exceptions import TelegramNetworkError
from aiogram.methods import GetMe, TelegramMethod
from aiogram.types import User

from tempogram.bot.embedding.usernames import ASK_AGAIN_S, Usernames
from tests.bot.fakes import TOKEN, DirectSession
from tests.engine.desk import turns

ME = User(id=42, is_bot=True, first_name="Bot", username="the_bot")


class AskedSession(DirectSession):
    """Answers ``getMe``, or nothing while ``is_away``."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_away = False

    async def make_request(self, bot: Bot, method: TelegramMethod[object], timeout: int | None = None) -> object:  # type: ignore[override]  # noqa: ASYNC109
        assert isinstance(method, GetMe)
        self.asked += 1
        if self.is_away:
            raise TelegramNetworkError(method, "away")
        return ME


async def test_a_name_that_aiogram_has_asked_for_is_known_without_a_call() -> None:
    session = AskedSession()
    bot = Bot(TOKEN, session=session)
    await bot.me()

    assert Usernames().of(bot) == "the_bot"
    assert session.asked == 1


async def test_an_unknown_name_is_asked_for_once_beside_the_updates() -> None:
    session, usernames = AskedSession(), Usernames()
    bot = Bot(TOKEN, session=session)

    for _ in range(3):
        usernames.ask(bot)
    before = usernames.of(bot)
    await turns()

    assert before == ""
    assert (usernames.of(bot), session.asked) == ("the_bot", 1)


async def test_a_name_that_telegram_did_not_tell_is_asked_for_again_after_a_while() -> None:
    session, now_s = AskedSession(), [1_000.0]
    usernames, bot = Usernames(now_s=lambda: now_s[0]), Bot(TOKEN, session=session)
    session.is_away = True

    for _ in range(3):
        usernames.ask(bot)
        await turns()
    now_s[0] += ASK_AGAIN_S
    session.is_away = False
    usernames.ask(bot)
    await turns()

    assert (usernames.of(bot), session.asked) == ("the_bot", 2)


async def test_nothing_is_asked_after_the_end() -> None:
    session, usernames = AskedSession(), Usernames()

    usernames.ask(Bot(TOKEN, session=session))
    usernames.stop()
    await asyncio.sleep(0)

    assert session.asked == 0
