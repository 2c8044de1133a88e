"""Updates of records, ten in a call, as Quickbase allows them: five calls a second, five at once.

python -m examples.services.records

``before`` has five batches under way at once with 100 ms after each, and collects what fails. Five at once are not five
a second: the next five are refused. ``after`` says the same of batches, and each call goes when it may; what fails in
spite of that is in ``report.failures``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from examples.services.shown import Example, main
from tempogram import ServiceTransport, batches, map_limited, services

RECORDS = range(120)
SIZE, PAUSE_MS = 10, 100


async def update(http: httpx.AsyncClient, records: Sequence[int]) -> int:
    """Update some records at once, and return how many were updated."""
    rows = [{"3": {"value": number}, "6": {"value": "shipped"}} for number in records]
    response = await http.post("/v1/records", json={"to": "orders", "data": rows})
    response.raise_for_status()
    return len(records)


async def before(url: str) -> int:
    at_once = asyncio.Semaphore(5)

    async def update_batch(records: Sequence[int]) -> int:
        async with at_once:
            updated = await update(http, records)
            await asyncio.sleep(PAUSE_MS / 1_000)
            return updated

    async with httpx.AsyncClient(base_url=url) as http:
        some = [RECORDS[first : first + SIZE] for first in range(0, len(RECORDS), SIZE)]
        updated = await asyncio.gather(*map(update_batch, some), return_exceptions=True)
    return sum(each for each in updated if not isinstance(each, BaseException))


async def after(url: str) -> int:
    async def update_batch(records: Sequence[int]) -> int:
        return await update(http, records)

    transport = ServiceTransport(services, "quickbase", "records")
    async with httpx.AsyncClient(transport=transport, base_url=url) as http:
        report = await map_limited(update_batch, batches(RECORDS, size=SIZE, pause_ms=PAUSE_MS), concurrency=5)
    return sum(updated for updated in report.results if updated is not None)


EXAMPLE = Example(
    title=f"{len(RECORDS)} records, {SIZE} in a call; 5 calls in any second, 5 at once",
    asked=len(RECORDS),
    before=before,
    after=after,
    limits=[{"name": "records", "prefix": "/v1/records", "count": 5, "window_ms": 1_000, "concurrency": 5}],
    manner={"hold_ms": (20, 20)},
)

if __name__ == "__main__":
    main(EXAMPLE)
