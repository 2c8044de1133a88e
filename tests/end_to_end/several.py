"""Several processes over one Redis and one PostgreSQL of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.chaos.processes import Processes, SupervisedProcess, running_processes
from tests.chaos.run import migrated
from tests.chaos.servers import OwnRedis, own_postgres, own_redis
from tests.end_to_end.program import Program, update
from tests.end_to_end.talkative import GROUP_LIMIT

TIMEOUT_S, LEASE_MARGIN_S = 2, 2
LEASE_S = TIMEOUT_S + LEASE_MARGIN_S
CONNECTIONS = 10
CEILING, GROUP_WINDOW_S = 60, 5

ENVIRONMENT = {
    "LOG_LEVEL": "INFO",
    "BEHAVIOURS": "tests.end_to_end.talkative",
    "TELEGRAM_TIMEOUT": str(TIMEOUT_S),
    "TELEGRAM_LEASE_MARGIN": str(LEASE_MARGIN_S),
    "TELEGRAM_CONNECTIONS": str(CONNECTIONS),
    "TELEGRAM_GLOBAL_LIMIT": str(CEILING),
    "TELEGRAM_GROUP_LIMIT": str(GROUP_LIMIT),
    "TELEGRAM_GROUP_LIMIT_WINDOW_S": str(GROUP_WINDOW_S),
    "TELEGRAM_RATE_LIMIT_WAIT": "20",  # no test is about a handler that gives up waiting
}

SIMULATOR = {"total_limit": CEILING, "group_limit": GROUP_LIMIT, "group_window_ms": GROUP_WINDOW_S * 1_000}


@dataclass(frozen=True, slots=True)
class Several:
    """The servers and processes that the tests of a module share."""

    telegram: RunningSimulator
    redis: OwnRedis
    client: Redis
    fleet: Processes
    folder: Path
    numbers: count[int]

    def all_of(self, role: str) -> list[SupervisedProcess]:
        return [member for member in self.fleet.members if member.process.role == role]

    @property
    def api(self) -> SupervisedProcess:
        """Return the first process with an API."""
        return next(member for member in self.fleet.members if member.process.role in {"api", "run"})

    async def ask(
        self, method: str, path: str, body: object = None, *, of: SupervisedProcess | None = None
    ) -> tuple[int, Any]:
        """Make one call of the API, and return its status and its answer."""
        process = (of or self.api).process
        assert process.session is not None
        async with process.session.request(method, process.url + path, json=body) as response:
            return response.status, await response.json(content_type=None)

    async def submit(self, *messages: Mapping[str, Any]) -> None:
        """Submit messages, and check that each is accepted."""
        status, answer = await self.ask("POST", "/messages/batch", list(messages))
        assert status < 300, answer
        assert not [each for each in answer if "error" in each]

    async def tell(self, token: str, text: str, *, chat_id: int, to: SupervisedProcess | None = None) -> dict[str, Any]:
        """Deliver an update as Telegram would by webhook; return it, so that it can be delivered again."""
        sent_update = update(next(self.numbers), text, chat_id=chat_id)
        await self.deliver(token, sent_update, to=to)
        return sent_update

    async def deliver(self, token: str, sent_update: Mapping[str, Any], *, to: SupervisedProcess | None = None) -> None:
        status, answer = await self.ask("POST", f"/webhook/telegram/{token}", sent_update, of=to)
        assert status == 200, answer

    async def calls(self) -> list[dict[str, Any]]:
        """Return every call that Telegram saw, oldest first."""
        return await self.telegram.calls()

    async def sent(self, beginning: str) -> list[dict[str, Any]]:
        """Return the accepted messages whose text has this beginning."""
        calls = await self.calls()
        return [call for call in calls if call["code"] == 200 and call["cost"] and call["text"].startswith(beginning)]

    async def texts(self, beginning: str) -> list[str]:
        return [call["text"] for call in await self.sent(beginning)]

    async def until_sent(self, beginning: str, number: int, *, within_s: float = 20) -> list[str]:
        """Wait until Telegram has accepted this many different texts; return all."""

        async def are_sent() -> bool:
            return len(set(await self.texts(beginning))) >= number

        await self.until(are_sent, within_s=within_s)
        return await self.texts(beginning)

    async def sent_by(self, member: SupervisedProcess) -> float:
        """Return how many calls a process has made for messages, by its own count."""
        _, numbers = await self.ask("GET", "/metrics?format=json", of=member)
        return float(sum(value for name, value in numbers.items() if name.startswith("telegram_messages_total{")))

    async def broke_nothing(self) -> bool:
        """Tell whether no limit was exceeded and no call answered with 429 since the start."""
        report = await self.telegram.report()
        return report.broke_no_window and not any(report.throttled.values())

    @staticmethod
    async def until(holds: Any, *, within_s: float = 20) -> None:
        await Program.until(holds, within_s=within_s)

    def said(self, member: SupervisedProcess) -> list[dict[str, Any]]:
        """Return a process's log events; any other line fails here."""
        return [json.loads(line) for line in (self.folder / f"{member.name}.log").read_text().splitlines()]


@asynccontextmanager
async def several(
    folder: Path, roles: Sequence[str], tokens: Sequence[str], **environment: str
) -> AsyncIterator[Several]:
    """Start the servers, the simulator and one process for each role; all end with the block."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(own_redis())
        postgres = await stack.enter_async_context(own_postgres())
        telegram = await stack.enter_async_context(running_simulator(**SIMULATOR))
        client = await stack.enter_async_context(Redis.from_url(redis.url))
        await migrated(postgres, telegram.url)
        running = running_processes(
            folder,
            roles,
            telegram_url=telegram.url,
            tokens=tokens,
            redis=redis,
            postgres=postgres,
            environment=ENVIRONMENT | environment,
        )
        yield Several(telegram, redis, client, await stack.enter_async_context(running), folder, count(1_000_000_000))


async def end(member: SupervisedProcess) -> int:
    """End it by SIGTERM, and return its status."""
    assert member.process.process is not None
    member.process.process.terminate()
    return await asyncio.wait_for(member.process.process.wait(), 30)
