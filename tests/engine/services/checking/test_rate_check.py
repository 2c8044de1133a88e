"""Limiters that hold and limiters that leak, in a time that passes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.catalogue import parse, shipped
from tempogram.engine.services.checking.rate_check import Begin, CallThrough, check_limiter
from tempogram.engine.services.checking.rate_report import LimitNotHeld, RateReport
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import CallOptions, Services
from tests.virtual_time import LoopClock, in_virtual_time

SHOP = "[shop.operations]\norders = {count = 20, window_ms = 60_000}"
DECLARED = shipped() | parse(SHOP, "services.toml")


class Bucket:
    """What many limiters are: so many tokens, refilled evenly."""

    def __init__(self, tokens: int, refill_s: float) -> None:
        self._most = self._tokens = float(tokens)
        self._per_s = tokens / refill_s
        self._at_s = asyncio.get_running_loop().time()

    async def __call__(self, begin: Begin) -> None:
        while not self._takes_one():  # noqa: ASYNC110 - it wakes no caller
            await asyncio.sleep((1 - self._tokens) / self._per_s)
        await begin()

    def _takes_one(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        self._tokens = min(self._most, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True


def check(
    limiter: Callable[[], CallThrough], *, limit: int, window_s: float, duration_s: float, name: str = "mine"
) -> RateReport:
    async def run() -> RateReport:
        return await check_limiter(limiter(), name=name, expected_limit=limit, window_s=window_s, duration_s=duration_s)

    return in_virtual_time(run())


def ours(service: str, operation: str) -> Callable[[], CallThrough]:
    def limiter() -> CallThrough:
        clock = LoopClock(asyncio.get_running_loop())
        services = Services(DECLARED, MemoryCallLimiter(clock=clock, after_start=False), clock=clock)
        options = CallOptions(deadline_s=1_000)

        async def call(begin: Begin) -> None:
            await services.call_with(options, service, operation, begin)

        return call

    return limiter


def test_a_bucket_of_20_refilled_in_a_minute_is_found_to_leak_within_seconds() -> None:
    with pytest.raises(LimitNotHeld) as raised:
        check(lambda: Bucket(20, 60), limit=20, window_s=60, duration_s=5)

    assert str(raised.value) == (
        "the limit of mine did not hold: 21 calls began within 60 s, and 20 may; in 5.0 s 21 began"
    )
    assert (raised.value.report.held, raised.value.report.share_used) == (False, 21 / 20)


def test_a_bucket_leaks_nearly_twice_its_limit_if_it_is_called_for_a_whole_window() -> None:
    with pytest.raises(LimitNotHeld) as raised:
        check(lambda: Bucket(20, 60), limit=20, window_s=60, duration_s=60)

    assert raised.value.report.most_in_window == 39


@pytest.mark.parametrize(
    ("service", "operation", "limit", "window_s", "duration_s"),
    [
        ("twilio", "voice", 1, 1, 5),
        ("quickbase", "queries", 10, 1, 5),
        ("database", "queries", 100, 1, 3),
        ("shop", "orders", 20, 60, 150),
    ],
)
def test_the_limits_of_services_hold_and_are_used(
    service: str, operation: str, limit: int, window_s: float, duration_s: float
) -> None:
    report = check(ours(service, operation), limit=limit, window_s=window_s, duration_s=duration_s)

    assert report.held
    assert report.share_used >= 0.8


def test_a_limiter_that_lets_all_pass_is_called_no_longer_than_it_takes_to_see_it() -> None:
    async def open_door(begin: Begin) -> None:
        await begin()

    with pytest.raises(LimitNotHeld) as raised:
        check(lambda: open_door, limit=3, window_s=1, duration_s=3_600)

    assert raised.value.report.most_in_window >= 30


def test_a_limiter_that_leaks_only_when_many_call_at_once_is_found() -> None:
    def racing() -> CallThrough:
        left = 1

        async def call(begin: Begin) -> None:
            nonlocal left
            if left <= 0:
                await asyncio.Event().wait()
            await asyncio.sleep(0.01)
            left -= 1
            await begin()

        return call

    with pytest.raises(LimitNotHeld):
        check(racing, limit=1, window_s=1, duration_s=1)


def test_what_lets_nothing_pass_is_not_found_to_hold() -> None:
    async def shut(begin: Begin) -> None:
        await asyncio.Event().wait()

    with pytest.raises(LimitNotHeld, match="no call of mine began within 5 s, so nothing was seen of its limit"):
        check(lambda: shut, limit=1, window_s=1, duration_s=5)


def test_what_a_limiter_raises_comes_through_unchanged() -> None:
    async def broken(begin: Begin) -> None:
        raise OSError("no Redis")

    with pytest.raises(OSError, match="no Redis"):
        check(lambda: broken, limit=1, window_s=1, duration_s=5)


def test_callers_that_wait_are_cancelled_at_the_end() -> None:
    ended: list[int] = []

    def stuck() -> CallThrough:
        async def call(begin: Begin) -> None:
            await begin()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(1)

        return call

    report = check(stuck, limit=100, window_s=1, duration_s=1)

    assert (report.calls, len(ended)) == (100, 100)


def test_a_number_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected_limit is 0; it must be a whole number from 1"):
        check(ours("twilio", "voice"), limit=0, window_s=1, duration_s=5)
    with pytest.raises(SettingsError, match="window_s is -1; it must be a number from 0"):
        check(ours("twilio", "voice"), limit=1, window_s=-1, duration_s=5)


def test_the_report_is_read_as_sentences() -> None:
    report = check(ours("twilio", "voice"), limit=1, window_s=1, duration_s=5, name="twilio:voice")

    assert str(report).startswith(
        "The limit of twilio:voice held: at most 1 call began within 1 s, and 1 may. In 5.0 s 5 calls began, 100 % of"
    )
