"""A chat is erased by a running program that is killed in the middle, and once more after the next start."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.program import TOKEN, Program, program

ADA, EVE = 77, 78
TEXT = "sp4rrow says hello"
NAME = "Adal1ne"
CHAT = f"/bots/42/chats/{ADA}"
WAITING = 2_000


def update(number: int, text: str, *, sent_s: int) -> dict[str, Any]:
    person = {"id": ADA, "is_bot": False, "first_name": NAME}
    chat = {"id": ADA, "type": "private", "first_name": NAME}
    return {
        "update_id": number,
        "message": {"message_id": number, "date": sent_s, "chat": chat, "from": person, "text": text},
    }


def everything(tempogram: Program) -> str:
    """Return all that the database has, as text."""
    (file,) = (tempogram.directory / "data").glob("*.db")
    with closing(sqlite3.connect(file)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return str([connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names])  # noqa: S608


async def lines(tempogram: Program) -> AsyncIterator[bytes]:
    async with tempogram.session.get(f"{tempogram.url}{CHAT}/export") as response:
        async for line in response.content:
            yield line


async def answers_to(telegram: RunningSimulator, chat_id: int) -> list[str]:
    return [call["text"] for call in await telegram.calls() if call["code"] == 200 and call.get("chat_id") == chat_id]


async def test_an_erasure_that_is_killed_is_finished_by_the_next_and_nothing_of_the_chat_is_left(
    tmp_path: Path,
) -> None:
    batch = [{"bot": "42", "chat_id": ADA, "text": f"{TEXT} {number}"} for number in range(WAITING)]
    now_s = int(time.time())

    async with running_simulator() as telegram, program(tmp_path, telegram.url, LOG_LEVEL="DEBUG") as tempogram:
        await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json=update(1, TEXT, sent_s=now_s - 60))
        await tempogram.until(lambda: has_answered(telegram), within_s=10)
        await tempogram.call("PATCH", "/bots/42", json={"paused": True})
        await tempogram.call("POST", "/messages/batch", json=batch)
        await tempogram.call("POST", "/messages", json={"bot": "42", "chat_id": EVE, "text": "to Eve"})
        exported = b"".join([line async for line in lines(tempogram)]).decode()

        erasure = asyncio.create_task(tempogram.call("DELETE", CHAT))
        await tempogram.until(lambda: has_begun(tempogram), within_s=10)
        await tempogram.kill()
        with suppress(aiohttp.ClientError):
            await erasure
        at_the_kill = everything(tempogram)
        await tempogram.start()

        status, erased = await tempogram.call("DELETE", CHAT)
        refused, error = await tempogram.call("POST", "/messages", json={"bot": "42", "chat_id": ADA, "text": TEXT})
        left = everything(tempogram)
        await tempogram.call("PATCH", "/bots/42", json={"paused": False})
        late_s = int(time.time()) + 2
        await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json=update(2, "back again", sent_s=late_s))
        await tempogram.until(lambda: has_answered(telegram, "back again"), within_s=10)
        output = tempogram.output.read_text()

    assert exported.count(TEXT) > WAITING
    assert NAME in exported
    assert TEXT in at_the_kill
    assert (status, erased["left"]) == (200, 0)
    assert TEXT not in left
    assert NAME not in left
    assert "to Eve" in left
    assert (refused, error["error"]["code"]) == (409, "chat_unreachable")
    assert TEXT not in output
    assert NAME not in output


async def has_begun(tempogram: Program) -> bool:
    return bool((await tempogram.stats())["total_queued"] <= WAITING)


async def has_answered(telegram: RunningSimulator, text: str = TEXT) -> bool:
    return text in await answers_to(telegram, ADA)
