"""One process on SQLite whose Redis comes and goes: it sends all the time, each message once and in order."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from redis.asyncio import Redis

from tempogram.bot.demo.process import free_port
from tempogram.engine.brokers.redis.keys import SCHEMA, prefix
from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import Program, program
from tests.engine.redis_server import own_redis

CHATS = (1, 2, 3, -5)
WITHIN_S = 30


async def test_one_process_on_sqlite_sends_while_its_redis_comes_and_goes(tmp_path: Path) -> None:
    port, numbers = free_port(), itertools.count(1)
    url = f"redis://127.0.0.1:{port}/0"

    async with (
        running_simulator(private_limit=0, group_limit=20, group_window_ms=3_000) as telegram,
        program(
            tmp_path,
            telegram.url,
            REDIS_URL=url,
            TELEGRAM_CHAT_LIMIT="0",
            TELEGRAM_GROUP_LIMIT_WINDOW_S="3",
        ) as tempogram,
    ):

        async def submit(rounds: int) -> None:
            batch = [
                {"bot": "42", "chat_id": chat, "text": f"{number}"}
                for number in itertools.islice(numbers, rounds)
                for chat in CHATS
            ]
            status, _ = await tempogram.call("POST", "/messages/batch", json=batch)
            assert status == 202

        await submit(3)
        await Program.until(tempogram.is_empty, within_s=WITHIN_S)
        assert await conditions_of(tempogram) == ["redis_away", "one_sender"]

        await submit(4)
        with own_redis(tmp_path, port=port):
            await Program.until(lambda: has_conditions(tempogram, lambda on: not on), within_s=WITHIN_S)
            await submit(4)
            await Program.until(tempogram.is_empty, within_s=WITHIN_S)
            async with Redis.from_url(url) as redis:
                assert await redis.exists(f"{prefix(SCHEMA)}state")
            await submit(4)
        await Program.until(lambda: has_conditions(tempogram, lambda on: "redis_away" in on), within_s=WITHIN_S)
        await submit(4)
        await Program.until(tempogram.is_empty, within_s=WITHIN_S)
        report = await telegram.report()
        calls = [call for call in await telegram.calls() if call["code"] == 200 and call["cost"]]

    sent: dict[int, list[int]] = defaultdict(list)
    for call in calls:
        sent[call["chat_id"]].append(int(call["text"]))
    every = list(range(1, next(numbers)))
    assert sent == dict.fromkeys(CHATS, every)
    assert report.broke_no_window
    assert not any(report.throttled.values())


async def conditions_of(tempogram: Program) -> list[str]:
    status, health = await tempogram.call("GET", "/health")
    assert (status, health["status"]) == (200, "up")
    return list(health["conditions"])


async def has_conditions(tempogram: Program, holds: Callable[[list[str]], bool]) -> bool:
    return holds(await conditions_of(tempogram))
