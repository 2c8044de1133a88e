"""One process that calls a strict server through another limiter, as its manual says, without end.

    python limiter_peer.py <pyrate|aiolimiter|limits> <url of the server>

Each has two limits: 20 calls in 2 s, and 100 ms between two. None has a word for a 429.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import httpx

COUNT, WINDOW_S, APART_S = 20, 2, 0.1


def pyrate() -> Callable[[], Awaitable[None]]:
    # Source: https://pyratelimiter.readthedocs.io
    from pyrate_limiter import Limiter, Rate

    limiter = Limiter([Rate(1, round(APART_S * 1_000)), Rate(COUNT, WINDOW_S * 1_000)])

    async def wait() -> None:
        await limiter.try_acquire_async("shop")

    return wait


def aiolimiter() -> Callable[[], Awaitable[None]]:
    # Source: https://aiolimiter.readthedocs.io
    from aiolimiter import AsyncLimiter

    window, apart = AsyncLimiter(COUNT, WINDOW_S), AsyncLimiter(1, APART_S)

    async def wait() -> None:
        await window.acquire()
        await apart.acquire()

    return wait


def limits() -> Callable[[], Awaitable[None]]:
    # Source: https://limits.readthedocs.io (it says whether a call may go; waiting is the caller's)
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    limiter, window = MovingWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(COUNT, WINDOW_S)

    async def wait() -> None:
        while not await limiter.hit(window, "shop"):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(APART_S / 10)
        await asyncio.sleep(APART_S)

    return wait


PEERS = {"pyrate": pyrate, "aiolimiter": aiolimiter, "limits": limits}


async def main() -> None:
    wait = PEERS[sys.argv[1]]()
    async with httpx.AsyncClient(base_url=sys.argv[2], headers={"x-client": "peer"}) as client:
        while True:
            await wait()
            await client.get("/shop/read")


if __name__ == "__main__":
    asyncio.run(main())
