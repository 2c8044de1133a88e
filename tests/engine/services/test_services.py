from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.observability.service_metrics import ServiceMetrics
from tempogram.engine.services.answers import Verdict
from tempogram.engine.services.breaker import BreakerState
from tempogram.engine.services.calls import Call
from tempogram.engine.services.catalogue import Service, service_of
from tempogram.engine.services.errors import CallOverdue, CallsFull, CircuitOpen, PlaceLost, UnknownService
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import UNTRIED_MS, CallOptions, Services
from tempogram.engine.services.state import time_of
from tests.fakes import Clock

QUICK = {"concurrency": 2, "delay_s": 0.001, "operations": {"pay": {}, "read": {"idempotent": True}}}

OPEN = {"breaker": "open"}


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
    def services(
        words: Mapping[str, object] = QUICK, *, is_enabled: bool = True, metrics: ServiceMetrics | None = None
    ) -> Services:
        declared: dict[str, Service] = {"shop": service_of("shop", words)}
        limiter = MemoryCallLimiter(clock=clock, after_start=False)
        return Services(declared, limiter, clock=clock, is_enabled=is_enabled, metrics=metrics)

    return services


def newer(words: Mapping[str, object], *, version: int = 2) -> Service:
    return replace(service_of("shop", words, service_of("shop", QUICK)), version=version)


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


async def test_429s_of_calls_that_were_under_way_together_double_the_pause_once(make: Make, clock: Clock) -> None:
    services = make({**QUICK, "delay_s": 1})
    together = [asyncio.Event(), asyncio.Event()]

    async def refused(arrived: asyncio.Event) -> Response:
        arrived.set()
        await asyncio.gather(*(each.wait() for each in together))
        return Response(429)

    options = CallOptions(retries=0)
    await asyncio.gather(*(services.call_with(options, "shop", "read", refused, each) for each in together))
    again = asyncio.create_task(services.call("shop", "read", Remote()))
    await settled()

    clock.advance(1_000)
    await services.call("shop", "pay", Remote())  # the queue looks again
    await settled()

    assert again.done()
    assert (await again).status_code == 200


async def test_a_429_that_says_nothing_holds_for_the_window_that_others_may_have_used_up(
    make: Make, clock: Clock
) -> None:
    window = {"pay": {}, "read": {"count": 9, "window_ms": 20_000, "idempotent": True}}
    services = make({**QUICK, "operations": window})
    await services.call_with(CallOptions(retries=0), "shop", "read", Remote(Response(429)))
    again = asyncio.create_task(services.call("shop", "read", Remote()))
    await settled()

    clock.advance(19_999)
    await services.call("shop", "pay", Remote())  # the queue looks again
    await settled()
    is_too_early = again.done()
    clock.advance(1)
    await services.call("shop", "pay", Remote())

    assert (is_too_early, (await again).status_code) == (False, 200)


@pytest.mark.parametrize(
    "answer",
    [
        Response(429, {"Retry-After": "60"}),
        Response(429),
        Response(200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}),
    ],
)
async def test_what_the_service_says_holds_before_a_call_that_waits_gets_the_place(
    make: Make, answer: Response
) -> None:
    services, calls, may_answer = make({**QUICK, "concurrency": 1}), list[int](), asyncio.Event()

    async def ask(number: int) -> Response:
        calls.append(number)
        await may_answer.wait()
        return answer

    once = CallOptions(retries=0)
    first, second = (asyncio.create_task(services.call_with(once, "shop", "pay", ask, number)) for number in (1, 2))
    await settled()
    may_answer.set()
    await first
    await settled()

    assert calls == [1]
    second.cancel()


async def test_what_is_said_of_a_count_that_only_the_service_has_holds_for_all_its_operations(make: Make) -> None:
    services = make({"count": 100, "window_ms": 1_000, "operations": {"pay": {}, "read": {}}})
    throttled = Remote(Response(429, {"Retry-After": "60"}))
    await services.call_with(CallOptions(retries=0), "shop", "pay", throttled)

    waiting = asyncio.create_task(services.call("shop", "read", Remote()))
    await settled()
    (held,) = (await services.state("shop")).limiters
    services.release("shop")

    assert held.hold.endswith("said by the service")
    assert (await waiting).status_code == 200


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


