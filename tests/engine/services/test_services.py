from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.answers import Verdict
from tempogram.engine.services.catalogue import Service, service_of
from tempogram.engine.services.errors import CallOverdue, CallsFull, CircuitOpen, UnknownService
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import UNTRIED_MS, CallOptions, Services
from tests.fakes import Clock

QUICK = {"concurrency": 2, "delay_s": 0.001, "operations": {"pay": {}, "read": {"idempotent": True}}}


@dataclass
class Response:
    """What an HTTP client returns."""

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """What a client library raises."""

    def __init__(self, status: int, code: int = 0) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.code = status, code


class Remote:
    """A service that answers what a test says, one after another, and then 200."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def __call__(self) -> Response:
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else Response(200)
        if isinstance(answer, Exception):
            raise answer
        return answer


Make = Callable[..., Services]


@pytest.fixture
def make(clock: Clock) -> Make:
    def services(words: Mapping[str, object] = QUICK, *, is_enabled: bool = True) -> Services:
        declared: dict[str, Service] = {"shop": service_of("shop", words)}
        limiter = MemoryCallLimiter(clock=clock, after_start=False)
        return Services(declared, limiter, clock=clock, is_enabled=is_enabled)

    return services


@pytest.fixture
def services(make: Make) -> Services:
    return make()


async def test_a_call_returns_what_the_function_returns(services: Services) -> None:
    async def add(a: int, *, b: int) -> int:
        return a + b

    assert await services.call("shop", "pay", add, 1, b=2) == 3


async def test_an_error_of_the_callers_own_is_raised_unchanged_and_not_tried_again(services: Services) -> None:
    remote = Remote(KeyError("a typing mistake"))

    with pytest.raises(KeyError, match="a typing mistake"):
        await services.call("shop", "read", remote)

    assert remote.calls == 1


async def test_a_failure_of_an_idempotent_operation_is_tried_again(services: Services) -> None:
    remote = Remote(Response(503), ApiError(500), TimeoutError())

    assert (await services.call("shop", "read", remote)).status_code == 200
    assert remote.calls == 4


async def test_what_may_have_been_carried_out_is_not_tried_again(services: Services) -> None:
    remote = Remote(ApiError(500))

    with pytest.raises(ApiError):
        await services.call("shop", "pay", remote)

    assert remote.calls == 1


async def test_what_was_never_sent_is_tried_again_whatever_it_does(services: Services) -> None:
    remote = Remote(ConnectionRefusedError())

    assert (await services.call("shop", "pay", remote)).status_code == 200


async def test_the_last_answer_is_returned_when_no_attempt_is_left(services: Services) -> None:
    remote = Remote(*(Response(503) for _ in range(9)))

    last = await services.call_with(CallOptions(retries=1), "shop", "read", remote)

    assert (last.status_code, remote.calls) == (503, 2)


async def test_a_429_holds_the_operation_for_as_long_as_it_says(services: Services, clock: Clock) -> None:
    remote = Remote(Response(429, {"Retry-After": "60"}))
    held = asyncio.create_task(services.call("shop", "pay", remote))
    await settled()

    assert (remote.calls, held.done()) == (1, False)
    clock.advance(60_000)
    await services.call("shop", "read", Remote())  # another operation goes on, and the queue looks again
    assert (await held).status_code == 200


async def test_a_429_never_opens_the_breaker(make: Make) -> None:
    services = make({**QUICK, "delay_s": 0})
    throttled = Remote(*(Response(429) for _ in range(20)))

    for _ in range(20):
        await services.call_with(CallOptions(retries=0), "shop", "read", throttled)

    assert (await services.call("shop", "read", Remote())).status_code == 200


async def test_an_error_code_of_the_services_own_means_too_many_requests(make: Make) -> None:
    services = make({**QUICK, "throttled_codes": [20429], "delay_s": 0})

    assert (await services.call("shop", "pay", Remote(ApiError(400, code=20429)))).status_code == 200


async def test_a_rule_of_ones_own_says_what_an_answer_means(services: Services) -> None:
    remote = Remote(Response(200, {"x-failed": "yes"}))
    options = CallOptions(classify=lambda answer: Verdict.FAILED if "x-failed" in answer.headers else None)

    await services.call_with(options, "shop", "read", remote)

    assert remote.calls == 2


async def test_a_service_that_fails_is_called_no_more(services: Services) -> None:
    remote = Remote(*(ApiError(500) for _ in range(50)))
    for _ in range(5):
        with pytest.raises(ApiError):
            await services.call("shop", "pay", remote)

    with pytest.raises(CircuitOpen, match="shop:pay fails, and is not called for now"):
        await services.call("shop", "pay", remote)

    assert remote.calls == 5


async def test_an_operation_counts_as_failing_until_its_breaker_has_closed(services: Services, clock: Clock) -> None:
    remote = Remote(*(ApiError(500) for _ in range(5)))
    before = services.failing()
    for _ in range(5):
        with pytest.raises(ApiError):
            await services.call("shop", "pay", remote)
    ((name, until_ms),) = services.failing()
    clock.now_ms = until_ms
    half_open = services.failing()
    await services.call("shop", "pay", remote)

    assert (before, name, half_open) == ([], "shop:pay", [("shop:pay", until_ms)])
    assert services.failing() == []


async def test_an_operation_that_was_not_tried_for_long_after_its_breaker_opened_is_not_failing(
    services: Services, clock: Clock
) -> None:
    remote = Remote(*(ApiError(500) for _ in range(5)))
    for _ in range(5):
        with pytest.raises(ApiError):
            await services.call("shop", "pay", remote)
    ((_, until_ms),) = services.failing()
    clock.now_ms = until_ms + UNTRIED_MS

    assert services.failing() == []


async def test_calls_that_wait_fail_at_once_when_the_breaker_opens(make: Make) -> None:
    services = make({"concurrency": 1, "operations": {"pay": {}}, "breaker": {"failures": 1}})
    fails = asyncio.Event()

    async def fail_later() -> None:
        await fails.wait()
        raise ApiError(500)

    calls = [asyncio.create_task(services.call("shop", "pay", fail_later)) for _ in range(3)]
    await settled()
    fails.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(each) for each in ended] == [ApiError, CircuitOpen, CircuitOpen]


async def test_a_call_that_waits_beyond_its_deadline_is_overdue_and_leaves_its_place_to_others(
    services: Services,
) -> None:
    release = asyncio.Event()
    holding = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(2)]
    await settled()

    with pytest.raises(CallOverdue, match=r"shop:pay had no answer within 0\.01 s"):
        await services.call_with(CallOptions(deadline_s=0.01), "shop", "pay", Remote())

    release.set()
    await asyncio.gather(*holding)
    assert (await services.call("shop", "pay", Remote())).status_code == 200


async def test_a_timeout_of_the_callers_own_stays_a_timeout(services: Services) -> None:
    with pytest.raises(TimeoutError) as raised:
        await services.call("shop", "pay", Remote(TimeoutError("mine")))

    assert str(raised.value) == "mine"


async def test_a_cancelled_call_frees_its_place_at_once(services: Services) -> None:
    running = [asyncio.create_task(services.call("shop", "pay", asyncio.Event().wait)) for _ in range(2)]
    await settled()

    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    assert (await services.call("shop", "pay", Remote())).status_code == 200


async def test_more_calls_than_may_wait_are_refused(make: Make) -> None:
    services = make({**QUICK, "waiting_max": 1})
    release = asyncio.Event()
    tasks = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(3)]
    await settled()

    with pytest.raises(CallsFull, match=r"1 calls of shop wait already, its waiting_max"):
        await services.call("shop", "pay", Remote())

    release.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("service", "operation", "sentence"),
    [
        ("shp", "pay", "there is no service 'shp'; declared are shop"),
        ("shop", "pa", "shop has no operation 'pa'; it has pay, read"),
    ],
)
async def test_what_is_not_declared_is_refused_in_one_sentence(
    services: Services, service: str, operation: str, sentence: str
) -> None:
    with pytest.raises(UnknownService) as refused:
        await services.call(service, operation, Remote())

    assert str(refused.value) == sentence


async def test_an_override_above_what_is_declared_is_refused_and_nothing_is_called(services: Services) -> None:
    remote = Remote()

    with pytest.raises(SettingsError, match="concurrency 3 is above what is declared for shop, 2"):
        await services.call_with(CallOptions(concurrency=3), "shop", "pay", remote)

    assert remote.calls == 0


async def test_an_override_below_it_holds_for_the_calls_that_have_it(services: Services) -> None:
    release, one = asyncio.Event(), CallOptions(concurrency=1)
    running = asyncio.create_task(services.call_with(one, "shop", "pay", release.wait))
    await settled()
    waiting = asyncio.create_task(services.call_with(one, "shop", "pay", release.wait))
    await settled()

    assert (await services.call("shop", "pay", Remote())).status_code == 200
    assert not waiting.done()
    release.set()
    await asyncio.gather(running, waiting)


async def test_limits_change_while_calls_wait(services: Services) -> None:
    release = asyncio.Event()
    running = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(2)]
    await settled()

    services.update_limits("shop", {"concurrency": 3})

    assert (await services.call("shop", "pay", Remote())).status_code == 200
    release.set()
    await asyncio.gather(*running)


async def test_a_change_that_makes_no_sense_changes_nothing(services: Services) -> None:
    with pytest.raises(SettingsError):
        services.update_limits("shop", {"concurrency": -1})

    assert services.update_limits("shop", {}).limit.concurrency == 2


async def test_tokens_are_corrected_by_what_the_answer_says(make: Make) -> None:
    services = make({"operations": {"chat": {"tokens": {"count": 100, "window_ms": 1_000}}}})

    async def answer(tokens: int) -> int:
        return tokens

    options = CallOptions(cost=90, used=lambda tokens: tokens)
    await services.call_with(options, "shop", "chat", answer, 10)

    assert await services.call_with(options, "shop", "chat", answer, 90) == 90


async def test_switched_off_no_limit_of_a_service_holds(make: Make) -> None:
    services = make(is_enabled=False)
    release = asyncio.Event()
    running = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(9)]
    await settled()

    assert (await services.call("shop", "pay", Remote())).status_code == 200
    release.set()
    await asyncio.gather(*running)


async def test_a_decorated_function_is_called_within_the_limits(services: Services) -> None:
    @services.limited("shop", "pay")
    async def pay(amount: int) -> int:
        """Pay."""
        return amount

    assert await pay(7) == 7
    assert pay.__doc__ == "Pay."


async def settled() -> None:
    """Return when no task can go on by itself."""
    for _ in range(10):
        await asyncio.sleep(0)


def _typed(services: Services, answer: Callable[[int], Awaitable[str]]) -> Awaitable[str]:
    """Type checkers know what a call returns."""
    return services.call("shop", "pay", answer, 1)
