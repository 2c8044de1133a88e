from __future__ import annotations

import asyncio

from tempogram.engine.services.calling.line import Line
from tests.engine.services.test_services import settled


def waiting(line: Line, entered: list[int], *priorities: int) -> list[asyncio.Task[None]]:
    async def enter(priority: int) -> None:
        await line.enter(priority)
        entered.append(priority)

    return [asyncio.create_task(enter(priority)) for priority in priorities]


async def test_calls_that_wait_for_room_enter_by_their_priority() -> None:
    line, entered = Line(1), list[int]()
    await line.enter(5)
    tasks = waiting(line, entered, 8, 2, 5)
    await settled()

    for _ in tasks:
        line.leave()
        await settled()

    assert entered == [2, 5, 8]


async def test_a_call_that_gives_up_leaves_its_room_to_the_next() -> None:
    line, entered = Line(1), list[int]()
    await line.enter(5)
    first, _ = waiting(line, entered, 2, 5)
    await settled()

    line.leave()  # to the first, which is cancelled before it can go on
    first.cancel()
    await settled()

    assert entered == [5]
    assert line.inside == 1


async def test_a_line_that_has_grown_lets_as_many_enter_when_one_leaves() -> None:
    line, entered = Line(1), list[int]()
    await line.enter(5)
    tasks = waiting(line, entered, 2, 5, 8)
    await settled()

    line.most = 2
    line.leave()
    await settled()

    assert entered == [2, 5]
    tasks[-1].cancel()
