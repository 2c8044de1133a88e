from __future__ import annotations

import asyncio
from itertools import pairwise

from tempogram.engine.services.calling.spaced import Spaced


async def test_calls_begin_as_far_apart_as_is_said() -> None:
    spaced, began_s = Spaced(), list[float]()

    async def begin() -> None:
        await spaced.turn(lambda: 30, 5)
        began_s.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(begin() for _ in range(4)))

    assert all(later - before >= 0.03 for before, later in pairwise(began_s))


async def test_calls_that_give_up_keep_no_turn() -> None:
    spaced = Spaced()
    await spaced.turn(lambda: 60, 5)
    given_up = [asyncio.create_task(spaced.turn(lambda: 60_000, 5)) for _ in range(20)]
    await asyncio.sleep(0.01)
    for each in given_up:
        each.cancel()

    await asyncio.wait_for(spaced.turn(lambda: 60, 5), 30)
