from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from tempogram.engine.services.clients.httpx_transport import ServiceTransport
from tempogram.engine.services.clients.token_usage import total_tokens
from tempogram.engine.services.services import PLAIN, CallOptions, Services
from tests.engine.services.clients.client_contract import ClientContract, Read, services_of
from tests.engine.services.clients.http_service import Answer, HttpService


class TestHttpx(ClientContract):
    timed_out = httpx.TimeoutException
    cannot_connect = httpx.ConnectError
    any_error = httpx.HTTPError

    def client(
        self, services: Services, operation: Any = "all", options: Any = PLAIN
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        of_httpx = httpx.AsyncHTTPTransport()  # before any deadline: it reads certificates
        transport = ServiceTransport(services, "shop", operation, options=options, transport=of_httpx)
        return httpx.AsyncClient(transport=transport)

    async def request(self, client: httpx.AsyncClient, method: str, url: str, body: Any = None) -> Read:
        response = await client.request(method, url, content=body, follow_redirects=True)
        return Read(response.status_code, response.content)

    @asynccontextmanager
    async def streamed(self, client: httpx.AsyncClient, url: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
        async with client.stream("GET", url) as response:
            yield response.aread

    async def test_a_hook_of_the_client_may_refuse_an_answer(self, shop: HttpService) -> None:
        shop.answers = [Answer(404)]

        async def refuse(response: httpx.Response) -> None:
            response.raise_for_status()

        async with self.client(services_of()) as client:
            client.event_hooks = {"response": [refuse]}
            with pytest.raises(httpx.HTTPStatusError):
                await client.get(shop.url)
            assert (await client.get(shop.url)).status_code == 200

    async def test_a_response_that_never_came_over_a_wire_keeps_no_place(self) -> None:
        cached = httpx.MockTransport(lambda _: httpx.Response(200, json={"usage": {"total_tokens": 10}}))
        options = CallOptions(cost=90, used=total_tokens, deadline_s=10)
        transport = ServiceTransport(services_of(), "shop", "all", options=options, transport=cached)

        async with httpx.AsyncClient(transport=transport) as client:
            read = [(await client.get("http://shop")).json() for _ in range(2)]

        assert read == [{"usage": {"total_tokens": 10}}] * 2

    @pytest.mark.parametrize("status", [200, 404])
    async def test_an_answer_that_a_transport_below_has_read_keeps_no_place(
        self, shop: HttpService, status: int
    ) -> None:
        shop.answers = [Answer(status, b'{"usage": {"total_tokens": 10}}')] * 2

        class Reading(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                response = await super().handle_async_request(request)
                await response.aread()
                return response

        options = CallOptions(cost=90, used=total_tokens, deadline_s=1)
        transport = ServiceTransport(services_of(), "shop", "all", options=options, transport=Reading())
        async with httpx.AsyncClient(transport=transport) as client:
            read = [(await client.get(shop.url)).json() for _ in range(2)]

        assert read == [{"usage": {"total_tokens": 10}}] * 2

    async def test_the_bytes_of_an_error_are_as_they_came(self, shop: HttpService) -> None:
        shop.answers = [Answer(404, gzip.compress(b"not there"), {"Content-Encoding": "gzip"})]

        async with self.client(services_of()) as client, client.stream("GET", shop.url) as response:
            raw = b"".join([piece async for piece in response.aiter_raw()])

        assert gzip.decompress(raw) == b"not there"

    async def test_what_a_stream_of_events_cost_is_in_its_last_one(self, shop: HttpService) -> None:
        events = b'data: {"usage": null}\n\ndata: {"usage": {"total_tokens": 10}}\n\ndata: [DONE]\n\n'
        shop.answers = [Answer(body=gzip.compress(events), headers={"Content-Encoding": "gzip"})] * 2

        async with self.client(services_of(), options=CallOptions(cost=90, used=total_tokens, deadline_s=10)) as client:
            for _ in range(2):
                async with client.stream("POST", shop.url) as response:
                    assert [line async for line in response.aiter_lines()][-2] == "data: [DONE]"

        assert shop.calls == 2

    async def test_a_client_without_free_connections_says_nothing_of_the_service(self, shop: HttpService) -> None:
        shop.answers = [Answer(body=b"slow", is_slow=True)]
        one = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1))
        services = services_of({"operations": {"all": {}}, "breaker": {"failures": 1}})
        transport = ServiceTransport(services, "shop", "all", transport=one)

        async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(5, pool=0.05)) as client:
            async with self.streamed(client, shop.url):
                with pytest.raises(httpx.PoolTimeout):
                    await client.get(shop.url)

            assert (await client.get(shop.url)).status_code == 200
