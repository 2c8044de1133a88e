from __future__ import annotations

import sys

from bench.services.counting_server import Rule, counting_server, over
from bench.services.limiter_peers import SCRIPT, Peer

OURS = Peer("Tempogram", (sys.executable, SCRIPT, "ours"))


async def test_a_burst_of_calls_breaks_no_window_and_all_of_it_arrives() -> None:
    limit = {"count": 5, "window_ms": 300}
    async with counting_server(Rule(count=5, window_s=0.3), answer_s=0.02) as server:
        await OURS.see({"work": "burst", "redis_url": "", "url": server.url, "calls": 20, "limit": limit})

    assert over(server.times_s, server.rule) == 0
    assert sorted(number for number, _ in server.arrived) == list(range(20))


async def test_calls_that_wait_for_one_limit_take_nothing_of_another() -> None:
    (begun,) = await OURS.see({"work": "several", "redis_url": ""})

    assert begun == {"both": 2, "one": 8}
