"""A form that is half filled in outlives kill -9 and a deploy."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.form import IS_ASKING
from tests.end_to_end.program import TOKEN, Program, program, update


async def test_a_form_goes_on_where_it_was_after_a_kill_inside_a_handler_and_after_a_deploy(tmp_path: Path) -> None:
    async with (
        running_simulator() as telegram,
        program(tmp_path, telegram.url, BEHAVIOURS="tests.end_to_end.form") as tempogram,
    ):
        await hear(tempogram, 1, "/start")
        await said(tempogram, telegram, "What is your name?")
        await hear(tempogram, 2, "Ann")
        await tempogram.until(lambda: asyncio.to_thread((tmp_path / IS_ASKING).exists), within_s=20)
        await tempogram.kill()
        await tempogram.start()
        await said(tempogram, telegram, "How old are you?")  # by the handler of the name, which has run again
        await tempogram.end()
        await tempogram.start()
        await hear(tempogram, 3, "7")
        await said(tempogram, telegram, "Ann is 7.")
        texts = [call["text"] for call in await telegram.calls() if call["method"] == "sendMessage"]

    assert texts == ["What is your name?", "How old are you?", "Ann is 7."]


async def hear(tempogram: Program, number: int, text: str) -> None:
    status, _ = await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json=update(number, text))
    assert status == 200


async def said(tempogram: Program, telegram: RunningSimulator, text: str) -> None:
    async def is_said() -> bool:
        return any(call["text"] == text for call in await telegram.calls())

    await tempogram.until(is_said, within_s=30)
