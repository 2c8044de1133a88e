from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tempogram.bot.embedding.aiohttp_middleware import service_middleware
from tempogram.engine.services.services import PLAIN, CallOptions, Services
from tests.engine.services.clients.client_contract import ClientContract, Read, services_of
from tests.engine.services.clients.http_service import Answer, HttpService


class TestAiohttp(ClientContract):
    timed_out = aiohttp.ServerTimeoutError
    cannot_connect = aiohttp.ClientConnectionError
    any_error = aiohttp.ClientError

    def client(
        self, services: Services, operation: Any = "all", options: Any = PLAIN
    ) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        return aiohttp.ClientSession(middlewares=(service_middleware(services, "shop", operation, options=options),))

    async def request(self, client: aiohttp.ClientSession, method: str, url: str, body: Any = None) -> Read:
        async with client.request(method, url, data=body) as response:
            return Read(response.status, await response.read())

    @asynccontextmanager
    async def streamed(self, client: aiohttp.ClientSession, url: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
        async with client.get(url) as response:
            yield response.read

    async def test_an_error_may_be_read_piece_by_piece(self, shop: HttpService) -> None:
        shop.answers = [Answer(404, b"not there")]

        async with self.client(services_of()) as client, client.get(shop.url) as response:
            assert b"".join([piece async for piece in response.content.iter_any()]) == b"not there"

    async def test_a_websocket_keeps_no_place_and_stays_open_beyond_the_deadline(self, shop: HttpService) -> None:
        async with (
            self.client(services_of(), options=CallOptions(deadline_s=0.1)) as client,
            client.ws_connect(shop.url) as socket,
        ):
            assert (await self.request(client, "GET", shop.url)).status == 200
            await asyncio.sleep(0.15)
            await socket.send_str("hello")

            assert await socket.receive_str() == "hello"

    async def test_a_session_that_raises_for_a_status_gives_the_place_back(self, shop: HttpService) -> None:
        shop.answers = [Answer(404)]

        async with self.client(services_of()) as client:
            with pytest.raises(aiohttp.ClientResponseError):
                await client.get(shop.url, raise_for_status=True)
            assert (await self.request(client, "GET", shop.url)).status == 200

    async def test_the_time_limit_of_a_request_holds_while_its_call_waits(self, shop: HttpService) -> None:
        shop.answers = [Answer(429, headers={"Retry-After": "60"})]

        async with self.client(services_of()) as client:
            await self.request(client, "POST", shop.url)
            with pytest.raises(TimeoutError):
                await client.post(shop.url, timeout=aiohttp.ClientTimeout(total=0.1))
