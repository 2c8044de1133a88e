"""Calls as fast as a limiter lets it, and looks at when each call began."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from tempogram.engine.services.checking.fullest_window import FullestWindow, allowed
from tempogram.engine.services.checking.rate_report import LimitNotHeld, RateReport
from tempogram.engine.services.checking.spread import Spread
from tempogram.engine.services.limit import COUNT_MAX
from tempogram.engine.services.values import SECONDS_MAX, SECONDS_MIN, number, whole_number

CALLERS_MIN, CALLERS_MAX = 10, 100
"""How many call at once; some limiters leak only then."""

ENOUGH = 10
"""After so many times the limit in one window no more is to be learnt; a limiter that lets all pass would never end."""

Begin: TypeAlias = Callable[[], Awaitable[None]]
CallThrough: TypeAlias = Callable[[Begin], Awaitable[object]]
"""Calls a function through a limiter, and waits for its end."""


async def check_limiter(
    call: CallThrough, *, name: str, expected_limit: int, window_s: float, duration_s: float
) -> RateReport:
    """Call through a limiter for a time, and report what was seen.

    Raises:
        LimitNotHeld: More calls began within a window than expected, or none at all.
        SettingsError: A number makes no sense. Nothing was called.
        Exception: What the limiter raised, unchanged.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    whole_number("expected_limit", expected_limit, 1, COUNT_MAX)
    for each, seconds in (("window_s", window_s), ("duration_s", duration_s)):
        number(each, seconds, SECONDS_MIN, SECONDS_MAX)
    seen = _Seen(expected_limit, window_s)
    began_s = seen.now_s()
    await _call_for(
        duration_s, partial(_call_again, call, seen), min(CALLERS_MAX, max(CALLERS_MIN, 2 * expected_limit))
    )
    report = seen.report(name, min(duration_s, seen.now_s() - began_s))
    if not (report.held and report.calls):
        raise LimitNotHeld(report)
    return report


class _Seen:
    """When calls began, and how long each had waited."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._window = FullestWindow(window_s)
        self._waits = Spread()
        self.now_s = asyncio.get_running_loop().time

    @property
    def is_enough(self) -> bool:
        return self._window.most >= ENOUGH * self._limit

    def begin(self, asked_s: float) -> None:
        now_s = self.now_s()
        self._window.add(now_s, now_s)
        self._waits.add(now_s - asked_s)

    def report(self, name: str, duration_s: float) -> RateReport:
        waits = self._waits
        return RateReport(
            name=name,
            expected_limit=self._limit,
            window_s=self._window_s,
            duration_s=duration_s,
            calls=waits.count,
            most_in_window=self._window.most,
            share_used=waits.count / allowed(self._limit, self._window_s, duration_s),
            wait_p50_s=waits.quantile_s(0.5),
            wait_p95_s=waits.quantile_s(0.95),
            wait_p99_s=waits.quantile_s(0.99),
            wait_max_s=waits.most_s,
        )


async def _call_for(duration_s: float, call_again: Callable[[], Coroutine[Any, Any, None]], callers: int) -> None:
    """Call for a time; what still waits then is cancelled."""
    calling = [asyncio.create_task(call_again(), name="rate check") for _ in range(callers)]
    try:
        done, _ = await asyncio.wait(calling, timeout=duration_s, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for each in calling:
            each.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
    for each in done:
        each.result()


async def _call_again(call: CallThrough, seen: _Seen) -> None:
    while not seen.is_enough:
        asked_s = seen.now_s()

        async def begin(asked_s: float = asked_s) -> None:
            seen.begin(asked_s)

        await call(begin)
        await asyncio.sleep(0)  # a limiter that lets all pass must not keep the others from calling
