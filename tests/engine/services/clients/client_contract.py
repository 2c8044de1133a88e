"""What holds for every client of HTTP whose requests are calls of a service."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tempogram.engine.model.clock import SystemClock
from tempogram.engine.services.answers import Verdict
from tempogram.engine.services.catalogue import service_of
from tempogram.engine.services.clients.http_requests import ReadAnswer
from tempogram.engine.services.clients.token_usage import total_tokens
from tempogram.engine.services.errors import CallOverdue, CircuitOpen, UnknownService
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import PLAIN, CallOptions, Services
from tests.engine.services.clients.http_service import Answer, HttpService, http_service

CHAT = {"count": 100, "window_ms": 60_000}

PATIENT = CallOptions(deadline_s=30)
"""Its calls are answered in time on any machine, and a hold of a minute is beyond their deadline."""


def hurried(seconds: float) -> Callable[[Any], CallOptions]:
    """Return what gives only requests to ``/late`` so short a deadline."""
    late = replace(PATIENT, deadline_s=seconds)
    return lambda request: late if str(request.url).endswith("/late") else PATIENT


ONE_AT_ONCE = {
    "concurrency": 1,
    "delay_s": 0.001,
    "deadline_s": 5,
    "operations": {"all": {"tokens": CHAT}, "other": {}},
}


def services_of(words: Mapping[str, Any] = ONE_AT_ONCE) -> Services:
    clock = SystemClock()
    return Services({"shop": service_of("shop", words)}, MemoryCallLimiter(clock=clock, after_start=False), clock=clock)


@dataclass
class Read:
    """What a client's user saw."""

    status: int
    body: bytes


