"""A body has as much time as its size needs, and all unfinished ones together have a bound in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tempogram.api.core.errors import BodyTooSlow, Busy
from tempogram.api.http import body_reader
from tempogram.api.http.body_reader import PACE_BYTES, BodyMemory, BodyReader

MB = 1 << 20


class Client:
    """Sends a body piece by piece."""

    def __init__(self, memory: BodyMemory | None = None) -> None:
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reader = BodyReader(self._events.get, 10 * MB, memory)

    def send(self, count: int, *, is_last: bool = False) -> None:
        self._events.put_nowait({"type": "http.request", "body": b" " * count, "more_body": not is_last})

    async def sent(self, count: int, *, is_last: bool = False) -> None:
        """Send a piece that is read."""
        self.send(count, is_last=is_last)
        await self.reader()

    async def read_on(self) -> None:
        async with asyncio.timeout(5):
            while True:
                await self.reader()


@pytest.fixture
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "BODY_S", 0.1)


@pytest.mark.usefixtures("_short_times")
async def test_a_body_that_stops_is_given_up() -> None:
    client = Client()
    await client.sent(1)

    with pytest.raises(BodyTooSlow):
        await client.reader()


@pytest.mark.usefixtures("_short_times")
async def test_a_byte_now_and_then_does_not_keep_a_body() -> None:
    client = Client()

    async def trickle() -> None:
        while True:
            client.send(1)
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    with pytest.raises(BodyTooSlow):
        await client.read_on()
    trickling.cancel()


@pytest.mark.usefixtures("_short_times")
async def test_a_body_that_keeps_the_pace_may_take_as_long_as_it_needs() -> None:
    client = Client()
    for _ in range(6):
        asyncio.get_running_loop().call_later(0.05, client.send, PACE_BYTES)
        await client.reader()


@pytest.mark.usefixtures("_short_times")
async def test_time_in_which_nothing_is_read_is_not_the_clients() -> None:
    client = Client()
    await client.sent(1)
    await asyncio.sleep(0.15)

    await client.sent(1)


@pytest.mark.usefixtures("_short_times")
async def test_a_client_that_waits_for_its_answer_is_not_timed() -> None:
    client = Client()
    await client.sent(1, is_last=True)
    asyncio.get_running_loop().call_later(0.15, client.send, 0)

    await client.reader()


async def test_the_body_that_stands_longest_makes_room_for_others() -> None:
    memory = BodyMemory(3 * MB)
    stands, goes_on, comes = Client(memory), Client(memory), Client(memory)
    await stands.sent(MB)
    reading = asyncio.create_task(stands.reader())
    await goes_on.sent(MB)

    await comes.sent(MB + 1)

    with pytest.raises(Busy):
        await reading
    await goes_on.sent(MB - 1)


async def test_what_was_complete_or_given_up_takes_no_memory_of_unfinished_bodies() -> None:
    memory = BodyMemory(3 * MB)
    complete, given_up, last = Client(memory), Client(memory), Client(memory)
    await complete.sent(MB)
    await complete.sent(MB, is_last=True)
    await given_up.sent(MB)
    given_up.reader.close()

    await last.sent(3 * MB)


async def test_a_body_that_is_larger_than_the_memory_is_refused_itself() -> None:
    client = Client(BodyMemory(MB))
    await client.sent(MB + 1)

    with pytest.raises(Busy):
        await client.sent(1)
