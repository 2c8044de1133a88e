"""Handles in the whole program: what waits in a full group is changed, also after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiogram import Bot

from tempogram.simulator.server.server import Served
from tests.end_to_end.program import TOKEN
from tests.end_to_end.test_telegram_answers import GROUP, telegram, tempogram, until

__all__ = ["telegram"]

FULL = 20


async def fill(bot: Bot) -> None:
    await asyncio.gather(*(bot.send_message(GROUP, str(number)) for number in range(FULL)))


async def test_handles_of_a_full_group_work_before_and_after_a_restart(telegram: Served, tmp_path: Path) -> None:
    async with tempogram(telegram, tmp_path, telegram_rate_limit_wait=0):
        bot = Bot(TOKEN)
        await fill(bot)
        kept, dropped, thinking = [await bot.send_message(GROUP, text) for text in ("kept", "dropped", "thinking")]
        await bot.delete_message(GROUP, dropped.message_id)
        copy = await bot.copy_message(77, GROUP, thinking.message_id)
    async with tempogram(telegram, tmp_path, telegram_rate_limit_wait=0) as second:
        bot = Bot(TOKEN)
        await bot.edit_message_text("the answer", chat_id=GROUP, message_id=thinking.message_id)
        reply = await bot.send_message(GROUP, "a reply", reply_to_message_id=kept.message_id)
        assert await bot.pin_chat_message(GROUP, kept.message_id) is True
        await until(second.is_empty)

        assert max(each.message_id for each in (kept, dropped, thinking, copy, reply)) < 0
        assert sorted(second.shown(GROUP)[FULL:]) == sorted(["kept", "the answer", "a reply"])
        assert second.shown(77) == ["thinking"]
    assert telegram.simulator.report().broke_no_window
