"""The functions and blocks of ``tempogram`` in a user's module under ``tempogram run``, with a simulated Telegram."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.program import TOKEN, Program, program, update

MODULE = """
import asyncio

import tempogram
from aiogram import Bot, Router
from aiogram.filters import Command
from aiogram.methods import SendMessage
from aiogram.types import Message

router = Router()


@router.message(Command("broadcast"))
async def broadcast(message: Message, bot: Bot) -> None:
    with tempogram.priority("low"):
        async with asyncio.TaskGroup() as group:
            for chat_id in range(1_000, 1_150):
                group.create_task(bot.send_message(chat_id, "news"))


@router.message(Command("ping"))
async def ping(message: Message) -> None:
    await message.answer("pong")


@router.message(Command("options"))
async def options(message: Message, bot: Bot) -> None:
    with tempogram.options(delivery="at_most_once", expires_in_s=600, tag="spring"):
        await bot.send_message(501, "with options")


@router.message(Command("returned"))
async def returned(message: Message) -> SendMessage:
    with tempogram.priority("low"):
        await message.answer("in the block")
        return message.answer("returned")


@router.message(Command("api"))
async def api(message: Message, bot: Bot) -> None:
    submitted = await tempogram.submit(bot, SendMessage(chat_id=502, text="from a handler"), priority="low")
    state = await tempogram.state(submitted.id)
    stats = await tempogram.stats()
    await message.answer(f"{state.status in ('queued', 'sent')} {sorted(stats)}")


@router.message(Command("campaign"))
async def campaign(message: Message, bot: Bot) -> None:
    with tempogram.options(tag="campaign", priority="low"):
        await tempogram.submit_many(bot, [SendMessage(chat_id=3_000 + n, text=f"campaign {n}") for n in range(60)])
        await tempogram.submit(bot, SendMessage(chat_id=3_000, text="the last of the campaign"))
    await asyncio.sleep(3_600)


@router.message(Command("cast"))
async def cast(message: Message, bot: Bot) -> None:
    made = await tempogram.broadcast(bot, "news for {title}, {language|all}", name="spring")
    await message.answer(f"{made.name} is {made.state.value}")


@router.message(Command("thread"))
async def thread(message: Message, bot: Bot) -> None:
    def elsewhere():
        return asyncio.run(tempogram.send(bot.id, SendMessage(chat_id=503, text="from a thread"), wait_s=10))

    sent = await asyncio.to_thread(elsewhere)
    await message.answer(f"sent from a thread: {sent.message_id > 0}")
