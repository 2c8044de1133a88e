"""A stopwatch calls back after the time that it has run, not the time that has passed."""

from __future__ import annotations

from tempogram.bot.updates.stopwatch import Stopwatch
from tests.bot.updates.timers import HandTimers


async def test_an_alarm_rings_after_the_time_the_stopwatch_has_run() -> None:
    timers, rung = HandTimers(), list[float]()
    stopwatch = Stopwatch(timers)
    stopwatch.call_after(3, lambda: rung.append(timers.now_s - 1_000))

    await timers.advance(5)
    stopwatch.run(is_running=True)
    await timers.advance(2)
    stopwatch.run(is_running=False)
    await timers.advance(60)
    stopwatch.run(is_running=True)
    await timers.advance(10)

    assert rung == [5 + 2 + 60 + 1]


async def test_an_alarm_that_is_set_while_the_stopwatch_runs_counts_from_then_on() -> None:
    timers, rung = HandTimers(), list[float]()
    stopwatch = Stopwatch(timers)
    stopwatch.run(is_running=True)
    await timers.advance(7)

    stopwatch.call_after(3, lambda: rung.append(timers.now_s - 1_000))
    await timers.advance(10)

    assert rung == [10]


async def test_a_cancelled_alarm_does_not_ring() -> None:
    timers, rung = HandTimers(), list[str]()
    stopwatch = Stopwatch(timers)
    stopwatch.run(is_running=True)
    first = stopwatch.call_after(3, lambda: rung.append("first"))
    stopwatch.call_after(4, lambda: rung.append("second"))

    stopwatch.cancel(first)
    await timers.advance(10)
    stopwatch.cancel(first)

    assert rung == ["second"]
