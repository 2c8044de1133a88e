"""Two customers' modules in one process: each bot answers by its own, with its own settings and its own hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.program import TOKEN, Program, program, update

SHOP_ID, DESK_ID = 42, 43
DESK_TOKEN = "43:token-of-another-bot"

SHOP = """
from aiogram import Bot, Router
from aiogram.types import Message

router = Router()

@router.message()
async def price(message: Message, config: dict) -> None:
    await message.answer(f"7 {config.get('currency', 'EUR')}, {message.text}")

def check(config):
    if config.get("currency", "EUR") not in ("EUR", "CHF"):
        raise ValueError(f"currency is {config['currency']!r}; choose EUR or CHF")

async def on_bot_added(bot: Bot) -> None:
    await bot.send_message(1, f"shop opened by {bot.id}")

async def on_bot_removed(bot_id: int, bots: tuple = ()) -> None:
    print(f"shop closed for {bot_id}", flush=True)
"""

DESK = """
from aiogram import Dispatcher, Router
from aiogram.types import Message

router = Router()

@router.message()
async def news(message: Message, source: str) -> None:
    await message.answer(f"{source}: {message.text}")

async def setup(dispatcher: Dispatcher) -> None:
    dispatcher["source"] = "desk"
    dispatcher.include_router(router)
    dispatcher.startup.register(begin)

async def begin(bot) -> None:
    print(f"desk began with {bot.id}", flush=True)
"""


@pytest.fixture
async def telegram() -> AsyncIterator[RunningSimulator]:
    async with running_simulator() as telegram:
        yield telegram


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "my_shop.py").write_text(SHOP)
    (tmp_path / "my_desk.py").write_text(DESK)
    return tmp_path


async def said(telegram: RunningSimulator, tempogram: Program, *texts: str) -> None:
    """Wait until the bots have said exactly this, in any order."""

    async def is_said() -> bool:
        return sorted(call["text"] for call in await telegram.calls() if call["method"] == "sendMessage") == [*texts]

    await tempogram.until(is_said, within_s=20)


async def tell(tempogram: Program, token: str, number: int, text: str) -> None:
    status, _ = await tempogram.call("POST", f"/webhook/telegram/{token}", json=update(number, text))
    assert status == 200


async def logged(tempogram: Program, line: str) -> None:
    async def is_logged() -> bool:
        return line in tempogram.output.read_text()

    await tempogram.until(is_logged, within_s=20)


async def test_each_bot_answers_by_the_module_that_its_owner_chose(telegram: RunningSimulator, here: Path) -> None:
    async with program(here, telegram.url, BEHAVIOURS="my_shop") as tempogram:
        added = await tempogram.call("POST", "/bots", json={"token": DESK_TOKEN, "updates": "none"})
    async with program(here, telegram.url, BEHAVIOURS="my_shop,my_desk") as tempogram:
        chosen: dict[str, Any] = {"behaviours": {"my_desk": {}}}
        await tempogram.call("PATCH", f"/bots/{SHOP_ID}", json={"behaviours": {"my_shop": {"currency": "CHF"}}})
        refused = await tempogram.call(
            "PATCH", f"/bots/{SHOP_ID}", json={"behaviours": {"my_shop": {"currency": "GBP"}}}
        )
        changed = await tempogram.call("PATCH", f"/bots/{DESK_ID}", json=chosen)
        await tell(tempogram, TOKEN, 1, "pizza")
        await tell(tempogram, DESK_TOKEN, 1, "rain")
        await said(telegram, tempogram, "7 CHF, pizza", "desk: rain", "shop opened by 43")
        await logged(tempogram, "shop closed for 43")

    assert (added[0], added[1]["behaviours"]) == (201, {"my_shop": {}})
    assert (refused[0], refused[1]["error"]["message"]) == (
        400,
        "the settings of my_shop are refused: currency is 'GBP'; choose EUR or CHF",
    )
    assert (changed[0], changed[1]["behaviours"]) == (200, chosen["behaviours"])
    assert "desk began with 42" in tempogram.output.read_text()
    assert "Traceback" not in tempogram.output.read_text()


async def test_a_bot_for_which_nothing_is_chosen_answers_nothing_and_the_start_says_so(
    telegram: RunningSimulator, here: Path
) -> None:
    async with program(here, telegram.url, BEHAVIOURS="") as tempogram:
        await tell(tempogram, TOKEN, 1, "hello")
        await logged(tempogram, "bot_answers_nothing")
        _, answer = await tempogram.call(
            "POST", "/messages?wait=10", json={"bot": str(SHOP_ID), "chat_id": 5, "text": "after it"}
        )
        calls = await telegram.calls()

    assert answer["status"] == "sent"
    assert [call["text"] for call in calls if call["method"] == "sendMessage"] == ["after it"]
