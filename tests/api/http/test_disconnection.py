"""A client that goes is noticed, whatever of its body is left."""

from __future__ import annotations

import asyncio
from typing import Any

from tempogram.api.http.disconnection import watched


class Client:
    """What a client does, one event after the other."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        return await self.events.get()

    def does(self, what: str) -> None:
        self.events.put_nowait({"type": what})


async def test_a_client_that_goes_is_noticed_after_the_rest_of_its_body() -> None:
    client = Client()
    async with watched(client.receive) as gone:
        client.does("http.request")
        client.does("http.disconnect")
        await gone

    assert gone.done()
    assert not gone.cancelled()


async def test_a_client_that_stays_is_watched_no_longer_than_the_block() -> None:
    client = Client()
    async with watched(client.receive) as gone:
        pass

    assert gone.cancelled()


async def test_what_is_read_elsewhere_is_left_alone_until_it_is_read() -> None:
    client, body_read = Client(), asyncio.Event()
    client.does("http.request")
    async with watched(client.receive, body_read) as gone:
        await asyncio.sleep(0)
        untouched = client.events.qsize()
        client.does("http.disconnect")
        body_read.set()
        await gone

    assert untouched == 1
