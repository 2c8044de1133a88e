from __future__ import annotations

import sys

from bench.services.arrivals import Arrivals, takes_all
from bench.services.limiter_peers import SCRIPT, Peer
from bench.services.processes import strict_server

OURS = Peer("Tempogram", (sys.executable, SCRIPT, "ours"))


async def test_a_burst_of_calls_breaks_no_window_and_all_of_it_arrives() -> None:
    limit = {"count": 5, "window_ms": 300}
    async with strict_server() as server:
        await server.begin(takes_all(20))
        await OURS.see({"work": "burst", "redis_url": "", "url": server.url, "calls": 20, "limit": limit})
        arrived = Arrivals.of(await server.report())

    assert sorted(arrived.numbers) == list(range(20))
    assert arrived.above(5, 300) == 0


async def test_calls_that_wait_for_one_limit_take_nothing_of_another() -> None:
    (begun,) = await OURS.see({"work": "several", "redis_url": ""})

    assert begun == {"both": 2, "one": 8}
