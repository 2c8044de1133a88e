"""The same as ``python -m bench.broadcasts.shares``, with three bots."""

from __future__ import annotations

from bench.broadcasts import shares
from bench.broadcasts.casting import casting
from bench.harness import Checks


async def test_a_cancelled_broadcast_stops_within_a_second_and_the_others_go_on() -> None:
    checks = Checks()
    async with casting(bots=3, chats=150, ceiling=shares.CEILING) as of:
        await shares.run(checks, of, 3, 150)
    assert checks.failed == []