"""

BROADCAST = 150
WITHIN_S = 40


@pytest.fixture
async def telegram() -> AsyncIterator[RunningSimulator]:
    async with running_simulator() as telegram:
        yield telegram


@pytest.fixture
async def tempogram(telegram: RunningSimulator, tmp_path: Path) -> AsyncIterator[Program]:
    (tmp_path / "my_bot.py").write_text(MODULE)
    async with program(tmp_path, telegram.url, BEHAVIOURS="my_bot") as running:
        yield running


async def tell(tempogram: Program, number: int, text: str, *, chat_id: int = 77) -> None:
    update_in_chat = update(number, text, chat_id=chat_id)
    status, _ = await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json=update_in_chat)
    assert status == 200


async def texts(telegram: RunningSimulator) -> list[str]:
    return [call["text"] for call in await telegram.calls() if call["method"] == "sendMessage"]


async def until_said(telegram: RunningSimulator, tempogram: Program, text: str, *, times: int = 1) -> None:
    async def is_said() -> bool:
        return (await texts(telegram)).count(text) >= times

    await tempogram.until(is_said, within_s=WITHIN_S)


def stored(tempogram: Program, chat_id: int) -> dict[str, Any]:
    """Return the row of the last message to a chat."""
    with closing(sqlite3.connect(tempogram.directory / "data" / "tempogram.db")) as database:
        database.row_factory = sqlite3.Row
        of_chat = "SELECT * FROM messages WHERE direction = 'out' AND chat_id = ? ORDER BY id"
        return dict(database.execute(of_chat, (str(chat_id),)).fetchall()[-1])


async def test_a_broadcast_in_a_low_block_does_not_delay_the_answer_to_another_user(
    telegram: RunningSimulator, tempogram: Program
) -> None:
    await tell(tempogram, 1, "/broadcast")
    await until_said(telegram, tempogram, "news", times=10)
    before = len(await texts(telegram))
    await tell(tempogram, 2, "/ping", chat_id=78)
    await until_said(telegram, tempogram, "pong")
    await until_said(telegram, tempogram, "news", times=BROADCAST)
    said = await texts(telegram)
    report = await telegram.report()

    assert said.index("pong") < before + 30
    assert said.count("news") == BROADCAST
    assert (sum(report.throttled.values()), report.broke_no_window) == (0, True)


async def test_the_options_of_a_block_are_stored_with_its_message(
    telegram: RunningSimulator, tempogram: Program
) -> None:
    await tell(tempogram, 1, "/options")
    await until_said(telegram, tempogram, "with options")

    row = stored(tempogram, 501)
    assert (row["guarantee"], row["tag"]) == ("at_most_once", "spring")
    assert row["expires_at_ms"] - row["submitted_at_ms"] == 600_000


async def test_a_returned_method_keeps_the_priority_of_its_update(
    telegram: RunningSimulator, tempogram: Program
) -> None:
    await tell(tempogram, 1, "/returned")
    await until_said(telegram, tempogram, "returned")
    await tempogram.until(tempogram.is_empty, within_s=WITHIN_S)

    with closing(sqlite3.connect(tempogram.directory / "data" / "tempogram.db")) as database:
        sent = database.execute("SELECT priority FROM messages WHERE direction = 'out' ORDER BY id").fetchall()
    assert [priority for (priority,) in sent] == ["low", "normal"]


async def test_the_functions_work_in_a_handler_and_in_a_thread_of_its_own(
    telegram: RunningSimulator, tempogram: Program
) -> None:
    await tell(tempogram, 1, "/api")
    await tell(tempogram, 2, "/thread")
    await until_said(telegram, tempogram, "True ['stats', 'total_failed', 'total_queued']")
    await until_said(telegram, tempogram, "sent from a thread: True")

    said = await texts(telegram)
    assert (said.count("from a handler"), said.count("from a thread")) == (1, 1)


async def test_what_a_killed_handler_has_submitted_is_sent_once_though_it_runs_again(
    telegram: RunningSimulator, tempogram: Program
) -> None:
    await tempogram.call("PATCH", "/bots/42", json={"paused": True})
    await tell(tempogram, 1, "/campaign")

    async def waits() -> bool:
        return bool((await tempogram.stats())["stats"]["low"] == 61)

    await tempogram.until(waits, within_s=WITHIN_S)
    await tempogram.kill()
    await tempogram.start()
    await tempogram.call("PATCH", "/bots/42", json={"paused": False})
    await until_said(telegram, tempogram, "the last of the campaign")
    await tempogram.until(tempogram.is_empty, within_s=WITHIN_S)

    said = await texts(telegram)
    assert sorted(said) == sorted(["the last of the campaign", *(f"campaign {n}" for n in range(60))])
    await tempogram.kill()  # its handler sleeps for an hour


async def test_a_broadcast_goes_to_all_private_chats_that_are_known(
    telegram: RunningSimulator, tempogram: Program
) -> None:
    for number in (1, 2, 3):
        await tell(tempogram, number, "/ping", chat_id=80 + number)
    await until_said(telegram, tempogram, "pong", times=3)
    await tell(tempogram, 4, "/cast", chat_id=81)
    await until_said(telegram, tempogram, "spring is running")

    async def is_done() -> bool:
        status, shown = await tempogram.call("GET", "/broadcasts/1")
        return bool(status == 200 and shown["state"] == "done")

    await tempogram.until(is_done, within_s=WITHIN_S)
    calls = [call for call in await telegram.calls() if call.get("text", "").startswith("news for ")]
    assert sorted(call["chat_id"] for call in calls) == [81, 82, 83]


async def test_what_waits_of_a_campaign_is_cancelled_by_its_tag(telegram: RunningSimulator, tempogram: Program) -> None:
    batch = [{"bot": "42", "chat_id": chat_id, "text": "sale", "tag": "sale"} for chat_id in range(2_000, 2_400)]
    await tempogram.call("POST", "/messages/batch", json=batch)
    status, answer = await tempogram.call("DELETE", "/messages", params={"tag": "sale"})
    await tempogram.until(tempogram.is_empty, within_s=WITHIN_S)
    said = await texts(telegram)

    assert (status, answer["is_complete"]) == (200, True)
    assert answer["cancelled"] + said.count("sale") == len(batch)
    assert answer["cancelled"] > 300
