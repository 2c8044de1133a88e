"""Handles in the whole program: what waits in a full group is changed, also after a restart."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from aiogram import Bot

from tempogram.simulator.server.server import Served
from tests.chaos.servers import missing_programs
from tests.end_to_end.program import TOKEN
from tests.end_to_end.several import Several, several
from tests.end_to_end.talkative import GROUP_LIMIT
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


async def test_handles_work_in_one_process_while_another_sends(tmp_path: Path) -> None:
    if missing := missing_programs():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"NO {' AND NO '.join(missing)}")
    async with several(tmp_path, ("api", "worker"), [TOKEN], TELEGRAM_RATE_LIMIT_WAIT="0") as running:
        await running.until(lambda: can_cancel(running))
        await running.tell(TOKEN, "change your mind", chat_id=GROUP)
        sent = await running.until_sent("mind ", GROUP_LIMIT + 3)
        await running.until(lambda: is_pinned(running))

        kept, answer, reply = sent[GROUP_LIMIT:]
        assert [kept, answer] == ["mind kept", "mind the answer"]
        assert reply.startswith("mind a reply to -")
        assert await running.broke_nothing()


async def can_cancel(running: Several) -> bool:
    """Tell whether the queue is in Redis: until then one process has it, and the others only write to the ledger."""
    later = {"bot": "42", "chat_id": 1, "text": "never", "send_at": "2035-01-01T08:00:00Z"}
    _, accepted = await running.ask("POST", "/messages", later)
    status, _ = await running.ask("DELETE", f"/messages/{accepted['id']}")
    return status == 200


async def is_pinned(running: Several) -> bool:
    return any(call["method"] == "pinChatMessage" and call["code"] == 200 for call in await running.calls())