class ClientContract(ABC):
    """Subclasses say how a client of theirs makes requests."""

    timed_out: type[Exception]
    cannot_connect: type[Exception]
    any_error: type[Exception]

    @abstractmethod
    def client(
        self, services: Services, operation: Any = "all", options: Any = PLAIN
    ) -> AbstractAsyncContextManager[Any]: ...

    @abstractmethod
    async def request(self, client: Any, method: str, url: str, body: Any = None) -> Read: ...

    @abstractmethod
    def streamed(self, client: Any, url: str) -> AbstractAsyncContextManager[Callable[[], Awaitable[bytes]]]:
        """Open a response, and return what reads the rest of its body."""

    @pytest.fixture
    async def shop(self) -> AsyncIterator[HttpService]:
        async with http_service() as service:
            yield service

    @pytest.mark.parametrize(("method", "status", "calls"), [("GET", 200, 3), ("PUT", 200, 3), ("POST", 503, 1)])
    async def test_only_what_is_idempotent_is_tried_again(
        self, shop: HttpService, method: str, status: int, calls: int
    ) -> None:
        shop.answers = [Answer(503), Answer(503)]

        async with self.client(services_of()) as client:
            read = await self.request(client, method, shop.url, b"three apples")

        assert (read.status, shop.calls) == (status, calls)
        assert set(shop.bodies) == {b"three apples"}

    async def test_a_body_that_can_be_read_only_once_is_sent_once(self, shop: HttpService) -> None:
        shop.answers = [Answer(429, headers={"Retry-After": "0"}), Answer(503)]

        async def apples() -> AsyncIterator[bytes]:
            yield b"three apples"

        async with self.client(services_of()) as client:
            read = await self.request(client, "PUT", shop.url, apples())

        assert (read.status, shop.bodies) == (429, [b"three apples"])

    async def test_a_last_429_is_an_answer_as_without_services(self, shop: HttpService) -> None:
        shop.answers = [Answer(429, b'{"error": "slow down"}')] * 2

        async with self.client(services_of(), options=CallOptions(retries=1)) as client:
            read = await self.request(client, "POST", shop.url, b"")

        assert read == Read(429, b'{"error": "slow down"}')
        assert shop.calls == 2

    async def test_a_redirect_is_a_call_of_its_own(self, shop: HttpService) -> None:
        shop.answers = [Answer(307, body=b"slow", headers={"Location": "/elsewhere"})]

        async with self.client(services_of()) as client:
            read = await self.request(client, "GET", shop.url)

        assert (read.status, shop.calls) == (200, 2)

    async def test_a_call_keeps_its_place_until_its_answer_was_read(self, shop: HttpService) -> None:
        shop.answers = [Answer(body=b"slow", is_slow=True)]

        async with self.client(services_of()) as client, self.streamed(client, shop.url) as rest:
            second = asyncio.create_task(self.request(client, "GET", shop.url))
            await asyncio.sleep(0.05)
            assert shop.calls == 1
            shop.go_on.set()
            assert await rest() == b"slow"

            assert (await second).status == 200

    async def test_a_response_that_is_closed_unread_gives_its_place_back(self, shop: HttpService) -> None:
        shop.answers = [Answer(body=b"slow", is_slow=True)]

        async with self.client(services_of()) as client:
            async with self.streamed(client, shop.url):
                pass

            assert (await self.request(client, "GET", shop.url)).status == 200

    async def test_an_answer_that_is_not_read_before_the_deadline_is_cut_off(self, shop: HttpService) -> None:
        shop.answers = [Answer(body=b"slow", is_slow=True)]

        async with self.client(services_of(), options=hurried(1)) as client:
            async with self.streamed(client, f"{shop.url}/late") as rest:
                with pytest.raises(self.timed_out) as raised:
                    async with asyncio.timeout(4):  # before the client's own limit
                        await rest()

            assert isinstance(raised.value, CallOverdue)
            assert str(raised.value) == "the answer of shop:all was not read to its end before the deadline"
            assert (await self.request(client, "GET", shop.url)).status == 200

    async def test_an_answer_that_nothing_reads_gives_its_place_back_at_the_deadline(self, shop: HttpService) -> None:
        shop.answers = [Answer(body=b"slow", is_slow=True)]

        async with (
            self.client(services_of(), options=hurried(1)) as client,
            self.streamed(client, f"{shop.url}/late"),
        ):
            assert (await self.request(client, "GET", shop.url)).status == 200

    async def test_a_cancelled_request_gives_its_place_back(self, shop: HttpService) -> None:
        shop.answers = [Answer(body=b"slow", is_slow=True)]

        async with self.client(services_of()) as client:
            reading = asyncio.create_task(self.request(client, "GET", shop.url))
            await shop.is_asked.wait()
            waiting = asyncio.create_task(self.request(client, "GET", shop.url))
            await asyncio.sleep(0.05)
            for task in (waiting, reading):
                task.cancel()
            await asyncio.gather(reading, waiting, return_exceptions=True)

            assert (await self.request(client, "GET", shop.url)).status == 200

    async def test_answers_that_break_off_open_the_breaker(self, shop: HttpService) -> None:
        shop.answers, opens_soon = [Answer(body=b"broken", breaks_off=True)] * 2, {"breaker": {"failures": 2}}
        shop.go_on.set()

        async with self.client(services_of({**ONE_AT_ONCE, **opens_soon})) as client:
            for _ in range(2):
                with pytest.raises(self.any_error):
                    await self.request(client, "GET", shop.url)
            with pytest.raises(self.cannot_connect) as raised:
                await self.request(client, "GET", shop.url)

        assert isinstance(raised.value, CircuitOpen)
        assert raised.value.until_ms > 0
        assert shop.calls == 2

    async def test_a_call_that_is_overdue_is_a_timeout_of_the_client(self, shop: HttpService) -> None:
        shop.answers = [Answer(429, headers={"Retry-After": "60"})]

        async with self.client(services_of(), options=hurried(0.1)) as client:
            await self.request(client, "POST", shop.url)
            with pytest.raises(self.timed_out) as raised:
                await self.request(client, "POST", f"{shop.url}/late")

        assert isinstance(raised.value, CallOverdue)
        assert str(raised.value) == "shop:all had no answer within 0.1 s"
        assert isinstance(raised.value, self.any_error)

    async def test_an_attempt_that_takes_too_long_is_a_timeout_of_the_client(self, shop: HttpService) -> None:
        shop.answers = [Answer(503, body=b"slow", is_slow=True)]

        async with self.client(services_of(), options=CallOptions(timeout_s=0.3, retries=0)) as client:
            with pytest.raises(self.timed_out, match="shop:all had no answer in time"):
                await self.request(client, "POST", shop.url)

    async def test_an_unreachable_service_is_an_error_of_the_client(self) -> None:
        async with self.client(services_of(), options=CallOptions(retries=0)) as client:
            with pytest.raises(self.cannot_connect):
                await self.request(client, "GET", "http://127.0.0.1:9")

    async def test_the_operation_is_chosen_by_the_requests_address(self, shop: HttpService) -> None:
        shop.answers = [Answer(429, headers={"Retry-After": "60"})]
        patterns = {"*/carts/*": "all", "127.0.0.1/goods": "other"}

        async with self.client(services_of(), patterns, hurried(0.1)) as client:
            await self.request(client, "POST", f"{shop.url}/carts/7")
            with pytest.raises(self.timed_out):
                await self.request(client, "POST", f"{shop.url}/carts/late")
            assert (await self.request(client, "POST", f"{shop.url}/goods")).status == 200
            with pytest.raises(UnknownService, match=r"no pattern of an operation fits 127\.0\.0\.1/staff"):
                await self.request(client, "POST", f"{shop.url}/staff")

    async def test_what_an_answer_cost_is_read_at_its_end(self, shop: HttpService) -> None:
        shop.answers = [Answer(body=b'{"usage": {"total_tokens": 10}}')] * 2
        options = CallOptions(cost=90, used=total_tokens, deadline_s=10)

        async with self.client(services_of(), options=options) as client:
            read = [await self.request(client, "POST", shop.url) for _ in range(2)]

        assert [each.body for each in read] == [b'{"usage": {"total_tokens": 10}}'] * 2
        assert shop.calls == 2

    async def test_what_is_refused_costs_no_tokens(self, shop: HttpService) -> None:
        shop.answers = [Answer(429, headers={"Retry-After": "0"})]
        options = CallOptions(cost=90, used=total_tokens, deadline_s=10)

        async with self.client(services_of(), options=options) as client:
            assert (await self.request(client, "POST", shop.url)).status == 200

        assert shop.calls == 2

    async def test_a_rule_of_ones_own_judges_what_an_answer_says(self, shop: HttpService) -> None:
        """A server of OpenAI's kind answers 429 when the money is gone, too; to wait for that makes no sense."""
        shop.answers = [Answer(429, b'{"error": {"code": "insufficient_quota"}}')]

        def judged(answer: ReadAnswer | Exception) -> Verdict | None:
            is_broke = isinstance(answer, ReadAnswer) and b"insufficient_quota" in answer.body
            return Verdict.WELL if is_broke else None

        async with self.client(services_of(), options=CallOptions(classify=judged)) as client:
            first = await self.request(client, "POST", shop.url)
            second = await self.request(client, "POST", shop.url)

        assert [first, second] == [Read(429, b'{"error": {"code": "insufficient_quota"}}'), Read(200, b"{}")]

    async def test_options_may_differ_from_request_to_request(self, shop: HttpService) -> None:
        shop.answers = [Answer(503), Answer(503)]

        def options(request: Any) -> CallOptions:
            return CallOptions(retries=0 if "once" in str(request.url) else 3)

        async with self.client(services_of(), options=options) as client:
            once = await self.request(client, "GET", f"{shop.url}/once")
            often = await self.request(client, "GET", f"{shop.url}/often")

        assert (once.status, often.status) == (503, 200)
