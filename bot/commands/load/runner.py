"""Makes requests: in a closed loop each begins when one before it has ended, in an open loop at its planned instant."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from time import perf_counter

import aiohttp

from tempogram.bot.commands.load.plan import Bounds, Plan
from tempogram.bot.commands.load.seen import Seen


async def run(plan: Plan, bounds: Bounds) -> Seen:
    """Make all requests; at a Ctrl-C those under way are cut off, and what was seen so far is returned."""
    seen = Seen(bounds)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=plan.timeout_s)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=plan.headers) as session:
        requests = Requests(plan, session, seen)
        work = asyncio.ensure_future(requests.closed() if plan.rate is None else requests.open(plan.rate))
        with interrupted_by_ctrl_c(work, seen):
            await asyncio.wait([work])
        seen.took_s = max(0.0, requests.ended_s - requests.began_s)
    if not work.cancelled():
        work.result()
    return seen


@contextmanager
def interrupted_by_ctrl_c(work: asyncio.Future[None], seen: Seen) -> Iterator[None]:
    """End the work by the first Ctrl-C; the second ends the program."""
    loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)

    def interrupt() -> None:
        seen.is_interrupted = True
        work.cancel()
        for each in signals:
            loop.remove_signal_handler(each)

    for each in signals:
        loop.add_signal_handler(each, interrupt)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


class Requests:
    """The requests of one plan."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession, seen: Seen) -> None:
        self._plan = plan
        self._session = session
        self._seen = seen
        self.began_s = self.ended_s = perf_counter()

    async def closed(self) -> None:
        """Keep so many requests under way until enough were begun."""
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._plan.concurrency, self._plan.requests or self._plan.concurrency)):
                group.create_task(self._one_after_another())

    async def open(self, rate: float) -> None:
        """Begin each request at its planned instant, whatever the answers do.

        While ``concurrency`` are under way the next begins late; its latency is counted from its planned instant.
        """
        places = asyncio.Semaphore(self._plan.concurrency)
        async with asyncio.TaskGroup() as group:
            for number in count():
                planned_s = self.began_s + number / rate
                if not self._may_begin(planned_s):
                    return
                await self._wait_until(planned_s)
                await places.acquire()
                group.create_task(self._one_of(places, planned_s))

    async def _one_after_another(self) -> None:
        while self._may_begin(perf_counter()):
            await self._one(perf_counter())

    def _may_begin(self, at_s: float) -> bool:
        """Tell whether one more request belongs to the plan, and count it."""
        plan = self._plan
        if plan.requests is not None and self._seen.begun >= plan.requests:
            return False
        if plan.duration_s is not None and at_s - self.began_s >= plan.duration_s:
            return False
        self._seen.begun += 1
        return True

    async def _wait_until(self, planned_s: float) -> None:
        if (left_s := planned_s - perf_counter()) > 0:
            await asyncio.sleep(left_s)

    async def _one_of(self, places: asyncio.Semaphore, planned_s: float) -> None:
        try:
            await self._one(planned_s)
        finally:
            places.release()

    async def _one(self, planned_s: float) -> None:
        began_s = perf_counter()
        self._seen.late.add(began_s - planned_s)
        try:
            status = await self._status()
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            self._unanswered(error, planned_s)
        else:
            self.ended_s = perf_counter()
            self._seen.answer(status, planned_s=planned_s, began_s=began_s, ended_s=self.ended_s)

    async def _status(self) -> int:
        """Make a request, and read its answer to the end."""
        plan = self._plan
        async with self._session.request(
            plan.method, plan.url, data=plan.body or None, allow_redirects=False
        ) as response:
            async for _ in response.content.iter_any():
                pass
            return response.status

    def _unanswered(self, error: Exception, planned_s: float) -> None:
        self.ended_s = perf_counter()
        self._seen.unanswered[reason(error)] += 1
        if isinstance(error, TimeoutError):
            self._seen.latency.add(self.ended_s - planned_s)


def reason(error: Exception) -> str:
    """Say why there was no answer, in a few words, of which there are few.

    >>> reason(TimeoutError()), reason(aiohttp.ServerDisconnectedError())
    ('timed out', 'ServerDisconnectedError')
    """
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "could not connect"
    return type(error).__name__
