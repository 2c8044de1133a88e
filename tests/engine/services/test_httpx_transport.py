from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tempogram.engine.services.catalogue import service_of
from tempogram.engine.services.httpx_transport import ServiceTransport
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tests.fakes import Clock


class Shop:
    """A service that fails as often as a test says."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        if len(self.bodies) <= self.failures:
            return httpx.Response(503, text="not now")
        return httpx.Response(200, json={"ok": True})


def client(shop: Shop, clock: Clock) -> httpx.AsyncClient:
    service = service_of("shop", {"delay_s": 0.001, "operations": {"all": {}}})
    services = Services({"shop": service}, MemoryCallLimiter(clock=clock, after_start=False), clock=clock)
    transport = ServiceTransport(services, "shop", "all", transport=httpx.MockTransport(shop))
    return httpx.AsyncClient(transport=transport, base_url="http://shop")


@pytest.mark.parametrize(("method", "status", "calls"), [("GET", 200, 3), ("PUT", 200, 3), ("POST", 503, 1)])
async def test_only_what_is_idempotent_is_tried_again(clock: Clock, method: str, status: int, calls: int) -> None:
    shop = Shop(failures=2)
    async with client(shop, clock) as shopping:
        response = await shopping.request(method, "/carts", content=b"three apples")

    assert (response.status_code, len(shop.bodies)) == (status, calls)
    assert set(shop.bodies) == {b"three apples"}


async def test_a_body_that_can_be_read_only_once_is_sent_once(clock: Clock) -> None:
    shop = Shop(failures=2)

    async def apples() -> AsyncIterator[bytes]:
        yield b"three apples"

    async with client(shop, clock) as shopping:
        response = await shopping.put("/carts", content=apples())

    assert (response.status_code, len(shop.bodies)) == (503, 1)
