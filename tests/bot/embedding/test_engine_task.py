"""The end of the engine: in a bounded time, and at once if that is asked for; and a start that is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tempogram.bot.calls import session
from tempogram.bot.embedding.tempogram import Tempogram
from tempogram.engine.model.errors import SettingsError
from tempogram.simulator.limits.faults import Fault
from tempogram.storage.processes.exclusive_lock import SqliteExclusiveLock
from tests.bot.embedding.own_program import OwnProgram

HANGS = Fault(kind="hang", method="sendMessage")
LONG_S = 600


async def hanging_call(own: OwnProgram) -> asyncio.Task[object]:
    """Begin a call that Telegram does not answer."""
    own.telegram.order(HANGS)
    calling = asyncio.create_task(own.bot.send_message(7, "hello"))
    async with asyncio.timeout(10):
        while not own.telegram.calls("sendMessage"):  # noqa: ASYNC110 - it happens in another thread
            await asyncio.sleep(0.01)
    return calling


async def ended(tempogram: Tempogram, calling: asyncio.Task[object], meanwhile: Callable[[], object]) -> None:
    """End it, and do something while it waits for the call."""
    ending = asyncio.create_task(tempogram._end())
    await asyncio.sleep(0.3)
    assert not ending.done()
    meanwhile()
    try:
        async with asyncio.timeout(30):
            await ending
    finally:
        calling.cancel()
        await asyncio.wait([calling])
    assert not session.is_installed()


async def test_a_call_under_way_has_its_own_time_and_no_more(own: OwnProgram) -> None:
    tempogram = own.tempogram(telegram_timeout=1, telegram_lease_margin=1)
    await tempogram._start()
    calling = await hanging_call(own)

    await ended(tempogram, calling, lambda: None)


async def test_a_second_signal_ends_the_end_at_once(own: OwnProgram) -> None:
    tempogram = own.tempogram(telegram_timeout=LONG_S)
    await tempogram._start()
    calling = await hanging_call(own)
    engine = tempogram._engine
    assert engine is not None

    await ended(tempogram, calling, engine._cut_short.set)


async def test_what_was_cut_off_goes_at_the_next_start(own: OwnProgram) -> None:
    tempogram = own.tempogram(telegram_timeout=LONG_S)
    await tempogram._start()
    calling = await hanging_call(own)
    engine = tempogram._engine
    assert engine is not None
    await ended(tempogram, calling, engine._cut_short.set)
    own.telegram.end_faults()

    async with own.tempogram():
        await own.until_shown("hello")


async def test_a_start_that_is_cancelled_leaves_nothing_behind(own: OwnProgram) -> None:
    starting = asyncio.create_task(own.tempogram()._start())
    await asyncio.sleep(0)

    starting.cancel()
    await asyncio.wait([starting])

    assert starting.cancelled()
    async with own.tempogram():
        await own.bot.send_message(7, "hello")
    assert own.shown() == ["hello"]


async def test_a_program_that_never_ends_the_engine_frees_it_with_its_event_loop(own: OwnProgram) -> None:
    def other_program() -> None:
        async def main() -> None:
            await own.tempogram()._start()

        asyncio.run(main())

    await asyncio.to_thread(other_program)

    async with own.tempogram():
        await own.bot.send_message(7, "hello")
    assert own.shown() == ["hello"]


async def test_an_engine_whose_database_another_takes_refuses_calls_with_the_reason(
    own: OwnProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = asyncio.Event()

    async def watch(_: SqliteExclusiveLock) -> None:
        await taken.wait()
        raise SettingsError("another tempogram uses the database")

    monkeypatch.setattr(SqliteExclusiveLock, "watch", watch)
    tempogram = own.tempogram()
    await tempogram._start()
    await own.bot.send_message(7, "hello")

    taken.set()
    async with asyncio.timeout(10):
        while session.is_installed():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)

    with pytest.raises(RuntimeError, match="Tempogram has ended: another tempogram uses the database"):
        await own.bot.send_message(7, "hello")
    with pytest.raises(SettingsError, match="another tempogram uses the database"):
        await tempogram._end()
