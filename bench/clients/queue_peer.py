"""A worker of another queue that does nothing so many times, or the process that fills its queue.

    python queue_peer.py <saq|arq|taskiq|dramatiq> <fill|work> <redis url> <count> <concurrency>

Each is used as its manual says, with its defaults. ``work`` prints one line at the end: the seconds from the first
no-op to the last, and the CPU seconds that it used meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

NAME, ROLE, URL = sys.argv[1:4]
COUNT, CONCURRENCY = int(sys.argv[4]), int(sys.argv[5])
TEXT = "x" * 280
TOGETHER = 50


class Tally:
    """Counts the no-ops; the last of them ends the process, as nothing is asked of it any more."""

    def __init__(self) -> None:
        self.count = 0

    def note(self) -> None:
        if self.count == 0:
            self.wall_s, self.cpu_s = time.perf_counter(), time.process_time()
        self.count += 1
        if self.count == COUNT:
            took = {"took_s": time.perf_counter() - self.wall_s, "cpu_s": time.process_time() - self.cpu_s}
            sys.stdout.write(json.dumps(took) + "\n")
            sys.stdout.flush()
            os._exit(0)


tally = Tally()


async def together(enqueue: Callable[[int], Awaitable[Any]]) -> None:
    for start in range(0, COUNT, TOGETHER):
        await asyncio.gather(*(enqueue(number) for number in range(start, start + TOGETHER)))


async def noop(_context: dict[str, Any], *, text: str) -> None:  # noqa: ARG001 - the work is to do nothing
    tally.note()


async def saq() -> None:
    from saq import Queue, Worker

    queue = Queue.from_url(URL)
    await queue.connect()
    if ROLE == "fill":
        await together(lambda _: queue.enqueue("noop", text=TEXT))
    else:
        await Worker(queue, functions=[noop], concurrency=CONCURRENCY).start()


async def arq() -> None:
    from arq import create_pool
    from arq.connections import RedisSettings
    from arq.worker import Worker

    settings = RedisSettings.from_dsn(URL)
    if ROLE == "fill":
        pool = await create_pool(settings)
        await together(lambda _: pool.enqueue_job("noop", text=TEXT))
    else:
        await Worker([noop], redis_settings=settings, max_jobs=CONCURRENCY).main()


async def taskiq() -> None:
    from taskiq.api import run_receiver_task
    from taskiq_redis import RedisStreamBroker

    broker = RedisStreamBroker(URL)

    @broker.task(task_name="noop")  # type: ignore[untyped-decorator]
    async def task(text: str) -> None:  # noqa: ARG001 - the work is to do nothing
        tally.note()

    await broker.startup()
    if ROLE == "fill":
        await together(lambda _: task.kiq(TEXT))
        await broker.shutdown()
    else:
        await run_receiver_task(broker, max_async_tasks=CONCURRENCY)


def dramatiq() -> None:
    from threading import Event, Lock

    import dramatiq as library
    from dramatiq.brokers.redis import RedisBroker

    broker, lock = RedisBroker(url=URL), Lock()
    library.set_broker(broker)

    @library.actor(queue_name="default", actor_name="noop")  # type: ignore[untyped-decorator]
    def task(text: str) -> None:  # noqa: ARG001 - the work is to do nothing
        with lock:
            tally.note()

    if ROLE == "fill":
        for _ in range(COUNT):
            task.send(TEXT)
    else:
        library.Worker(broker, worker_threads=CONCURRENCY).start()
        Event().wait()


if __name__ == "__main__":
    match NAME:
        case "saq":
            asyncio.run(saq())
        case "arq":
            asyncio.run(arq())
        case "taskiq":
            asyncio.run(taskiq())
        case "dramatiq":
            dramatiq()
