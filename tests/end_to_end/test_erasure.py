"""A chat is erased by a running program that is killed in the middle, and once more after the next start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

from tempogram.simulator.client import RunningSimulator, running_simulator
from tempogram.storage.database.engines import parse
from tempogram.storage.database.models import metadata
from tests.end_to_end.program import TOKEN, Program, program
from tests.storage.servers import own_postgres

ADA, EVE = 77, 78
TEXT = "sp4rrow says hello"
NAME = "Adal1ne"
CHAT = f"/bots/42/chats/{ADA}"
WAITING = 2_000


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_settings(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {}
    else:
        with own_postgres() as url:
            yield {"DATABASE_URL": url}


def update(number: int, text: str, *, sent_s: int) -> dict[str, Any]:
    person = {"id": ADA, "is_bot": False, "first_name": NAME}
    chat = {"id": ADA, "type": "private", "first_name": NAME}
    return {
        "update_id": number,
        "message": {"message_id": number, "date": sent_s, "chat": chat, "from": person, "text": text},
    }


async def everything(tempogram: Program, settings: dict[str, str]) -> str:
    """Return all that the database has, as text."""
    url = settings.get("DATABASE_URL") or f"sqlite+aiosqlite:///{tempogram.directory / 'data' / 'tempogram.db'}"
    engine = create_async_engine(parse(url))
    try:
        async with engine.connect() as connection:
            return str([list(await connection.execute(select(table))) for table in metadata.sorted_tables])
    finally:
        await engine.dispose()


async def lines(tempogram: Program) -> AsyncIterator[bytes]:
    async with tempogram.session.get(f"{tempogram.url}{CHAT}/export") as response:
        async for line in response.content:
            yield line


async def answers_to(telegram: RunningSimulator, chat_id: int) -> list[str]:
    return [call["text"] for call in await telegram.calls() if call["code"] == 200 and call.get("chat_id") == chat_id]


async def test_an_erasure_that_is_killed_is_finished_by_the_next_and_nothing_of_the_chat_is_left(
    tmp_path: Path, database_settings: dict[str, str]
) -> None:
    batch = [{"bot": "42", "chat_id": ADA, "text": f"{TEXT} {number}"} for number in range(WAITING)]
    now_s = int(time.time())

    async with (
        running_simulator() as telegram,
        program(tmp_path, telegram.url, LOG_LEVEL="DEBUG", **database_settings) as tempogram,
    ):
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
        at_the_kill = await everything(tempogram, database_settings)
        await tempogram.start()

        status, erased = await tempogram.call("DELETE", CHAT)
        refused, error = await tempogram.call("POST", "/messages", json={"bot": "42", "chat_id": ADA, "text": TEXT})
        left = await everything(tempogram, database_settings)
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
