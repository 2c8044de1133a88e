from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.scheduler.shared_clock import SharedClock
from tests.fakes import START_MS
from tests.virtual_time import LoopClock, in_virtual_time

ways = st.tuples(st.floats(0, 30), st.floats(0, 30), st.floats(0, 100))


@given(off_ms=st.integers(-(10**10), 10**10), readings=st.lists(ways, min_size=1, max_size=10))
def test_it_is_never_further_off_than_the_shortest_way_to_the_database_and_back(
    off_ms: int, readings: list[tuple[float, float, float]]
) -> None:
    async def scenario() -> None:
        database, local = LoopClock(asyncio.get_running_loop()), LoopClock(asyncio.get_running_loop())
        local.off_ms = off_ms
        clock = SharedClock(local)
        assert clock() == local()
        for to_s, back_s, _ in readings:

            async def read(to_s: float = to_s, back_s: float = back_s) -> int:
                await asyncio.sleep(to_s)
                now_ms = database()
                await asyncio.sleep(back_s)
                return now_ms

            await clock.read(read)
            local.off_ms += 12_345
        shortest_ms = min(to_s + back_s for to_s, back_s, _ in readings) * 1_000
        assert abs(clock() - database()) <= shortest_ms + 3
        await asyncio.sleep(readings[0][2])
        assert abs(clock() - database()) <= shortest_ms + 3

    in_virtual_time(scenario())


def test_a_database_whose_clock_was_set_is_followed() -> None:
    async def scenario() -> None:
        database = LoopClock(asyncio.get_running_loop())

        async def read() -> int:
            return database()

        clock = SharedClock(database)
        await clock.read(read)
        database.off_ms = -60_000
        await clock.read(read)
        assert clock() == START_MS - 60_000

    in_virtual_time(scenario())
