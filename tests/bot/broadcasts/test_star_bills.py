"""What Telegram billed: asked of a simulated Telegram, by a bot whose calls go as all others do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

import tempogram
from tempogram.api.usecases import broadcasts
from tempogram.bot import wiring
from tempogram.bot.broadcasts import star_bills
from tempogram.bot.broadcasts.star_bills import StarBills
from tempogram.simulator import Fault, Simulator, SimulatorSettings
from tests.bot.broadcasts.test_media import CHATS, add_chats, until_over
from tests.bot.embedding.started import started

TOKEN, BOT_ID = "42:token-of-the-test-bot", 42

MILLION = 1_000_000
"""Nanostars in a thousandth of a Star."""


@dataclass
class World:
    simulator: Simulator
    only: Bot

    def has(self, bot_id: int) -> bool:
        return bot_id == BOT_ID

    def bot(self, _: int) -> Bot:
        return self.only

    def bill(self, at_s: int, messages: int) -> None:
        self.simulator.telegram.world.bots[BOT_ID].stars.bill(messages, at_s=at_s)

    def receive(self, at_s: int) -> None:
        self.simulator.telegram.world.bots[BOT_ID].stars.receive(
            7, of={"id": 7, "is_bot": False, "first_name": "Anna"}, payload="x", charge_id=f"c{at_s}", at_s=at_s
        )

    async def billed(self, since_s: float, until_s: float) -> int | None:
        return await StarBills(self).billed(BOT_ID, round(since_s * 1_000), round(until_s * 1_000))

    @property
    def asked(self) -> int:
        return self.simulator.report().by_method.get("getStarTransactions", 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    simulator = Simulator(SimulatorSettings(accept_any_token=False))
    simulator.add_bot(TOKEN, "test_bot")
    async with simulator.serve() as served:
        bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(served.url)))
        yield World(simulator, bot)
        await bot.session.close()


async def test_what_was_billed_in_a_time_is_summed_up(world: World) -> None:
    for at_s, messages in ((100, 3), (200, 12), (201, 1), (300, 5)):
        world.bill(at_s, messages)
    world.receive(400)

    assert await world.billed(200, 201) == 1_300 * MILLION
    assert await world.billed(0, 1_000) == 2_100 * MILLION
    assert await world.billed(301, 1_000) == 0


@pytest.mark.parametrize("before", [0, 1, 2, 5, 1_000])
async def test_older_transactions_are_skipped_without_reading_them_all(world: World, before: int) -> None:
    for number in range(before):
        world.receive(number)
    for number in range(250):
        world.bill(2_000 + number, 10)

    assert await world.billed(2_000, 3_000) == 250_000 * MILLION
    assert world.asked <= 25


async def test_a_sum_of_more_than_some_pages_is_not_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(star_bills, "PAGES_MAX", 2)
    for number in range(201):
        world.bill(number, 1)

    assert await world.billed(0, 3_000) is None
    assert await world.billed(150, 3_000) == 5_100 * MILLION


@pytest.mark.parametrize("kind", ["5xx", "429", "revoked"])
async def test_what_telegram_does_not_answer_is_not_known(world: World, kind: str) -> None:
    world.bill(200, 3)
    world.simulator.order(Fault(kind=kind, method="getStarTransactions"))  # type: ignore[arg-type]

    assert await world.billed(0, 1_000) is None


async def test_of_a_bot_that_is_not_here_nothing_is_known(world: World) -> None:
    assert await StarBills(world).billed(7, 0, 1_000) is None
    assert world.asked == 0


async def test_what_telegram_billed_is_shown_beside_the_purse(tmp_path: Path) -> None:
    async with started(tmp_path, telegram_paid_stars_cap=10, telegram_global_limit=0) as engine:
        await add_chats(tmp_path)
        telegram = engine.telegram.telegram
        telegram.change(replace(telegram.settings, bot_limit=2, bot_window_ms=600_000))

        made = await tempogram.broadcast(engine.bot, "hello", params={"allow_paid_broadcast": True})
        await until_over(engine, made.id)
        shown = await broadcasts.show(wiring.app.dependencies(engine.built), made.id)

    assert shown.stars is not None
    assert (shown.stars.purse, shown.stars.billed) == (len(CHATS) / 10, (len(CHATS) - 2) / 10)
