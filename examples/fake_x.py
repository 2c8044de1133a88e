"""A small X API on this machine, for the contest: tweets come and are deleted, calls fail and hang, limits are strict.

python -m examples.fake_x --port 8099

It has two operations, mentions (10 in 15 minutes) and tweet lookup (15 in 15 minutes), and counts both over any such
time, also what it refuses. GET /-/report shows what it has counted.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import sys
import time
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

LOOKUP_MAX = 100


@dataclass
class Budget:
    """So many calls in any window."""

    count: int
    window_s: float
    arrived: list[float] = field(default_factory=list)
    refused: int = 0

    def take(self, now_s: float) -> bool:
        is_free = self.taken(now_s) < self.count
        self.arrived.append(now_s)
        self.refused += not is_free
        return is_free

    def taken(self, now_s: float) -> int:
        return bisect_right(self.arrived, now_s) - bisect_right(self.arrived, now_s - self.window_s)

    def headers(self, now_s: float) -> dict[str, str]:
        taken = self.taken(now_s)
        oldest_s = self.arrived[-taken] if taken else now_s
        return {
            "x-rate-limit-limit": str(self.count),
            "x-rate-limit-remaining": str(max(0, self.count - taken)),
            "x-rate-limit-reset": str(math.ceil(oldest_s + self.window_s)),
        }

    def report(self) -> dict[str, object]:
        most = max((self.taken(at_s) for at_s in self.arrived), default=0)
        return {"calls": len(self.arrived), "refused": self.refused, "most": most, "arrived": self.arrived}


@dataclass
class FakeX:
    """All tweets that mention the account, and what calls of them may do.

    Attributes:
        window_s: Of both budgets.
        tweet_every_s: How often a tweet mentions the account.
        lives_s: How long a tweet is there on average.
        fails: Share of calls that are answered with 503.
        hangs: Share of calls that are answered after ``hang_s``.
    """

    window_s: float = 900.0
    tweet_every_s: float = 20.0
    lives_s: float = 7_200.0
    fails: float = 0.03
    hangs: float = 0.02
    hang_s: float = 60.0
    seed: int = 1

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - of a service that is not there
        self.budgets = {"mentions": Budget(10, self.window_s), "tweet_lookup": Budget(15, self.window_s)}
        self.tweets: dict[str, float] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/2/users/{user}/mentions", self.mentions)
        app.router.add_get("/2/tweets", self.lookup)
        app.router.add_get("/-/report", self.report)
        app.cleanup_ctx.append(self.tweeting)
        return app

    async def tweeting(self, _: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self.tweet())
        yield
        task.cancel()

    async def tweet(self) -> None:
        while True:
            self.tweets[str(len(self.tweets) + 1)] = time.time() + self.chance.expovariate(1 / self.lives_s)
            await asyncio.sleep(self.tweet_every_s)

    def exists(self, tweet_id: str) -> bool:
        return self.tweets.get(tweet_id, 0) > time.time()

    async def mentions(self, request: web.Request) -> web.Response:
        since = int(request.query.get("since_id", 0))
        newer = [tweet_id for tweet_id in self.tweets if int(tweet_id) > since and self.exists(tweet_id)][:LOOKUP_MAX]
        return await self.answer("mentions", {"data": [{"id": each} for each in newer]})

    async def lookup(self, request: web.Request) -> web.Response:
        asked = request.query["ids"].split(",")[:LOOKUP_MAX]
        found = [{"id": each} for each in asked if self.exists(each)]
        gone = [{"resource_id": each, "title": "Not Found Error"} for each in asked if not self.exists(each)]
        return await self.answer("tweet_lookup", {"data": found, "errors": gone})

    async def answer(self, operation: str, found: dict[str, object]) -> web.Response:
        budget, now_s = self.budgets[operation], time.time()
        is_taken = budget.take(now_s)
        headers = budget.headers(now_s)
        if not is_taken:
            return web.json_response({"title": "Too Many Requests"}, status=429, headers=headers)
        luck = self.chance.random()
        if luck < self.fails:
            return web.json_response({"title": "Service Unavailable"}, status=503, headers=headers)
        if luck < self.fails + self.hangs:
            await asyncio.sleep(self.hang_s)
        return web.json_response(found, headers=headers)

    async def report(self, _: web.Request) -> web.Response:
        return web.json_response({name: budget.report() for name, budget in self.budgets.items()})


async def serve(port: int, x: FakeX) -> None:
    runner = web.AppRunner(x.app())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="A small X API with strict limits")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--faster", type=float, default=1, help="all times are so many times shorter")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    times = {name: getattr(FakeX, name) / given.faster for name in ("window_s", "tweet_every_s", "lives_s", "hang_s")}
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(given.port, FakeX(seed=given.seed, **times)))


if __name__ == "__main__":
    main()
