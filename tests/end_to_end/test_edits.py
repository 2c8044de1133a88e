"""Edits of one message, faster than Telegram allows: few are sent, and the last one wins."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiogram import Bot
from aiogram.types import Message
from pydantic import SecretStr

from tempogram.bot import wiring
from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.lifecycle import running
from tempogram.simulator import Simulator, SimulatorSettings
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN

EDITS = 100
CHAT_ID = 77


async def test_a_hundred_edits_of_one_message_are_few_calls_and_the_last_one_wins(tmp_path: Path) -> None:
    simulator = Simulator(SimulatorSettings())
    simulator.add_bot(TOKEN, "editor_bot")
    async with simulator.serve() as telegram:
        settings = Settings(
            telegram_api_url=telegram.url,
            bot_tokens=(SecretStr(TOKEN),),
            admin_token=SecretStr(ADMIN_TOKEN),
            data_dir=tmp_path,
            telegram_rate_limit_wait=20,
        )
        async with wiring.program(settings) as program, running(program):
            bot = Bot(TOKEN)
            message = await bot.send_message(CHAT_ID, "0")
            edits = (
                bot.edit_message_text(str(number), chat_id=CHAT_ID, message_id=message.message_id)
                for number in range(1, EDITS + 1)
            )
            answers = await asyncio.gather(*edits)
        report = simulator.report()

    assert sum(hasattr(answer, "tempogram_id") for answer in answers) == EDITS - report.by_method["editMessageText"]
    assert report.by_method["editMessageText"] < 10
    assert report.broke_no_window
    assert isinstance(answers[-1], Message)
    assert answers[-1].text == str(EDITS)
