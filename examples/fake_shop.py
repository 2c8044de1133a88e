"""A small shop API on this machine, for the watches: prices change, calls fail, hang and are refused, and are counted.

python -m examples.fake_shop --port 8098

GET /items/tea answers {"key": "tea", "price": 9.5, "in_stock": true}; PUT /-/items/tea sets its price, or removes it
with null; GET /-/report shows what was counted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class FakeShop:
    """All prices, and what calls may do.

    Attributes:
        changes: Share of calls for an item before which its price changes.
        fails: Share of calls that are answered with 503.
        refuses: Share of calls that are answered with 429.
        slow_s: How long an answer takes.
    """

    changes: float = 0.0
    fails: float = 0.0
    refuses: float = 0.0
    slow_s: float = 0.0
    seed: int = 1
    gone: set[str] = field(default_factory=set)
    prices: dict[str, float] = field(default_factory=dict)
    calls: list[tuple[float, str]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - of a shop that is not there

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/items/{key}", self.item)
        app.router.add_put("/-/items/{key}", self.put)
        app.router.add_get("/-/report", self.report)
        return app

    async def item(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        self.calls.append((time.time(), key))
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        status, body = self.answer(key)
        self.statuses[status] += 1
        headers = {"Retry-After": "1"} if status == 429 else {}
        return web.json_response(body, status=status, headers=headers)

    def answer(self, key: str) -> tuple[int, dict[str, object]]:
        luck = self.chance.random()
        if luck < self.fails:
            return 503, {"error": "the shop is closed"}
        if luck < self.fails + self.refuses:
            return 429, {"error": "too many requests"}
        if key in self.gone:
            return 404, {"error": f"there is no {key}"}
        price = self.prices.setdefault(key, round(self.chance.uniform(1, 100), 2))
        if self.chance.random() < self.changes:
            price = self.prices[key] = round(price * self.chance.uniform(0.8, 1.2), 2)
        return 200, {"key": key, "price": price, "in_stock": price < 90}

    async def put(self, request: web.Request) -> web.Response:
        key, price = request.match_info["key"], (await request.json())["price"]
        if price is None:
            self.gone.add(key)
        else:
            self.gone.discard(key)
            self.prices[key] = float(price)
        return web.json_response({"price": price})

    async def report(self, _: web.Request) -> web.Response:
        return web.json_response({"calls": self.calls, "statuses": dict(self.statuses)})


async def serve(port: int, shop: FakeShop) -> None:
    runner = web.AppRunner(shop.app())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="A small shop API whose prices change")
    parser.add_argument("--port", type=int, default=8098)
    parser.add_argument("--changes", type=float, default=0.3, help="share of calls before which a price changes")
    parser.add_argument("--fails", type=float, default=0.02, help="share of calls that are answered with 503")
    given = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(given.port, FakeShop(changes=given.changes, fails=given.fails)))


if __name__ == "__main__":
    main()