@pytest.mark.parametrize("rule", [lambda answer: answer.no_such_thing, lambda _: "good", lambda _: 1 / 0])
async def test_a_rule_that_fails_itself_does_not_cost_the_answer(
    services: Services, rule: Callable[[Response], Verdict]
) -> None:
    answer = await services.call_with(CallOptions(classify=rule), "shop", "read", Remote())

    assert answer.status_code == 200


@pytest.mark.parametrize("used", [lambda answer: answer.usage, lambda _: "many", lambda _: float("inf")])
async def test_a_cost_that_cannot_be_read_does_not_cost_the_answer(make: Make, used: Callable[[Response], int]) -> None:
    services = make({"operations": {"chat": {"tokens": {"count": 100, "window_ms": 1_000}}}})

    answer = await services.call_with(CallOptions(cost=40, used=used), "shop", "chat", Remote())

    assert answer.status_code == 200
    assert (await services.state("shop")).operations["chat"].limiters[1].left == 60


async def test_a_service_that_fails_is_called_no_more(services: Services) -> None:
    remote = Remote(*(ApiError(500) for _ in range(50)))
    for _ in range(5):
        with pytest.raises(ApiError):
            await services.call("shop", "pay", remote)

    with pytest.raises(CircuitOpen, match="shop:pay fails, and is not called for now"):
        await services.call("shop", "pay", remote)

    assert remote.calls == 5


async def test_an_answer_that_opens_the_breaker_is_returned_as_no_attempt_is_left(make: Make) -> None:
    services, last = make({**QUICK, "breaker": {"failures": 2}}), Response(503, {"X-Request-Id": "7f3a"})

    answer = await services.call("shop", "read", Remote(Response(500), last, Response(500)))

    assert answer is last


async def test_a_retry_that_is_refused_names_the_error_of_the_attempt_before(make: Make) -> None:
    services, failure = make({**QUICK, "delay_s": 0.01}), ApiError(500)

    async def fail() -> None:
        asyncio.get_running_loop().call_soon(lambda: services.replace(newer({"operations": {"read": OPEN}})))
        raise failure

    with pytest.raises(CircuitOpen) as raised:
        await services.call("shop", "read", fail)

    assert raised.value.__cause__ is failure


