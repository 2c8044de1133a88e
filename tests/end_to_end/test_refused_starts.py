"""A role without what it needs: one sentence, and no traceback; it waits for a database that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tempogram.bot.demo.process import free_port
from tests.chaos.proxy import Proxy
from tests.end_to_end.program import Program, program, started
from tests.engine.redis_server import own_redis
from tests.storage.servers import own_postgres

REFUSED = 2
NOWHERE = "http://127.0.0.1:9"
ROLES = ("api", "worker", "scheduler")

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with own_postgres() as url:
        yield url


@pytest.fixture
def another_postgres_url() -> Iterator[str]:
    with own_postgres() as url:
        yield url


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with own_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


async def test_a_role_without_a_redis_is_refused(tmp_path: Path) -> None:
    for role in ROLES:
        assert await refused(tmp_path / role, role) == (
            f"tempogram: tempogram {role} shares its queue over Redis; set REDIS_URL, or use tempogram run\n"
        )


async def test_a_role_with_sqlite_is_refused(tmp_path: Path, redis_url: str) -> None:
    for role in ROLES:
        assert await refused(tmp_path / role, role, REDIS_URL=redis_url) == (
            f"tempogram: tempogram {role} shares its database with other processes, which SQLite cannot do; "
            "set DATABASE_URL to a PostgreSQL, or use tempogram run\n"
        )


@pytest.mark.parametrize("url", [":s3cret@redis:6379", "http://:s3cret@redis", "redis://:s3cret@redis:port/0"])
async def test_an_invalid_redis_url_is_refused_and_not_quoted(tmp_path: Path, postgres_url: str, url: str) -> None:
    said = await refused(tmp_path / "worker", "worker", REDIS_URL=url, DATABASE_URL=postgres_url)

    assert said.startswith("tempogram: REDIS_URL makes no sense: ")
    assert said.count("\n") == 1
    assert "s3cret" not in said


async def test_each_role_waits_for_its_database_and_starts_without_redis(tmp_path: Path, postgres_url: str) -> None:
    proxy = Proxy(urlsplit(postgres_url).port or 0)
    waiting = asyncio.Barrier(len(ROLES))

    async def start(role: str) -> tuple[object, object, str]:
        away = {
            "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
            "DATABASE_URL": postgres_url.replace(str(proxy.server_port), str(proxy.port)),
        }
        running = WaitedFor(made(tmp_path / role), role=role, TELEGRAM_API_URL=NOWHERE, **away)
        async with started(running) as running:
            assert await running.call("GET", "/health") == (503, {"status": "starting"})
            if await waiting.wait() == 0:
                await proxy.listen()
            await Program.until(running.is_up, within_s=60)
            await Program.until(lambda: tells(running, "redis_away"), within_s=20)
            _, health = await running.call("GET", "/health")
            _, unauthenticated = await running.call("GET", "/health", headers={"Authorization": ""})
            return health["status"], unauthenticated, running.output.read_text()

    async with proxy.serve():
        await proxy.refuse()
        answers = await asyncio.gather(*map(start, ROLES))

    for status, without_token, said in answers:
        assert status == "up"
        assert without_token == {"status": "up"}
        assert "Traceback" not in said
        assert (said.count('"start_waits"'), said.count('"start_continued"')) == (1, 1)


async def test_a_role_that_waits_for_its_database_ends_at_sigterm(tmp_path: Path) -> None:
    url = f"postgresql://me:s3cret@127.0.0.1:{free_port()}/fleet"
    running = WaitedFor(made(tmp_path / "run"), TELEGRAM_API_URL=NOWHERE, DATABASE_URL=url)
    async with started(running):
        status = await running.end()

    said = running.output.read_text()
    assert (status, said.count("\n")) == (0, 1)
    assert "s3cret" not in said


async def test_a_queue_in_memory_and_one_in_redis_never_share_a_database(
    tmp_path: Path, postgres_url: str, another_postgres_url: str, redis_url: str
) -> None:
    async def beside_a(first: str, second: str, url: str, *, first_redis: str = "", second_redis: str = "") -> str:
        async with program(made(tmp_path / first), NOWHERE, role=first, DATABASE_URL=url, REDIS_URL=first_redis):
            return await refused(tmp_path / f"{second} later", second, DATABASE_URL=url, REDIS_URL=second_redis)

    beside_redis, beside_memory = await asyncio.gather(
        beside_a("worker", "run", postgres_url, first_redis=redis_url),
        beside_a("run", "worker", another_postgres_url, second_redis=redis_url),
    )

    assert beside_redis.startswith("tempogram: another tempogram uses the database ")
    assert beside_memory.startswith("tempogram: a tempogram with its queue in memory uses the database ")
    assert (beside_redis.count("\n"), beside_memory.count("\n")) == (1, 1)


class WaitedFor(Program):
    """A program that has started as soon as it says that it waits."""

    async def _answers(self) -> bool:
        return await self._status() == 503

    async def is_up(self) -> bool:
        return await self._status() == 200

    async def _status(self) -> int:
        assert self.process.returncode is None, self.output.read_text()
        try:
            status, _ = await self.call("GET", "/health")
        except aiohttp.ClientConnectionError:
            return 0
        return status


async def refused(directory: Path, role: str, **environment: str) -> str:
    """Start it, see that it ends by itself, and return what it said."""
    starting = Program(made(directory), role=role, TELEGRAM_API_URL=NOWHERE, **environment)
    process = await starting.spawn()
    status = await asyncio.wait_for(process.wait(), 60)
    await starting.session.close()
    said = starting.output.read_text()
    assert status == REFUSED, said
    return said


def made(directory: Path) -> Path:
    directory.mkdir()
    return directory


async def tells(running: Program, condition: str) -> bool:
    _, health = await running.call("GET", "/health")
    return condition in health["conditions"]
