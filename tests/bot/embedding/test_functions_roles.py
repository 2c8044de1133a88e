"""The functions in a process of each role, over one Redis and one PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiogram.methods import SendMessage
from pydantic import SecretStr

import tempogram
from tempogram.bot import wiring
from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.lifecycle import running
from tempogram.bot.wiring import Program
from tempogram.engine.model.messages import Status
from tempogram.simulator import Simulator, SimulatorSettings
from tests.chaos.servers import missing_programs, own_postgres, own_redis
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN
from tests.end_to_end.test_telegram_answers import until

BOT_ID = 42


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    missing = missing_programs()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"NO {' AND NO '.join(missing)}: many processes are not tested")
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}")
    simulator = Simulator(SimulatorSettings(accept_any_token=False))
    simulator.add_bot(TOKEN, "test_bot")
    async with simulator.serve() as served, own_redis() as redis, own_postgres() as postgres:
        yield Settings(
            telegram_api_url=served.url,
            bot_tokens=(SecretStr(TOKEN),),
            admin_token=SecretStr(ADMIN_TOKEN),
            secret_key=SecretStr("a-secret-key-for-tests"),
            data_dir=tmp_path,
            redis_url=redis.url,
            database_url=postgres.url,
        )


@asynccontextmanager
async def process(settings: Settings, role: ProcessRole) -> AsyncIterator[Program]:
    async with wiring.program(settings, role) as built, running(built):
        yield built


async def test_what_one_role_submits_another_sends_and_every_role_sees(settings: Settings) -> None:
    hello = SendMessage(chat_id=7, text="hello")
    async with process(settings, ProcessRole.RUN):  # the first to send begins the queue
        assert (await tempogram.send(BOT_ID, hello)).message_id > 0
    async with process(settings, ProcessRole.API):
        submitted = await tempogram.submit(BOT_ID, hello, tag="spring")
        assert (await tempogram.stats())["stats"]["normal"] == 1
        handle = await tempogram.send(BOT_ID, hello, wait_s=0)
    async with process(settings, ProcessRole.SCHEDULER):
        explained = await tempogram.explain(submitted.id)
        await tempogram.cancel(handle.tempogram_id)  # type: ignore[attr-defined]
        assert (explained.tag, (await tempogram.state(submitted.id)).status) == ("spring", Status.QUEUED)
    async with process(settings, ProcessRole.WORKER) as worker:  # no code of a user's runs there

        async def status_of(message_id: str) -> Status | None:
            found = await worker.storage.history.message(message_id)
            return None if found is None else found.status

        async def is_sent() -> bool:
            return await status_of(submitted.id) is Status.SENT

        await until(is_sent)
        assert await status_of(handle.tempogram_id) is Status.CANCELLED  # type: ignore[attr-defined]
        assert sum((await worker.queue.broker.stats()).waiting.values()) == 0
