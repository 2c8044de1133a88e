"""The whole demo, from start to verdict."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from tempogram.bot.demo.environment import environment
from tempogram.bot.demo.judge import judge
from tempogram.bot.demo.progress import Screen
from tempogram.bot.demo.report import report
from tempogram.bot.demo.scenario import Scenario
from tempogram.bot.demo.settings import BOTS, POLLED, DemoSettings
from tempogram.engine.model.errors import EngineError

KEPT, BROKEN, STOPPED = 0, 1, 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(EngineError):
    """The demo failed before its verdict."""


async def demo(settings: DemoSettings) -> int:
    """Run the demo, and return the exit status: 0 only if every promise was kept.

    Raises:
        DemoFailed: Something other than the engine's sending failed. No process is left.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without bars gets question marks
    with stoppable():
        try:
            return await _run(settings, Console(highlight=False))
        except asyncio.CancelledError:
            sys.stderr.write("tempogram: the demo was stopped, and no process of it is left\n")
            return STOPPED
        except Exception as error:
            raise DemoFailed(f"the demo failed: {sentence(error)}") from error


async def _run(settings: DemoSettings, console: Console) -> int:
    began_s = time.monotonic()
    with Screen(console) as screen:
        ways = f"{POLLED} by polling and {BOTS - POLLED} by webhook"
        screen.say(f"starting a simulated Telegram and an engine with {BOTS} bots, {ways}, on a temporary database")
        async with environment(settings) as ready:
            screen.say(f"ready after {time.monotonic() - began_s:.1f} s")
            scenario = Scenario(ready, settings, say=screen.say, show=screen.show)
            judgement = judge(await scenario.run())
    console.print(
        report(
            judgement,
            scenario.samples,
            started_at_ms=scenario.started_at_ms,
            group_window_s=settings.group_window_s,
        )
    )
    console.print(f"It took {time.monotonic() - began_s:.0f} s.")
    return KEPT if judgement.holds else BROKEN


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the first signal end the block in order; a second one does not interrupt that."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "called within a task"  # noqa: S101 - an invariant

    def stop() -> None:
        if not task.cancelling():
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def sentence(error: BaseException) -> str:
    """Return an error in one line; of several at once, the first.

    >>> sentence(ExceptionGroup("", [ExceptionGroup("", [OSError("disk full")]), ValueError()]))
    'disk full'
    >>> sentence(ValueError())
    'ValueError'
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split()) or type(error).__name__
