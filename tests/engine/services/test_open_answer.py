from __future__ import annotations

import asyncio

from tempogram.engine.services.errors import CallOverdue
from tempogram.engine.services.open_answer import OpenAnswer


async def test_an_answer_ends_once() -> None:
    ends: list[object] = []
    answer = OpenAnswer(lambda _: None)
    answer.when_over(lambda: ends.append(answer.read))

    answer.end(read="all of it")
    answer.end(is_failure=True)

    assert (ends, answer.is_failure) == (["all of it"], False)


async def test_an_answer_that_has_ended_already_is_over_at_once() -> None:
    ends: list[object] = []
    answer = OpenAnswer(lambda _: None)
    answer.end(read="all of it")

    answer.when_over(lambda: ends.append(answer.read))

    assert ends == ["all of it"]


async def test_each_side_is_called_in_its_own_event_loop() -> None:
    here, cut_in, over = asyncio.get_running_loop(), [], asyncio.Event()

    async def read() -> OpenAnswer:
        was_cut = asyncio.Event()

        def cut(_error: Exception) -> None:
            cut_in.append(asyncio.get_running_loop())
            was_cut.set()

        answer = OpenAnswer(cut)
        here.call_soon_threadsafe(answer.when_over, over.set)
        here.call_soon_threadsafe(answer.cut, CallOverdue("too late"))
        await was_cut.wait()
        answer.end()
        return answer

    answer = await asyncio.to_thread(lambda: asyncio.run(read()))
    await asyncio.wait_for(over.wait(), 5)

    assert answer.is_over
    assert here not in cut_in


async def test_an_answer_whose_reader_is_gone_ends_when_it_is_cut() -> None:
    async def read() -> OpenAnswer:
        return OpenAnswer(lambda _: None)

    answer = await asyncio.to_thread(lambda: asyncio.run(read()))
    answer.cut(CallOverdue("too late"))

    assert answer.is_over
