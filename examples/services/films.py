"""A film catalogue that many viewers ask for the same titles: two calls at once, 500 ms from one to the next.

python -m examples.services.films

``before`` keeps answers in a dictionary, and pauses after each call. But those that ask at the same time all miss the
dictionary, and two that begin together are too near. ``after`` asks for each title once, however many wait for it;
``services.toml`` beside this file says for how long an answer is kept.
"""

from __future__ import annotations

import asyncio

import aiohttp

from examples.services.shown import Example, main
from tempogram import CallOptions, services

TITLES = ["Metropolis", "Nosferatu", "Faust", "M"]
VIEWERS, ROUNDS = 3, 4
"""In each round all viewers ask for all titles."""

TOO_MANY_REQUESTS = 429


async def availability(http: aiohttp.ClientSession, title: str) -> list[str]:
    """Return where a film can be seen."""
    async with http.get("/availability", params={"title": title}) as response:
        response.raise_for_status()
        cinemas: list[str] = (await response.json())["cinemas"]
    return cinemas


async def before(url: str) -> int:
    at_once = asyncio.Semaphore(2)
    kept: dict[str, list[str]] = {}

    async def try_to_find(title: str) -> list[str] | None:
        for attempt in range(3):
            if title in kept:
                return kept[title]
            try:
                async with at_once:
                    kept[title] = await availability(http, title)
                    await asyncio.sleep(0.5)
                    return kept[title]
            except aiohttp.ClientResponseError as error:
                if error.status != TOO_MANY_REQUESTS:
                    raise
            await asyncio.sleep(0.2 * 2**attempt)
        return None

    answered = 0
    async with aiohttp.ClientSession(url) as http:
        for _ in range(ROUNDS):
            found = await asyncio.gather(*(try_to_find(title) for title in TITLES * VIEWERS))
            answered += sum(cinemas is not None for cinemas in found)
    return answered


async def after(url: str) -> int:
    async def find(title: str) -> list[str]:
        options = CallOptions(cache_key=title)
        return await services.call_with(options, "films", "availability", availability, http, title)

    answered = 0
    async with aiohttp.ClientSession(url) as http:
        for _ in range(ROUNDS):
            answered += len(await asyncio.gather(*(find(title) for title in TITLES * VIEWERS)))
    return answered


EXAMPLE = Example(
    title=f"{len(TITLES)} films, asked for {VIEWERS * ROUNDS} times each; 2 calls at once, 500 ms apart",
    asked=len(TITLES) * VIEWERS * ROUNDS,
    before=before,
    after=after,
    limits=[{"name": "films", "prefix": "/", "concurrency": 2, "apart_ms": 500}],
    manner={"answer": {"cinemas": ["Babylon"]}, "hold_ms": (60, 60)},
)

if __name__ == "__main__":
    main(EXAMPLE)
