"""Alerts of several processes over an outage of Redis and a kill: is each said once, and its end?

    python -m bench.alerts_of_several    some 100 s

Two schedulers and a worker share PostgreSQL and a Redis that goes away. The process that has said so is killed before
Redis comes back.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from bench.clean_exit import run_and_clean_up
from tempogram.bot.demo.process import free_port
from tempogram.simulator.client import running_simulator
from tests.bot.alerts.receivers import WebhookReceiver
from tests.end_to_end.program import Program, started
from tests.engine.redis_server import own_redis
from tests.storage.servers import own_postgres

PROCESSES = ("scheduler1", "scheduler2", "worker")
OPENED, ENDED = ("alert.opened", "redis_away"), ("alert.ended", "redis_away")


async def measure(url: str, folder: Path) -> int:
    receiver, port = WebhookReceiver(), free_port()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(receiver.running())
        telegram = await stack.enter_async_context(running_simulator())
        with own_redis(folder, port=port) as redis_url:
            programs = [
                Program(
                    made(folder, name),
                    role=name.rstrip("12"),
                    TELEGRAM_API_URL=telegram.url,
                    DATABASE_URL=url,
                    REDIS_URL=redis_url,
                    ALERT_WEBHOOK_URL=receiver.url,
                    ALERT_CHECK_S="1",
                )
                for name in PROCESSES
            ]
            for each in programs:
                await stack.enter_async_context(started(each))
            await asyncio.sleep(3)
        said = await heard(receiver, programs[0], 1)
        speaker = next(each for each in programs if "alert_delivered" in each.output.read_text())
        await speaker.kill()
        with own_redis(folder, port=port):
            over = await heard(receiver, programs[0], 2)
    print(f"while Redis was away: {said}; once it was back, and the process that said it was killed: {over}")
    is_well = said == [OPENED] and over == [OPENED, ENDED]
    print("as promised" if is_well else "NOT as promised")
    return 0 if is_well else 1


async def heard(receiver: WebhookReceiver, program: Program, number: int) -> list[tuple[str, str]]:
    """Return what was said, once it is so much and 3 s more have brought nothing else."""

    async def is_said() -> bool:
        return len(receiver.accepted) >= number

    await program.until(is_said, within_s=90)
    await asyncio.sleep(3)
    return [(body["type"], body["data"]["kind"]) for _, body in receiver.accepted]


def made(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def main() -> int:
    with own_postgres() as url, tempfile.TemporaryDirectory() as folder:
        return run_and_clean_up(measure(url, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
