"""Programs with the one line beside an API and a worker: one budget by one Redis and one PostgreSQL, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tempogram.bot.demo.process import free_port
from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.sync_client import served_in_thread
from tests.end_to_end.own_program import TOKEN, own_program
from tests.end_to_end.program import Program, program
from tests.engine.redis_server import own_redis
from tests.storage.servers import own_postgres

pytestmark = pytest.mark.postgres

OTHER_TOKEN = "43:token-of-another-bot"
WINDOW_S = 3
STRICT = SimulatorSettings(private_limit=0, group_limit=20, group_window_ms=1_000 * WINDOW_S, total_limit=30)
MANY = 30
REFUSED = 2


@dataclass(frozen=True, slots=True)
class Servers:
    redis_url: str
    postgres_url: str

    @property
    def settings(self) -> dict[str, str]:
        return {
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.postgres_url,
            "TELEGRAM_CHAT_LIMIT": "0",
            "TELEGRAM_GROUP_LIMIT_WINDOW_S": str(WINDOW_S),
        }


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with own_redis(tmp_path_factory.mktemp("redis")) as redis_url, own_postgres() as postgres_url:
        yield Servers(redis_url, postgres_url)


@pytest.fixture
def another_postgres_url() -> Iterator[str]:
    with own_postgres() as url:
        yield url


def folder(path: Path) -> Path:
    path.mkdir()
    return path


async def test_two_programs_an_api_and_a_worker_share_one_budget(tmp_path: Path, servers: Servers) -> None:
    with served_in_thread(STRICT) as telegram:
        bot, other = telegram.add_bot(TOKEN), telegram.add_bot(OTHER_TOKEN)
        group = telegram.add_chat("supergroup", "Friends", bots=[bot])
        anna, boris = telegram.add_user("Anna"), telegram.add_user("Boris")
        settings = servers.settings
        async with (
            program(folder(tmp_path / "api"), telegram.url, role="api", **settings | {"BEHAVIOURS": ""}) as api,
            program(folder(tmp_path / "worker"), telegram.url, role="worker", **settings),
            own_program(folder(tmp_path / "one"), telegram.url, **settings),
            own_program(folder(tmp_path / "two"), telegram.url, "attached", **settings | {"BOT_TOKENS": OTHER_TOKEN}),
        ):
            boris.says(other, "hello")  # by its first call the other bot is known to all
            await asyncio.to_thread(telegram.wait_for, "sendMessage", within_s=20)
            anna.says(group, f"many {MANY}")
            boris.says(other, f"many {MANY}")
            batch = [
                {"bot": str(bot.bot_id), "chat_id": group.chat_id, "text": f"by the API {n}"} for n in range(MANY)
            ] + [{"bot": str(other.bot_id), "chat_id": boris.user_id, "text": f"to Boris {n}"} for n in range(MANY)]
            status, answers = await api.call("POST", "/messages/batch", json=batch)
            assert (status, [each for each in answers if "error" in each]) == (202, [])
            sent = await asyncio.to_thread(telegram.wait_for, "sendMessage", times=4 * MANY + 1, within_s=60)
        report = telegram.report()

    assert len({(call["chat_id"], call["text"]) for call in sent}) == len(sent) == 4 * MANY + 1
    assert report.broke_no_window
    assert not any(report.throttled.values())


@pytest.mark.parametrize("role", ["run", "worker"])
async def test_a_redis_that_belongs_to_another_database_is_refused_in_one_sentence(
    tmp_path: Path, servers: Servers, another_postgres_url: str, role: str
) -> None:
    with served_in_thread(STRICT) as telegram:
        async with program(folder(tmp_path / "mine"), telegram.url, **servers.settings):
            other = Program(
                folder(tmp_path / "other"),
                role=role,
                TELEGRAM_API_URL=telegram.url,
                **servers.settings | {"DATABASE_URL": another_postgres_url},
            )
            process = await other.spawn()
            status = await asyncio.wait_for(process.wait(), 60)
            await other.session.close()

    (line,) = [line for line in other.output.read_text().splitlines() if line.startswith("tempogram:")]
    assert status == REFUSED
    assert "REDIS_URL leads to a Redis whose queue belongs to another database" in line
    assert "redis://localhost:6379/1" in line


async def test_a_process_ends_when_its_redis_comes_late_and_is_another_ledgers(
    tmp_path: Path, servers: Servers, another_postgres_url: str
) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with served_in_thread(STRICT) as telegram:
        settings = servers.settings | {"REDIS_URL": url, "DATABASE_URL": another_postgres_url}
        mine = Program(folder(tmp_path / "mine"), TELEGRAM_API_URL=telegram.url, **settings)
        await mine.start()
        with own_redis(folder(tmp_path / "redis"), port=port):
            async with Redis.from_url(url) as redis:
                await redis.set("{q2}:ledger", "of another")
            status = await asyncio.wait_for(mine.process.wait(), 60)
            async with Redis.from_url(url) as redis:
                left = await redis.keys("{q2}:*")
        await mine.session.close()

    assert status == REFUSED
    assert "REDIS_URL leads to a Redis whose queue belongs to another database" in mine.output.read_text()
    assert left == [b"{q2}:ledger"]
