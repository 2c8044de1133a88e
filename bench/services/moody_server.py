"""An HTTP service on loopback whose behaviour a benchmark switches; it notes every call by itself.

Each caller has a door of its own to it, which can be shut: connections are cut, and new ones refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

from tempogram.bot.demo.process import free_port
from tempogram.simulator.services.counts import most_in_window

HANGS_S = 60.0

SILENT = logging.getLogger(__name__)
SILENT.disabled = True


class Mood(StrEnum):
    """How it answers."""

    WELL = "well"
    FAILING = "answers 500"
    SLOW = "slow"
    HANGING = "hangs"
    THROTTLING = "429, says when"
    THROTTLING_SILENTLY = "429, says nothing"


@dataclass(slots=True)
class Served:
    """One call, from its arrival to its answer, or to the end of its connection.

    Attributes:
        attempt: 1 for the first.
        ended_at_s: 0: not yet.
    """

    door: int
    path: str
    attempt: int
    began_at_s: float
    ended_at_s: float = 0.0


@dataclass
class MoodyServer:
    """Serves at several doors.

    Attributes:
        takes_s: For an answer when it is well, by path; 5 ms for others.
        slow_s: For an answer when it is slow.
        retry_after_s: What it says with a 429.
    """

    takes_s: dict[str, float] = field(default_factory=dict)
    slow_s: float = 0.4
    retry_after_s: int = 1
    mood: Mood = Mood.WELL
    served: list[Served] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    _runners: dict[int, web.ServerRunner] = field(default_factory=dict)

    def url(self, door: int) -> str:
        return f"http://127.0.0.1:{self.ports[door]}"

    async def open(self, door: int) -> None:
        while len(self.ports) <= door:
            self.ports.append(free_port())

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await self._note(door, request)

        # A call that is cut off in the middle is no failure of the server, though aiohttp logs it as one.
        server = web.Server(answer, handler_cancellation=True, logger=SILENT, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.ports[door], reuse_address=True).start()
        self._runners[door] = runner

    async def shut(self, door: int) -> None:
        """Cut the connections of a door, and refuse new ones."""
        if (runner := self._runners.pop(door, None)) is not None:
            await runner.cleanup()

    async def close(self) -> None:
        await asyncio.gather(*map(self.shut, list(self._runners)))

    def between(self, from_s: float, to_s: float) -> list[Served]:
        """Return the calls that arrived in a time."""
        return [each for each in self.served if from_s <= each.began_at_s < to_s]

    async def _note(self, door: int, request: web.BaseRequest) -> web.StreamResponse:
        attempt = int(request.rel_url.query.get("attempt", "1"))
        noted = Served(door, request.rel_url.path, attempt, time.time())
        self.served.append(noted)
        try:
            return await self._answer(noted.path)
        finally:
            noted.ended_at_s = time.time()

    async def _answer(self, path: str) -> web.Response:
        match self.mood:
            case Mood.FAILING:
                return web.Response(status=500)
            case Mood.THROTTLING:
                return web.Response(status=429, headers={"Retry-After": str(self.retry_after_s)})
            case Mood.THROTTLING_SILENTLY:
                return web.Response(status=429)
            case Mood.HANGING:
                await asyncio.sleep(HANGS_S)
            case Mood.SLOW:
                await asyncio.sleep(self.slow_s)
            case Mood.WELL:
                await asyncio.sleep(self.takes_s.get(path, 0.005))
        return web.Response(text="well")


@asynccontextmanager
async def moody_server(doors: int, **takes_s: float) -> AsyncIterator[MoodyServer]:
    """Run one with so many doors until the block ends; ``takes_s`` by operation."""
    server = MoodyServer({f"/{name}": seconds for name, seconds in takes_s.items()})
    try:
        for door in range(doors):
            await server.open(door)
        yield server
    finally:
        await server.close()


def at_once(calls: Sequence[Served]) -> Iterator[tuple[float, int]]:
    """Yield each time at which the number of calls under way changed, and their number.

    >>> list(at_once([Served(0, "/", 1, 1.0, 3.0), Served(0, "/", 1, 2.0, 4.0)]))
    [(1.0, 1), (2.0, 2), (3.0, 1), (4.0, 0)]
    """
    steps = [(each.began_at_s, 1) for each in calls]
    steps += [(each.ended_at_s or float("inf"), -1) for each in calls]
    under_way = 0
    for at_s, step in sorted(steps):
        under_way += step
        yield at_s, under_way


def most_in_a_window(calls: Sequence[Served], window_s: float) -> int:
    """Return how many arrived in the fullest window.

    >>> most_in_a_window([Served(0, "/", 1, at_s) for at_s in (1.0, 1.5, 2.0)], 1.0)
    2
    """
    return most_in_window(sorted(each.began_at_s * 1_000 for each in calls), window_s * 1_000)