class RemembersCalls(MemoryCallLimiter):
    """Knows which calls have begun."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock, after_start=False)
        self.begun: list[Call] = []

    async def begin(self, call: Call) -> None:
        await super().begin(call)
        self.begun.append(call)


async def test_a_place_may_be_lost_while_an_attempt_that_is_over_time_comes_to_its_end(clock: Clock) -> None:
    limiter = RemembersCalls(clock)
    services = Services({"shop": service_of("shop", QUICK)}, limiter, clock=clock)
    is_ending, may_end = asyncio.Event(), asyncio.Event()

    async def end_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_ending.set()
            await may_end.wait()

    calling = asyncio.create_task(services.call_with(CallOptions(timeout_s=0.01), "shop", "pay", end_slowly))
    await is_ending.wait()
    lose = limiter.begun[0].lost
    assert lose is not None
    lose()
    may_end.set()

    with pytest.raises(PlaceLost):
        await calling


async def test_calls_that_the_breaker_refuses_earn_no_retries(make: Make) -> None:
    services = make({"delay_s": 0, "operations": {name: {"idempotent": True} for name in ("find", "read")}})
    find, read = Remote(*(Response(500) for _ in range(9))), Remote(*(Response(500) for _ in range(9)))
    for _ in range(100):
        with suppress(CircuitOpen):
            await services.call("shop", "find", find)

    with suppress(CircuitOpen):
        await services.call("shop", "read", read)

    assert (find.calls, read.calls) == (5, 1)


async def test_a_service_that_hangs_until_the_deadline_fails(make: Make) -> None:
    services = make({**QUICK, "breaker": {"failures": 1}})
    options = CallOptions(deadline_s=0.05, timeout_s=0.05)
    with pytest.raises(CallOverdue):
        await services.call_with(options, "shop", "pay", asyncio.Event().wait)

    with pytest.raises(CircuitOpen):
        await services.call("shop", "pay", Remote())


async def test_a_call_that_waited_for_most_of_its_time_says_nothing_of_the_service(make: Make) -> None:
    services = make({**QUICK, "concurrency": 1, "breaker": {"failures": 1}})
    first = asyncio.create_task(services.call("shop", "pay", asyncio.sleep, 0.07))
    await settled()
    with pytest.raises(CallOverdue):
        await services.call_with(CallOptions(deadline_s=0.1), "shop", "pay", asyncio.Event().wait)
    await first

    assert (await services.call("shop", "pay", Remote())).status_code == 200


async def open_until_ms(services: Services) -> int:
    return (await services.state("shop")).operations["pay"].open_until_ms


async def test_an_operation_counts_as_failing_until_its_breaker_has_closed(services: Services, clock: Clock) -> None:
    remote = Remote(*(ApiError(500) for _ in range(5)))
    before = services.failing()
    for _ in range(5):
        with pytest.raises(ApiError):
            await services.call("shop", "pay", remote)
    during = services.failing()
    clock.now_ms = await open_until_ms(services)
    half_open = services.failing()
    await services.call("shop", "pay", remote)

    assert (before, during, half_open) == ([], ["shop:pay"], ["shop:pay"])
    assert services.failing() == []


async def test_an_operation_that_was_not_tried_for_long_after_its_breaker_opened_is_not_failing(
    services: Services, clock: Clock
) -> None:
    remote = Remote(*(ApiError(500) for _ in range(5)))
    for _ in range(5):
        with pytest.raises(ApiError):
            await services.call("shop", "pay", remote)
    assert services.failing() == ["shop:pay"]
    clock.now_ms = await open_until_ms(services) + UNTRIED_MS

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


async def test_a_call_may_wait_until_there_is_room_in_line(make: Make) -> None:
    services = make({**QUICK, "waiting_max": 1, "when_full": "wait"})
    release = asyncio.Event()
    calls = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(9)]
    await settled()

    with pytest.raises(CallsFull):
        await services.call_with(CallOptions(when_full="refuse"), "shop", "pay", Remote())
    with pytest.raises(CallOverdue):
        await services.call_with(CallOptions(deadline_s=0.01), "shop", "pay", Remote())

    release.set()
    assert await asyncio.gather(*calls) == [True] * 9


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

    services.replace(newer({"concurrency": 3}))

    assert (await services.call("shop", "pay", Remote())).status_code == 200
    release.set()
    await asyncio.gather(*running)


async def test_a_call_that_waits_goes_by_a_newer_limit_at_once(services: Services) -> None:
    release = asyncio.Event()
    calls = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(2)]
    await settled()
    waiting = asyncio.create_task(services.call("shop", "pay", Remote()))
    await settled()

    services.replace(newer({"concurrency": 3}))

    assert (await waiting).status_code == 200
    release.set()
    await asyncio.gather(*calls)


async def test_an_older_version_of_a_service_never_wins(services: Services) -> None:
    services.replace(newer({"concurrency": 3}, version=3))

    services.replace(newer({"concurrency": 9}, version=2))

    assert services.service("shop").limit.concurrency == 3


async def test_a_breaker_that_is_declared_open_stays_open_until_it_is_closed_by_hand(
    services: Services, clock: Clock
) -> None:
    services.replace(newer({"operations": {"pay": {"breaker": "open"}}}, version=2))
    clock.advance(86_400_000)
    with pytest.raises(CircuitOpen, match=r"^the breaker of shop:pay was opened by hand$"):
        await services.call("shop", "pay", Remote())

    services.replace(newer({}, version=3))

    assert (await services.call("shop", "pay", Remote())).status_code == 200


async def test_a_call_that_waits_is_not_made_once_its_breaker_is_opened_by_hand(services: Services) -> None:
    release = asyncio.Event()
    running = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(2)]
    await settled()
    waiting = asyncio.create_task(services.call("shop", "pay", Remote()))
    await settled()

    services.replace(newer({"operations": {"pay": {"breaker": "open"}}}))

    with pytest.raises(CircuitOpen, match="opened by hand"):
        await waiting
    release.set()
    await asyncio.gather(*running)


async def test_a_breaker_that_failures_opened_can_be_closed_by_hand(services: Services) -> None:
    for _ in range(5):
        with pytest.raises(ApiError):
            await services.call("shop", "pay", Remote(ApiError(500)))

    services.close_breaker("shop", "pay")

    assert (await services.call("shop", "pay", Remote())).status_code == 200


async def test_a_limit_over_all_services_holds_for_calls_of_each(clock: Clock) -> None:
    two = {name: service_of(name, QUICK) for name in ("shop", "bank")}
    limiter = MemoryCallLimiter(clock=clock, after_start=False)
    services = Services({**two, "all": service_of("all", {"concurrency": 2})}, limiter, clock=clock)
    release = asyncio.Event()
    running = [asyncio.create_task(services.call(name, "pay", release.wait)) for name in two]
    await settled()

    third = asyncio.create_task(services.call("shop", "pay", Remote()))
    await settled()

    assert not third.done()
    assert [each.name for each in (await services.state("shop")).limiters] == ["all", "shop"]
    assert services.names() == ["all", "bank", "shop"]
    release.set()
    await asyncio.gather(*running, third)


async def test_no_call_is_made_of_all_services(services: Services) -> None:
    with pytest.raises(UnknownService, match="all has no operation 'pay'; it has none"):
        await services.call("all", "pay", Remote())

    assert services.names() == ["shop"]


@pytest.mark.parametrize("words", [QUICK, {"operations": {"pay": {}, "read": {}}}])
@pytest.mark.parametrize("held", ["shop", "all"])
async def test_a_service_that_is_held_is_called_when_it_is_released(
    make: Make, clock: Clock, words: Mapping[str, object], held: str
) -> None:
    services = make(words)
    services.hold(held, for_ms=60_000, by="by hand")
    calls = [asyncio.create_task(services.call("shop", name, Remote())) for name in ("pay", "read")]
    await settled()
    assert not any(call.done() for call in calls)
    assert {each.reason for each in await services.waiting("shop")} <= {
        f"{name} is held until {time_of(clock() + 60_000)}, by hand" for name in ("shop", "shop:pay", "shop:read")
    } | {f"shop is held until {time_of(clock() + 60_000)}, by hand, and 1 call stands before it"}

    services.release(held)

    assert [each.status_code for each in await asyncio.gather(*calls)] == [200, 200]


@pytest.mark.parametrize("for_ms", [-1, 0, 31 * 86_400_000 + 1])
async def test_a_hold_that_ends_in_the_past_or_too_late_is_refused(services: Services, for_ms: int) -> None:
    with pytest.raises(SettingsError, match="it must end within 31 days"):
        services.hold("shop", for_ms=for_ms, by="by hand")

    assert not (await services.state("shop")).limiters[0].hold


async def test_a_service_shows_its_limits_with_what_is_left_of_them(make: Make, clock: Clock) -> None:
    tokens = {"count": 100, "window_ms": 60_000}
    services = make({"concurrency": 2, "operations": {"chat": {"tokens": tokens}, "list": {}}})
    await services.call_with(CallOptions(cost=30), "shop", "chat", Remote())
    services.hold("shop", "list", for_ms=5_000, by="by hand")
    opened = service_of("shop", {"operations": {"list": {"breaker": "open"}}}, services.service("shop"))
    services.replace(replace(opened, version=2))

    state = await services.state("shop")

    assert [each.name for each in state.limiters] == ["shop"]
    assert [(each.name, each.left) for each in state.operations["chat"].limiters] == [
        ("shop:chat", None),
        ("shop:chat/tokens", 70),
    ]
    held = state.operations["list"]
    assert held.limiters[0].held_by == "by hand"
    assert (held.breaker, held.is_forced) == (BreakerState.OPEN, True)


async def test_a_call_that_waits_is_explained(services: Services) -> None:
    release = asyncio.Event()
    calls = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(3)]
    await settled()

    (waiting,) = await services.waiting("shop")

    assert (waiting.operation, waiting.stands_at) == ("shop:pay", "shop")
    assert await services.explain(waiting.call_id) == waiting
    release.set()
    await asyncio.gather(*calls)
    assert await services.explain(waiting.call_id) is None


async def test_above_a_tenth_of_failures_the_calls_of_this_process_begin_apart(services: Services) -> None:
    for answer in (*(Response(200) for _ in range(10)), *(Response(500) for _ in range(2))):
        await services.call("shop", "pay", Remote(answer))
    await services.call("shop", "pay", Remote())

    spaced = asyncio.create_task(services.call("shop", "pay", Remote()))
    await settled()

    assert not spaced.done()
    assert not (await services.state("shop")).operations["pay"].limiters[0].hold  # other processes go on
    assert (await services.call("shop", "read", Remote())).status_code == 200
    spaced.cancel()


@pytest.mark.parametrize(
    ("remote", "outcome"),
    [
        (Remote(), "well"),
        (Remote(Response(500)), "failed"),
        (Remote(Response(429, {"Retry-After": "0"})), "throttled"),
        (Remote(KeyError("a typing mistake")), "wrong"),
    ],
)
async def test_calls_are_counted_by_their_outcome(make: Make, remote: Remote, outcome: str) -> None:
    metrics = ServiceMetrics()
    services = make(metrics=metrics)

    with suppress(KeyError):
        await services.call_with(CallOptions(retries=0), "shop", "pay", remote)

    counts = metrics.operations["shop", "pay"]
    assert (dict(counts.calls), counts.rate_limit_hits) == ({outcome: 1}, int(outcome == "throttled"))
    assert (counts.under_way, counts.waiting, counts.wait.buckets[-1][1], counts.duration.buckets[-1][1]) == (
        0,
        0,
        1,
        1,
    )


async def test_calls_that_were_not_made_are_counted_too(make: Make) -> None:
    metrics, release = ServiceMetrics(), asyncio.Event()
    services = make({**QUICK, "waiting_max": 1}, metrics=metrics)
    running = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(3)]
    await settled()
    counts = metrics.operations["shop", "pay"]
    assert (counts.under_way, counts.waiting) == (2, 1)

    with suppress(CallsFull):
        await services.call("shop", "pay", Remote())
    running.pop().cancel()
    await settled()
    with suppress(CallOverdue):
        await services.call_with(CallOptions(deadline_s=0.01), "shop", "pay", Remote())
    release.set()
    await asyncio.gather(*running)

    assert dict(counts.calls) == {"full": 1, "cancelled": 1, "overdue": 1, "well": 2}


async def test_retries_and_breakers_are_counted(make: Make) -> None:
    metrics = ServiceMetrics()
    services = make({**QUICK, "breaker": {"failures": 2}}, metrics=metrics)

    await services.call("shop", "read", Remote(*(Response(503) for _ in range(9))))

    counts = metrics.operations["shop", "read"]
    assert (counts.retries, dict(counts.calls), counts.breaker()) == (1, {"failed": 1}, "open")
    assert metrics.concurrency() == {"shop": 2}


async def test_tokens_are_corrected_by_what_the_answer_says(make: Make) -> None:
    services = make({"operations": {"chat": {"tokens": {"count": 100, "window_ms": 1_000}}}})

    async def answer(tokens: int) -> int:
        return tokens

    options = CallOptions(cost=90, used=lambda tokens: tokens)
    await services.call_with(options, "shop", "chat", answer, 10)

    assert await services.call_with(options, "shop", "chat", answer, 90) == 90


async def test_what_a_call_cost_in_tokens_is_none_of_a_tenants_whatever_its_name(make: Make) -> None:
    chat = {"tokens": {"count": 1_000, "window_ms": 1_000}}
    services = make({"tenant": {"count": 2, "window_ms": 1_000}, "operations": {"chat": chat}})
    options = CallOptions(tenant="shop:chat/tokens", cost=90, used=lambda _: 90, deadline_s=0.2)

    answers = [await services.call_with(options, "shop", "chat", Remote()) for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 200]


async def test_releasing_an_operation_forgets_what_the_service_said_of_its_tokens(make: Make) -> None:
    services = make({"operations": {"chat": {"tokens": {"count": 100, "window_ms": 1_000}}}})
    none_left = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "30d"}
    await services.call("shop", "chat", Remote(Response(200, none_left)))
    waiting = asyncio.create_task(services.call("shop", "chat", Remote()))
    await settled()

    services.release("shop", "chat")

    assert (await waiting).status_code == 200


async def test_switched_off_no_limit_of_a_service_holds(make: Make) -> None:
    services = make(is_enabled=False)
    release = asyncio.Event()
    running = [asyncio.create_task(services.call("shop", "pay", release.wait)) for _ in range(9)]
    await settled()

    assert (await services.call("shop", "pay", Remote())).status_code == 200
    release.set()
    await asyncio.gather(*running)


async def test_switched_off_a_429_is_tried_again_after_a_pause(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    services, pauses_s = make({**QUICK, "delay_s": 60}, is_enabled=False), list[float]()

    def longest(_least_s: float, most_s: float) -> float:
        pauses_s.append(most_s)
        return 0.0

    monkeypatch.setattr("random.uniform", longest)
    answer = await services.call("shop", "pay", Remote(Response(429), Response(429)))

    assert (answer.status_code, pauses_s) == (200, [60.0, 120.0])


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
